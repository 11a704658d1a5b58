"""AVIF: headers tell nothing beside the picture, and no offset in the file moves."""

import io
import struct
from collections.abc import Callable

import pytest
from PIL import Image

from chitram.adapters.codec import pipeline
from chitram.adapters.codec.formats.sniffing import read_structure
from tests.factories import pictures
from tests.factories.pictures import SECRET
from tests.unit.codec.test_formats import BUDGET, avif_with_meta, box, refusal, stored

Change = Callable[[bytes], bytes]


def inside(container: bytes, change: Change) -> Change:
    """A change of what is in the first box of the kind `container`, which grows or shrinks by it."""

    def apply(boxes: bytes) -> bytes:
        at = boxes.index(container) - 4
        size = int.from_bytes(boxes[at : at + 4], "big")
        return boxes[:at] + box(container, change(boxes[at + 8 : at + size])) + boxes[at + size :]

    return apply


def added(kind: bytes, payload: bytes = SECRET) -> Change:
    return lambda boxes: boxes + box(kind, payload)


def in_properties(change: Change) -> Change:
    return inside(b"iprp", inside(b"ipco", change))


def longer(kind: bytes, *, by: bytes = SECRET) -> Change:
    """A change that makes the first box of `kind` longer."""
    return inside(kind, lambda payload: payload + by)


def pixels(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGBA").tobytes()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        *((f"meta/{kind.decode()}", added(kind)) for kind in (b"xml ", b"uuid", b"udta", b"free", b"bxml", b"ipro")),
        ("meta/dinf", added(b"dinf", box(b"dref", bytes(8) + box(b"url ", bytes(4) + SECRET)))),
        *((f"ipco/{kind.decode()}", in_properties(added(kind))) for kind in (b"udes", b"crtt", b"uuid", b"free")),
        *((f"longer {kind.decode()}", in_properties(longer(kind))) for kind in (b"ispe", b"irot", b"auxC")),
        ("longer nclx", in_properties(added(b"colr", b"nclx\0\1\0\r\0\6\x80" + SECRET))),
        ("unknown colours", in_properties(added(b"colr", b"nope" + SECRET))),
        ("broken profile", in_properties(added(b"colr", b"prof" + SECRET))),
        ("telling profile", in_properties(added(b"colr", b"rICC" + pictures.telling_profile()))),
        ("handler", longer(b"hdlr")),
        ("item name", lambda boxes: boxes.replace(b"av01Color\0", b"av01" + b"51.5\0\0")),
    ],
)
def test_what_tells_something_is_blanked_in_place(name: str, change: Change) -> None:
    def prepared(boxes: bytes) -> bytes:
        extra = box(b"irot", b"\0") + box(b"auxC", bytes(4) + b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0")
        return change(in_properties(lambda properties: properties + extra)(boxes))

    data = avif_with_meta(prepared)
    kept = stored(data)
    assert data != kept
    assert len(kept) == len(data)
    assert SECRET[:4] not in kept
    assert b"51.5" not in kept
    again = read_structure(kept, budget=BUDGET)
    assert again.pieces is None
    assert pixels(kept) == pixels(data)
    pipeline.ingest(kept, budget=BUDGET, strip_metadata=True)


def test_boxes_beside_the_properties_go_though_no_decoder_takes_them() -> None:
    data = avif_with_meta(inside(b"iprp", added(b"uuid")))
    assert len(stored(data)) == len(data)
    assert SECRET not in stored(data)


@pytest.mark.parametrize("kind", [b"hdlr", b"iloc", b"iinf", b"iprp", b"pitm"])
def test_headers_that_come_twice_are_refused(kind: bytes) -> None:
    def twice(boxes: bytes) -> bytes:
        at = boxes.index(kind) - 4
        return boxes + boxes[at : at + int.from_bytes(boxes[at : at + 4], "big")]

    assert refusal(avif_with_meta(twice)) == "corrupt"


def test_contents_of_items_that_go_lose_their_names_too() -> None:
    """An item of text is described by its name and its type, either of which may be anything."""
    data = pictures.avif(16, 16, secrets=True)
    told = data.replace(b"XMP\0application/rdf+xml\0", b"me\0 text/very-secret-x\0\0")
    assert len(told) == len(data)
    kept = stored(told)
    assert b"secret" not in kept
    assert b"XMP\0application" in stored(data)
    assert read_structure(kept, budget=BUDGET).pieces is None
    assert pixels(kept) == pixels(data)


def sequence(change: Change) -> bytes:
    """A sequence of two frames whose header is what `change` makes of it; the offsets in it follow."""
    data = pictures.avif(16, 16, frames=2)
    at, end = data.index(b"moov") - 4, data.index(b"mdat") - 4
    header = change(data[at:end])
    moved = len(header) - (end - at)
    out = bytearray(data[:at] + header + data[end:])
    for kind, skip in ((b"stco", 8), (b"iloc", 14)):
        place = out.index(kind) + 4 + skip
        offset = int.from_bytes(out[place : place + 4], "big") + moved
        out[place : place + 4] = struct.pack(">I", offset)
    return bytes(out)


def below(*path: bytes, change: Change) -> Change:
    for container in reversed(path):
        change = inside(container, change)
    return change


def in_entry(change: Change) -> Change:
    """A change of the one sample entry of the track."""
    table = inside(b"stsd", lambda payload: payload[:8] + inside(b"av01", change)(payload[8:]))
    return below(b"moov", b"trak", b"mdia", b"minf", b"stbl", change=table)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("moov/udta", below(b"moov", change=added(b"udta"))),
        ("trak/meta", below(b"moov", b"trak", change=added(b"meta"))),
        ("edts/uuid", below(b"moov", b"trak", b"edts", change=added(b"uuid"))),
        ("mdia/name", below(b"moov", b"trak", b"mdia", change=added(b"name"))),
        ("minf/xyz", below(b"moov", b"trak", b"mdia", b"minf", change=added(b"loci"))),
        ("stbl/free", below(b"moov", b"trak", b"mdia", b"minf", b"stbl", change=added(b"free"))),
        ("handler", below(b"moov", b"trak", b"mdia", change=longer(b"hdlr"))),
        (
            "places",
            below(
                *(b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"),
                change=lambda payload: payload[:8] + box(b"url ", bytes(4) + SECRET),
            ),
        ),
        ("encoder", lambda header: header.replace(b"\x0aAOM Coding", SECRET[:11])),
        ("entry/uuid", in_entry(added(b"uuid"))),
        ("entry/colours", in_entry(added(b"colr", b"prof" + pictures.telling_profile()))),
        ("entry/auxiliary", in_entry(added(b"auxi", bytes(4) + b"urn:x\0" + SECRET))),
    ],
)
def test_tracks_tell_nothing_beside_their_pictures(name: str, change: Change) -> None:
    data = sequence(change)
    kept = stored(data)
    assert data != kept
    assert len(kept) == len(data)
    assert SECRET[:4] not in kept
    assert read_structure(kept, budget=BUDGET).pieces is None
    for frame in (0, 1):
        found = []
        for file in (kept, sequence(lambda header: header)):
            with Image.open(io.BytesIO(file)) as image:
                image.seek(frame)
                found.append(image.convert("RGB").tobytes())
        assert found[0] == found[1]


def test_a_sample_entry_without_room_for_its_picture_is_refused() -> None:
    assert refusal(sequence(in_entry(lambda payload: payload[:60]))) == "corrupt"


def test_ordinary_files_stay_as_they_are() -> None:
    assert read_structure(pictures.avif(16, 16, mode="RGBA"), budget=BUDGET).pieces is None
    assert read_structure(pictures.avif(16, 16, frames=2, mode="RGBA"), budget=BUDGET).pieces is None


def test_profiles_that_would_not_fit_go() -> None:
    """In place there is as much room as there was: a profile without any name is shorter than one with ours."""
    profile = pictures.srgb_profile()
    count = int.from_bytes(profile[128:132], "big")
    kept = [n for n in range(count) if profile[132 + 12 * n : 136 + 12 * n] not in (b"desc", b"cprt", b"chrm")]
    bare = profile[:128] + struct.pack(">I", len(kept))
    body, start = b"", 132 + 12 * len(kept)
    for n in kept:
        tag, offset, length = struct.unpack_from(">4sII", profile, 132 + 12 * n)
        place = body.find(profile[offset : offset + length])
        if place < 0:
            place, body = len(body), body + profile[offset : offset + length]
        bare += struct.pack(">4sII", tag, start + place, length)
    bare = struct.pack(">I", len(bare + body)) + (bare + body)[4:]
    data = avif_with_meta(in_properties(added(b"colr", b"prof" + bare)))
    found = stored(data)
    assert b"acsp" not in found
    assert len(found) == len(data)
