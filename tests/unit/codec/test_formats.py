"""The corners of each format that no ordinary picture reaches."""

import struct
import zlib
from collections.abc import Callable

import pytest

from chitram.adapters.codec import pipeline
from chitram.adapters.codec.formats.assembly import MAX_PIECES, Assembly
from chitram.adapters.codec.formats.orientation import Turning, minimal_tiff, read_orientation
from chitram.adapters.codec.formats.sniffing import read_structure
from chitram.adapters.codec.formats.structure import MAX_PROFILE
from chitram.domain.errors import InvalidFileFormat
from chitram.domain.media import FORMATS, Budget
from tests.factories import hostile, pictures
from tests.factories.pictures import chunk, png_of, riff_chunk, riff_of, segment
from tests.unit.codec.test_structure_fuzz import assemble

BUDGET = Budget(frozenset(FORMATS), max_pixels=1_000_000, max_frames=100, max_total_pixels=4_000_000)
ROWS = zlib.compress(bytes(16 * 49))


def refusal(data: bytes) -> str:
    with pytest.raises(InvalidFileFormat) as refused:
        read_structure(data, budget=BUDGET)
    return refused.value.reason.value


def stored(data: bytes) -> bytes:
    return assemble(data, read_structure(data, budget=BUDGET))


def box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", 8 + len(payload)) + kind + payload


# JPEG


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("two frames", lambda d: d[:-2] + d[2:], "corrupt"),
        ("no scan", lambda d: d[: d.index(b"\xff\xda")] + b"\xff\xd9", "corrupt"),
        ("scan first", lambda d: d[:2] + d[d.index(b"\xff\xda") :], "corrupt"),
        ("a restart mark between segments", lambda d: d[:2] + b"\xff\xd0" + d[2:], "corrupt"),
        ("a reserved mark", lambda d: d[:2] + b"\xff\x02\0\2" + d[2:], "corrupt"),
        ("a segment without a length", lambda d: d[:2] + b"\xff\xfe\0\1" + d[2:], "corrupt"),
        ("12 bits", lambda d: d.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"), "unsupported_type"),
        (
            "2 channels",
            lambda d: d.replace(_frame(d), segment(0xC0, b"\x08\0\x10\0\x10\2" + bytes(6))),
            "unsupported_type",
        ),
        ("no sampling", lambda d: d.replace(_frame(d), segment(0xC0, b"\x08\0\x10\0\x10\3" + bytes(9))), "corrupt"),
        ("a short frame header", lambda d: d.replace(_frame(d), segment(0xC0, b"\x08\0\x10\0\x10\3")), "corrupt"),
        ("a later height", lambda d: d[:-2] + segment(0xDC, b"\0\x10") + d[-2:], "unsupported_type"),
        ("no end", lambda d: d[:-2], "truncated"),
        ("half a segment", lambda d: d[:30], "truncated"),
        ("nothing but filling", lambda d: d[:2] + b"\xff" * 70_000 + d[2:], "corrupt"),
    ],
)
def test_jpeg_that_is_none(name: str, change: Callable[[bytes], bytes], reason: str) -> None:
    assert refusal(change(pictures.jpeg(16, 16))) == reason


@pytest.mark.parametrize(
    ("name", "header", "reason"),
    [
        ("of nothing", b"", "corrupt"),
        ("of no component", b"\0\0\x3f\0", "corrupt"),
        ("too short", b"\3\1\0\2\x11\3\x11", "corrupt"),
        ("of a component that is not there", b"\1\x09\0\0\x3f\0", "corrupt"),
        ("of the first component alone", b"\1\1\0\0\x3f\0", "truncated"),
    ],
)
def test_jpeg_scans_that_are_none(name: str, header: bytes, reason: str) -> None:
    data = pictures.jpeg(16, 16)
    at = data.index(b"\xff\xda")
    assert refusal(data[:at] + segment(0xDA, header) + data[at + 14 :]) == reason


@pytest.mark.parametrize("header", [b"\1\1\0\x40\x40\0", b"\1\1\0\5\4\0"])
def test_jpeg_scans_of_coefficients_that_do_not_exist(header: bytes) -> None:
    data = pictures.jpeg(16, 16, progressive=True)
    assert refusal(data[:-2] + segment(0xDA, header) + b"x\xff\xd9") == "corrupt"


def test_jpeg_scans_must_bring_the_last_bit() -> None:
    """A progressive file that was cut between two scans and closed again looks whole to a decoder."""
    data = pictures.jpeg(64, 48, progressive=True)
    starts = [n for n in range(len(data)) if data[n : n + 2] == b"\xff\xda"]
    assert len(starts) == 10
    assert {refusal(data[:start] + b"\xff\xd9") for start in starts[1:]} == {"truncated"}


def test_jpeg_scans_one_after_the_other_are_a_picture() -> None:
    """Baseline, each component in a scan of its own: nothing says where the last one must end."""
    found = read_structure(_one_by_one(pictures.jpeg(16, 16, mode="L")), budget=BUDGET)
    assert (found.pieces, found.buffered_bytes) == (None, 2 * 16 * 16)
    assert found.picture_end is None


def _one_by_one(grey: bytes) -> bytes:
    """A grey JPEG turned into one of two scans, of which the second is of the same component again."""
    at = grey.index(b"\xff\xda")
    return grey[:-2] + grey[at:]


def _frame(data: bytes) -> bytes:
    at = data.index(b"\xff\xc0")
    return data[at : at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")]


def test_jpeg_fill_bytes_junk_and_late_comments_go() -> None:
    data = pictures.jpeg(16, 16)
    noisy = data[:2] + b"\xff\xff\xff" + data[2:20] + b"junk" + data[20:-2] + segment(0xFE, b"late") + b"!\xff\xff\xd9"
    assert stored(noisy) == data


def test_jpeg_thumbnail_of_jfif_goes_and_density_stays() -> None:
    data = pictures.jpeg(16, 16)
    thumbnail = segment(0xE0, b"JFIF\0\1\2\1\1\x2c\1\x2c\2\2" + bytes(12))
    kept = stored(data[:2] + thumbnail + data[20:])
    assert kept == data[:2] + segment(0xE0, b"JFIF\0\1\2\1\1\x2c\1\x2c\0\0") + data[20:]


def test_jpeg_adobe_marker_is_cut_to_its_size() -> None:
    data = pictures.jpeg(16, 16, mode="CMYK")
    at = data.index(b"\xff\xee")
    longer = data[:at] + segment(0xEE, data[at + 4 : at + 16] + b"hidden") + data[at + 16 :]
    assert stored(longer) == data


@pytest.mark.parametrize("parts", [[(1, 2)], [(1, 2), (1, 2)], [(1, 1), (2, 1)], [(1, 1)]])
def test_jpeg_profiles_that_are_not_whole_go(parts: list[tuple[int, int]]) -> None:
    data = pictures.jpeg(16, 16)
    profile = b"".join(segment(0xE2, b"ICC_PROFILE\0" + bytes(part) + b"x" * (part != (1, 1))) for part in parts)
    assert stored(data[:2] + profile + data[2:]) == data


def test_jpeg_exif_of_the_first_block_counts() -> None:
    data = pictures.jpeg(16, 16)
    blocks = segment(0xE1, b"Exif\0\0" + minimal_tiff(6)) + segment(0xE1, b"Exif\0\0" + minimal_tiff(3))
    structure = read_structure(data[:2] + blocks + data[2:], budget=BUDGET)
    assert structure.orientation == 6
    assert assemble(data[:2] + blocks + data[2:], structure) == data[:2] + blocks[: len(blocks) // 2] + data[2:]


# PNG


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("Apple's", b"\x89PNG\r\n\x1a\n" + chunk(b"CgBI", bytes(4)) + bytes(30), "unsupported_type"),
        ("no header", b"\x89PNG\r\n\x1a\n" + chunk(b"tEXt", bytes(13)) + bytes(30), "corrupt"),
        ("depth 3", png_of(16, 16, rows=ROWS, depth=3), "corrupt"),
        ("colour type 5", png_of(16, 16, rows=ROWS, colour_type=5), "corrupt"),
        ("interlace 2", png_of(16, 16, rows=ROWS)[:28] + b"\2" + bytes(99), "corrupt"),
        ("an unknown critical chunk", png_of(16, 16, rows=ROWS, extra=chunk(b"ABCD", b"")), "corrupt"),
        ("a name that is none", png_of(16, 16, rows=ROWS, extra=chunk(b"a1cd", b"")), "corrupt"),
        ("two headers", png_of(16, 16, rows=ROWS, extra=chunk(b"IHDR", bytes(13))), "corrupt"),
        ("no palette", png_of(16, 16, rows=ROWS, colour_type=3), "corrupt"),
        ("torn data", png_of(16, 16, rows=ROWS, extra=chunk(b"IDAT", b"") + chunk(b"tIME", bytes(7))), "corrupt"),
        ("a wrong checksum", pictures.png(16, 16)[:-2] + b"!!", "corrupt"),
        ("an endless chunk", png_of(16, 16, rows=ROWS)[:33] + b"\xff\xff\xff\xffIDAT" + bytes(9), "corrupt"),
        ("a long chunk", png_of(16, 16, rows=ROWS)[:33] + b"\0\xff\xff\xffIDAT" + bytes(9), "truncated"),
    ],
)
def test_png_that_is_none(name: str, data: bytes, reason: str) -> None:
    assert refusal(data) == reason


@pytest.mark.parametrize(
    "control",
    [
        bytes(25),
        struct.pack(">IIIIIHHBB", 0, 0, 1, 0, 0, 1, 1, 0, 0),
        struct.pack(">IIIIIHHBB", 0, 9, 9, 8, 8, 1, 1, 0, 0),
    ],
)
def test_apng_frames_must_lie_within_the_picture(control: bytes) -> None:
    animation = chunk(b"acTL", struct.pack(">II", 1, 0)) + chunk(b"fcTL", control)
    assert refusal(png_of(16, 16, rows=ROWS, extra=animation)) == "corrupt"


def test_png_animation_chunks_without_an_animation_go() -> None:
    plain = png_of(16, 16, rows=ROWS)
    control = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 16, 16, 0, 0, 1, 1, 0, 0))
    structure = read_structure(png_of(16, 16, rows=ROWS, extra=control), budget=BUDGET)
    assert structure.frames == 1
    assert stored(png_of(16, 16, rows=ROWS, extra=control)) == plain


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\0\0" + zlib.compress(b"x"),
        b"n" * 80 + b"\0\0" + zlib.compress(b"x"),
        b"n\0\1" + zlib.compress(b"x"),
        b"n\0\0no",
    ],
)
def test_png_profiles_that_are_none_go(payload: bytes) -> None:
    assert stored(png_of(16, 16, rows=ROWS, extra=chunk(b"iCCP", payload))) == png_of(16, 16, rows=ROWS)


@pytest.mark.parametrize(("length", "reason"), [(0, "corrupt"), (4, "corrupt"), (771, "corrupt")])
def test_png_palettes_have_whole_colours(length: int, reason: str) -> None:
    assert refusal(png_of(16, 16, rows=ROWS, colour_type=3, extra=chunk(b"PLTE", bytes(length)))) == reason


@pytest.mark.parametrize(
    ("colour_type", "extra"),
    [
        (0, chunk(b"sBIT", b"\1") + chunk(b"bKGD", bytes(2)) + chunk(b"tRNS", bytes(2))),
        (2, chunk(b"sBIT", b"123") + chunk(b"bKGD", bytes(6)) + chunk(b"tRNS", bytes(6))),
        (3, chunk(b"sBIT", b"123") + chunk(b"PLTE", bytes(9)) + chunk(b"bKGD", b"\1") + chunk(b"tRNS", bytes(3))),
        (4, chunk(b"sBIT", b"12") + chunk(b"bKGD", bytes(2))),
        (6, chunk(b"sBIT", b"1234") + chunk(b"bKGD", bytes(6))),
        (
            2,
            chunk(b"pHYs", bytes(9)) + chunk(b"mDCV", bytes(24)) + chunk(b"cLLI", bytes(8)) + chunk(b"cHRM", bytes(32)),
        ),
    ],
)
def test_png_chunks_of_the_right_length_stay(colour_type: int, extra: bytes) -> None:
    data = png_of(16, 16, rows=ROWS, colour_type=colour_type, extra=extra)
    assert stored(data) == data


PALETTE = chunk(b"PLTE", bytes(9))


@pytest.mark.parametrize(
    ("colour_type", "before", "dropped"),
    [
        (0, b"", chunk(b"PLTE", bytes(9))),
        (2, b"", chunk(b"PLTE", bytes(9))),
        (0, b"", chunk(b"tRNS", bytes(6))),
        (4, b"", chunk(b"tRNS", bytes(2))),
        (6, b"", chunk(b"tRNS", bytes(6))),
        (3, b"", chunk(b"tRNS", bytes(3)) + PALETTE),
        (3, PALETTE, chunk(b"tRNS", bytes(4))),
        (3, PALETTE, chunk(b"tRNS", b"")),
        (2, chunk(b"pHYs", bytes(9)), chunk(b"pHYs", b"2" * 9)),
        (2, b"", chunk(b"hIST", bytes(2))),
    ],
)
def test_png_chunks_that_no_decoder_heeds_go(colour_type: int, before: bytes, dropped: bytes) -> None:
    kept = before + (PALETTE if PALETTE in dropped and colour_type == 3 else b"")
    data = png_of(16, 16, rows=ROWS, colour_type=colour_type, extra=before + dropped)
    assert stored(data) == png_of(16, 16, rows=ROWS, colour_type=colour_type, extra=kept)


def test_png_colours_behind_the_picture_go() -> None:
    plain = png_of(16, 16, rows=ROWS)
    assert stored(pictures.with_chunks(plain, chunk(b"gAMA", bytes(4)), before=b"IEND")) == plain


def test_png_ends_are_empty() -> None:
    plain = png_of(16, 16, rows=ROWS)
    assert stored(plain[:-12] + chunk(b"IEND", b"hidden")) == plain


@pytest.mark.parametrize("length", [0, 7, 9])
def test_png_animation_headers_of_the_wrong_length_are_none(length: int) -> None:
    plain = png_of(16, 16, rows=ROWS)
    control = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 16, 16, 0, 0, 1, 1, 0, 0))
    data = png_of(16, 16, rows=ROWS, extra=chunk(b"acTL", bytes(length)) + control)
    assert read_structure(data, budget=BUDGET).frames == 1
    assert stored(data) == plain


def test_png_animation_headers_behind_the_picture_are_none() -> None:
    plain = pictures.png(16, 16)
    animated = pictures.apng(16, 16, frames=3)
    control, rest = animated.index(b"acTL") - 4, animated.index(b"IDAT") - 4
    late = animated[control : control + 20]
    moved = animated[:control] + animated[control + 20 : rest] + animated[rest:-12] + late + animated[-12:]
    structure = read_structure(moved, budget=BUDGET)
    assert structure.frames == 1
    assert b"fdAT" not in assemble(moved, structure)
    assert b"fcTL" not in assemble(moved, structure)
    assert read_structure(plain, budget=BUDGET).frames == 1


def test_png_data_of_frames_before_the_picture_go() -> None:
    animated = pictures.apng(16, 16, frames=2)
    early = pictures.with_chunks(animated, chunk(b"fdAT", b"0000hidden"))
    assert stored(early) == animated


def test_png_interlaced_pictures_are_counted_with_expanded_palettes() -> None:
    each = {(0, 1): 1, (0, 16): 2, (2, 8): 3, (2, 16): 6, (3, 4): 4, (4, 16): 4, (6, 8): 4, (6, 16): 8}
    for (colour_type, depth), size in each.items():
        options = {"rows": ROWS, "colour_type": colour_type, "depth": depth, "extra": PALETTE * (colour_type == 3)}
        found = [read_structure(png_of(16, 16, interlace=n, **options), budget=BUDGET) for n in (0, 1)]
        assert [f.buffered_bytes for f in found] == [0, 256 * size]


def test_png_colours_and_resolution_stay() -> None:
    kept = chunk(b"gAMA", bytes(4)) + chunk(b"sRGB", b"\0") + chunk(b"cICP", bytes(4)) + chunk(b"pHYs", bytes(9))
    assert stored(png_of(16, 16, rows=ROWS, extra=kept)) == png_of(16, 16, rows=ROWS, extra=kept)


# WebP


EXTENDED = riff_chunk(b"VP8X", b"\0\0\0\0" + b"\x0f\0\0" + b"\x0f\0\0")
PICTURE = pictures.webp(16, 16)[12:]
LOSSLESS = pictures.webp(16, 16, lossless=True)[12:]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("nothing", riff_of(b""), "corrupt"),
        ("something else", riff_of(riff_chunk(b"JUNK", b"")), "corrupt"),
        ("a short header", riff_of(riff_chunk(b"VP8X", bytes(9)) + PICTURE), "corrupt"),
        ("no picture", riff_of(EXTENDED), "corrupt"),
        ("no frames", riff_of(riff_chunk(b"VP8X", b"\2\0\0\0" + bytes(6))), "corrupt"),
        ("a short frame", riff_of(riff_chunk(b"VP8X", b"\2\0\0\0" + bytes(6)) + riff_chunk(b"ANMF", b"")), "corrupt"),
        (
            "a frame outside",
            riff_of(riff_chunk(b"VP8X", b"\2\0\0\0" + bytes(6)) + riff_chunk(b"ANMF", b"\1" + bytes(15))),
            "corrupt",
        ),
        (
            "an empty frame",
            riff_of(riff_chunk(b"VP8X", b"\2\0\0\0" + bytes(6)) + riff_chunk(b"ANMF", bytes(16))),
            "corrupt",
        ),
        ("a chunk too long", riff_of(b"VP8 \xff\0\0\0abc"), "corrupt"),
        ("a broken start", riff_of(riff_chunk(b"VP8 ", bytes(20))), "corrupt"),
        ("half a file", riff_of(PICTURE)[:-4], "truncated"),
    ],
)
def test_webp_that_is_none(name: str, data: bytes, reason: str) -> None:
    assert refusal(data) == reason


@pytest.mark.parametrize("picture", [PICTURE, LOSSLESS])
def test_webp_chunks_that_nobody_sees_go(picture: bytes) -> None:
    assert stored(riff_of(picture + riff_chunk(b"EXIF", minimal_tiff(6)))) == riff_of(picture)
    flags = riff_chunk(b"VP8X", b"\x2c\0\0\0" + b"\x0f\0\0" + b"\x0f\0\0")
    noisy = riff_of(flags + picture + riff_chunk(b"XMP ", b"x") + riff_chunk(b"NOTE", b"x"))
    assert stored(noisy) == riff_of(EXTENDED + picture)


def test_webp_profiles_that_are_too_large_go() -> None:
    flags = riff_chunk(b"VP8X", b"\x20\0\0\0" + b"\x0f\0\0" + b"\x0f\0\0")
    for profile in (b"", bytes(MAX_PROFILE + 1)):
        assert stored(riff_of(flags + riff_chunk(b"ICCP", profile) + PICTURE)) == riff_of(EXTENDED + PICTURE)


def test_webp_chunks_inside_frames_go() -> None:
    animated = pictures.webp(16, 16, frames=2)
    at = animated.index(b"ANMF")
    length = int.from_bytes(animated[at + 4 : at + 8], "little")
    frame = riff_chunk(b"ANMF", animated[at + 8 : at + 8 + length] + riff_chunk(b"NOTE", b"hidden"))
    assert stored(riff_of(animated[12:at] + frame + animated[at + 8 + length :])) == animated


# GIF


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("no picture", lambda d: d[: 13 + 3 * 64] + b";", "corrupt"),
        ("an unknown block", lambda d: d[: 13 + 3 * 64] + b"?" + d[13 + 3 * 64 :], "corrupt"),
        ("too many blocks", lambda d: d[: 13 + 3 * 64] + bytes(100_001) + d[13 + 3 * 64 :], "corrupt"),
        ("no trailer", lambda d: d[:-1], "truncated"),
        ("a code size of 12", lambda d: d[: 13 + 3 * 64 + 10] + b"\x0c" + d[13 + 3 * 64 + 11 :], "corrupt"),
        ("an empty frame", lambda d: d[: 13 + 3 * 64 + 5] + bytes(4) + d[13 + 3 * 64 + 9 :], "corrupt"),
    ],
)
def test_gif_that_is_none(name: str, change: Callable[[bytes], bytes], reason: str) -> None:
    assert refusal(change(pictures.gif(16, 16))) == reason


def test_gif_plain_text_goes_with_its_control() -> None:
    data = pictures.gif(16, 16)
    at = 13 + 3 * 64
    control, text = b"!\xf9\x04\0\0\0\0\0", b"!\x01\x0c" + bytes(12) + b"\5hello\0"
    assert stored(data[:at] + control + text + bytes(3) + data[at:]) == data
    assert stored(data[:at] + control + data[at:]) == data[:at] + control + data[at:]


def test_gif_screens_grow_with_the_first_frame() -> None:
    data = pictures.gif(32, 24)
    found = pipeline.ingest(data[:6] + struct.pack("<HH", 4, 30) + data[10:], budget=BUDGET, strip_metadata=True)
    assert (found.inspected.width, found.inspected.height) == (32, 30)


def test_gif_frames_count_with_all_that_is_decoded_of_them() -> None:
    """A canvas of one pixel does not make large frames cheap, nor do small frames a large canvas."""
    small = hostile.gif_sized(1, 1)
    head, frame = small[:19], small[19:-1]
    large = frame[:5] + struct.pack("<HH", 1000, 1000) + frame[9:]
    assert refusal(head + frame + large * 4 + b";") == "too_many_frames"
    assert read_structure(head + frame + large * 3 + b";", budget=BUDGET).frames == 4
    assert refusal(hostile.gif_sized(1000, 1000, frames=5)) == "too_many_frames"
    assert read_structure(hostile.gif_sized(1000, 1000, frames=4), budget=BUDGET).frames == 4


# AVIF


def avif_with(*, where: bytes, insert: bytes) -> bytes:
    """An AVIF with boxes put before its picture data, and the offsets that this moves."""
    data = pictures.avif(16, 16)
    at = data.index(where) - 4
    iloc = data.index(b"iloc")
    offset = int.from_bytes(data[iloc + 18 : iloc + 22], "big")
    moved = data[: iloc + 18] + struct.pack(">I", offset + len(insert)) + data[iloc + 22 :]
    return moved[:at] + insert + moved[at:]


def test_avif_boxes_that_nobody_sees_are_blanked_in_place() -> None:
    secret = box(b"uuid", b"c2pa-secret-manifest") + box(b"wxyz", b"secret") + box(b"free", b"secret")
    data = avif_with(where=b"mdat", insert=secret)
    kept = stored(data)
    assert len(kept) == len(data)
    assert b"secret" not in kept
    assert kept.count(b"free") == 3
    assert pipeline.ingest(kept, budget=BUDGET, strip_metadata=True).inspected.pieces is None


def test_avif_data_that_belong_to_no_item_are_blanked() -> None:
    data = pictures.avif(16, 16)
    at = data.index(b"mdat") - 4
    size = int.from_bytes(data[at : at + 4], "big")
    hidden = data[:at] + struct.pack(">I", size + 6) + data[at + 4 :] + b"secret"
    assert stored(hidden) == hidden[:-6] + bytes(6)


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("no picture data", lambda d: d[: d.index(b"mdat") - 4], "truncated"),
        ("no header", lambda d: d[:32] + box(b"mdat", bytes(9)), "truncated"),
        ("two headers", lambda d: d + d[32 : d.index(b"mdat") - 4], "corrupt"),
        ("no primary item", lambda d: d.replace(b"pitm", b"pitn"), "corrupt"),
        ("no size", lambda d: d.replace(b"ispe", b"ispf"), "corrupt"),
        ("no properties", lambda d: d.replace(b"iprp", b"iprq"), "corrupt"),
        ("no kinds", lambda d: d.replace(b"iinf", b"iing"), "corrupt"),
        ("odd kinds", lambda d: d.replace(b"infe", b"infx"), "corrupt"),
        ("odd places", lambda d: d.replace(b"iloc\0", b"iloc\3"), "corrupt"),
        ("a place behind the end", lambda d: _placed(d, offset=1 << 30), "truncated"),
        ("a place in the header", lambda d: _placed(d, offset=8), "corrupt"),
        ("an item inside nothing", lambda d: _placed(d, offset=8).replace(b"iloc\0", b"iloc\1"), "corrupt"),
        ("a missing property", lambda d: _last_property(d, index=99), "corrupt"),
        ("a box too short", lambda d: _sized(d, kind=b"iinf", size=4), "corrupt"),
        ("a box too long", lambda d: _sized(d, kind=b"iinf", size=4000), "corrupt"),
        ("too many boxes", lambda d: avif_with_meta(lambda b: b + box(b"free", b"") * 4096), "corrupt"),
        ("too many items", lambda d: d.replace(b"ipma\0\0\0\0\0\0", b"ipma\0\0\0\0\xff\xff"), "corrupt"),
        ("tracks without samples", lambda d: pictures.avif(16, 16, frames=2).replace(b"stsz", b"stsx"), "corrupt"),
        ("lying tracks", lambda d: _tracked(samples=2**31), "corrupt"),
    ],
)
def test_avif_that_is_none(name: str, change: Callable[[bytes], bytes], reason: str) -> None:
    assert refusal(change(pictures.avif(16, 16))) == reason


def _sized(data: bytes, *, kind: bytes, size: int) -> bytes:
    at = data.index(kind) - 4
    return data[:at] + struct.pack(">I", size) + data[at + 4 :]


def _tracked(*, samples: int) -> bytes:
    data = pictures.avif(16, 16, frames=2)
    at = data.index(b"stsz") + 12
    return data[:at] + struct.pack(">I", samples) + data[at + 4 :]


def avif_with_meta(change: Callable[[bytes], bytes], *, inline: bool = False) -> bytes:
    """An AVIF whose header is what `change` makes of the boxes in it. With `inline` the picture lies in the header."""
    data = pictures.avif(16, 16)
    at, end = data.index(b"meta") + 8, data.index(b"mdat") - 4
    iloc = data.index(b"iloc") - 4
    picture = data[end + 8 :]
    after = iloc + int.from_bytes(data[iloc : iloc + 4], "big")
    method = 1 if inline else 0

    def header(offset: int) -> bytes:
        place = struct.pack(">HHHHHII", 1, 1, method, 0, 1, offset, len(picture))
        new = box(b"iloc", b"\1\0\0\0\x44\0" + place)
        return box(b"meta", bytes(4) + change(data[at:iloc] + new + data[after:end]))

    if inline:
        old = change
        change = lambda boxes: old(boxes) + box(b"idat", picture)  # noqa: E731
        return data[: at - 12] + header(0)
    return data[: at - 12] + header(at - 12 + len(header(0)) + 8) + box(b"mdat", picture)


def test_avif_pictures_inside_the_header() -> None:
    data = avif_with_meta(lambda boxes: boxes, inline=True)
    assert read_structure(data, budget=BUDGET).pieces is None
    assert pipeline.ingest(data, budget=BUDGET, strip_metadata=True).inspected.width == 16
    far = data.replace(b"idat", b"idax")
    assert refusal(far) == "truncated"


def test_avif_thumbnails_are_blanked() -> None:
    """Item 2 is a thumbnail of item 1; it has no bytes of its own here but those behind the picture's."""
    data = pictures.avif(16, 16)
    picture = data[data.index(b"mdat") + 4 :]

    def with_thumbnail(boxes: bytes) -> bytes:
        entry = box(b"infe", b"\2\0\0\0" + struct.pack(">HH", 2, 0) + b"av01\0")
        at = boxes.index(b"iinf") - 4
        size = int.from_bytes(boxes[at : at + 4], "big")
        items = box(b"iinf", bytes(4) + struct.pack(">H", 2) + boxes[at + 14 : at + size] + entry)
        references = box(b"iref", bytes(4) + box(b"thmb", struct.pack(">HHH", 2, 1, 1)))
        place = boxes.index(b"iloc") - 4
        length = int.from_bytes(boxes[place : place + 4], "big")
        first = boxes[place + 16 : place + length]
        offset = int.from_bytes(first[8:12], "big") + len(picture)
        second = struct.pack(">HHHHII", 2, 0, 0, 1, offset, 6)
        iloc = box(b"iloc", b"\1\0\0\0\x44\0" + struct.pack(">H", 2) + first + second)
        return boxes[:place] + iloc + boxes[place + length : at] + items + references + boxes[at + size :]

    made = avif_with_meta(with_thumbnail)
    moved = made[: -len(picture) - 8] + box(b"mdat", picture + b"secret")
    assert stored(moved) == moved[:-6] + bytes(6)
    assert pipeline.ingest(moved, budget=BUDGET, strip_metadata=True).inspected.height == 16


def test_avif_profiles_that_are_too_large_go() -> None:
    def with_profile(boxes: bytes) -> bytes:
        at, around = boxes.index(b"ipco") - 4, boxes.index(b"iprp") - 4
        size = int.from_bytes(boxes[at : at + 4], "big")
        grown = box(b"ipco", boxes[at + 8 : at + size] + box(b"colr", b"prof" + b"x" * MAX_PROFILE + b"x"))
        total = int.from_bytes(boxes[around : around + 4], "big")
        return boxes[:around] + box(b"iprp", grown + boxes[at + size : around + total]) + boxes[around + total :]

    kept = stored(avif_with_meta(with_profile))
    assert b"xxxx" not in kept
    assert kept.count(b"free") == 1


def test_avif_user_data_of_sequences_go() -> None:
    data = pictures.avif(16, 16, frames=2)
    at = data.index(b"edts") - 4
    replaced = data.replace(b"edts", b"udta")
    assert stored(replaced)[at + 4 : at + 8] == b"free"


def _placed(data: bytes, *, offset: int) -> bytes:
    at = data.index(b"iloc") + 18
    return data[:at] + struct.pack(">I", offset) + data[at + 4 :]


def _last_property(data: bytes, *, index: int) -> bytes:
    at = data.index(b"ipma") - 4
    end = at + int.from_bytes(data[at : at + 4], "big")
    return data[: end - 1] + bytes((index,)) + data[end:]


def test_avif_sequences_lose_their_dates() -> None:
    data = pictures.avif(16, 16, frames=2)
    for kind in (b"mvhd", b"tkhd", b"mdhd"):
        at = data.index(kind) + 8
        data = data[:at] + b"dated123" + data[at + 8 :]
    kept = stored(data)
    assert b"dated123" not in kept
    assert len(kept) == len(data)


# All of them


def test_orientation_of_odd_blocks() -> None:
    assert read_orientation(minimal_tiff(5)) == 5
    little = b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\7\0\0\0\0\0\0\0"
    assert read_orientation(little) == 7
    assert read_orientation(little.replace(b"\3\0\1", b"\4\0\1")) == 7
    assert read_orientation(little.replace(b"\3\0\1", b"\5\0\1")) == 1
    assert read_orientation(little.replace(b"\7\0\0\0", b"\x09\0\0\0")) == 1
    assert read_orientation(little.replace(b"\x12\1", b"\x13\1")) == 1
    assert read_orientation(b"II*\0\xff\xff\xff\xff") == 1
    assert read_orientation(b"") == 1


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("sideways", [None, False, True])
def test_turning_adds_up(quarters: int, sideways: bool | None) -> None:
    turning = Turning()
    turning.rotate(quarters)
    if sideways is not None:
        turning.mirror(sideways=sideways)
    expected = {None: (1, 8, 3, 6), False: (4, 5, 2, 7), True: (2, 7, 4, 5)}[sideways]
    assert turning.orientation == expected[quarters]


def test_a_file_in_too_many_pieces_is_refused() -> None:
    kept = Assembly(bytes(4 * MAX_PIECES))
    for at in range(0, 2 * MAX_PIECES, 2):
        kept.keep(at, at + 1)
        kept.keep(at + 1, at + 1)
    with pytest.raises(InvalidFileFormat):
        kept.keep(2 * MAX_PIECES, 2 * MAX_PIECES + 1)


def test_new_bytes_next_to_each_other_are_one_piece() -> None:
    kept = Assembly(b"abc")
    kept.insert(b"")
    kept.insert(b"x")
    kept.insert(b"y")
    kept.replace(0, 3, new=b"abc")
    other = Assembly(b"abc")
    other.extend(kept)
    assert other.length == 5
    assert assemble_pieces(other) == b"xyabc"


def assemble_pieces(kept: Assembly) -> bytes:
    pieces = kept.finish()
    assert pieces is not None
    return b"".join(p if isinstance(p, bytes) else b"abc"[p.offset : p.offset + p.length] for p in pieces)
