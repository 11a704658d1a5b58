"""AVIF: still pictures as items and sequences as tracks in ISO boxes (AV1 Image File Format)."""

from dataclasses import dataclass

from chitram.adapters.codec.formats.assembly import Assembly
from chitram.adapters.codec.formats.boxes import Box, Extent, Items, box_at, find, full, read_items, walk
from chitram.adapters.codec.formats.erasure import Edit, colour_profile, edits_of_meta, edits_of_sequence, erase
from chitram.adapters.codec.formats.orientation import Turning
from chitram.adapters.codec.formats.structure import (
    MAX_PARTS,
    Buffer,
    Pieces,
    Structure,
    check_frames,
    check_size,
    corrupt,
    truncated,
)
from chitram.domain.errors import InvalidFileFormat
from chitram.domain.media import Budget

CONTENT_TYPE = "image/avif"

_BRANDS = frozenset({b"avif", b"avis"})
_TOP = frozenset({b"ftyp", b"meta", b"mdat", b"moov", b"free", b"skip", b"uuid"})
_FILLERS = frozenset({b"free", b"skip"})
#: Items that a picture is made of; all others (Exif, XMP, whatever comes) are metadata.
_PICTURES = frozenset({b"av01", b"grid", b"iovl", b"iden", b"tmap", b"sato"})
#: An Exif item that says nothing: decoders refuse a file whose Exif item is no Exif block.
_EMPTY_EXIF = b"\0\0\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"


@dataclass(frozen=True, slots=True)
class _Track:
    width: int
    height: int
    frames: int


def is_avif(data: Buffer) -> bool:
    if data[4:8] != b"ftyp":
        return False
    brands = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
    return any(brands[at : at + 4] in _BRANDS for at in range(0, len(brands), 4) if at != 4)


def read(data: Buffer, *, budget: Budget) -> Structure:
    """The structure of an AVIF file."""
    top, end = _top_boxes(data)
    by_kind = {b.kind: b for b in top}
    meta, moov = by_kind.get(b"meta"), by_kind.get(b"moov")
    if meta is None or (b"mdat" not in by_kind and find(data, Box(b"", 0, meta.body + 4, meta.stop), b"idat") is None):
        raise truncated()
    items = read_items(data, meta)
    size, orientation, profile = _primary(data, items, budget=budget)
    tracks = [] if moov is None else _tracks(data, moov, budget=budget)
    frames = max([1, *(t.frames for t in tracks)])
    check_frames(frames, total_pixels=frames * size[0] * size[1], budget=budget)
    edits = _edits(data, top=top, items=items, meta=meta, moov=moov)
    return Structure(
        content_type=CONTENT_TYPE,
        width=size[0],
        height=size[1],
        orientation=orientation,
        frames=frames,
        profile=profile,
        pieces=_apply(data, edits, end=end),
    )


def _top_boxes(data: Buffer) -> tuple[list[Box], int]:
    """The boxes of the file and where the last of them ends. What then follows and is no box was appended."""
    boxes: list[Box] = []
    position = 0
    while position < len(data) and len(boxes) < MAX_PARTS:
        try:
            box = box_at(data, start=position, stop=len(data))
        except InvalidFileFormat:
            box = None
        if box is None or box.stop > len(data):
            complete = {b.kind for b in boxes} >= {b"meta", b"mdat"}
            if not complete or (box is not None and box.kind in _TOP):
                raise truncated()
            break
        boxes.append(box)
        position = box.stop
    kinds = [b.kind for b in boxes]
    if kinds.count(b"meta") > 1 or kinds.count(b"moov") > 1:
        raise corrupt("it has two headers")
    return boxes, position


def _primary(data: Buffer, items: Items, *, budget: Budget) -> tuple[tuple[int, int], int, bytes | None]:
    """Size, orientation and colour profile of the primary item, with every size in the file checked."""
    for box in items.all_properties:
        if box.kind == b"ispe":
            check_size(*_extent_size(data, box), budget=budget)
    properties = items.properties.get(items.primary or 0, ())
    size = next((_extent_size(data, box) for box in properties if box.kind == b"ispe"), None)
    if (
        items.primary is None
        or items.kinds.get(items.primary) not in _PICTURES
        or size is None
        or not items.extents.get(items.primary)
    ):
        raise corrupt("it has no primary picture")
    turning, profile = Turning(), None
    for box in properties:
        value = data[box.body : min(box.stop, box.body + 1)]
        if box.kind == b"irot" and value:
            turning.rotate(value[0] & 3)
        elif box.kind == b"imir" and value:
            turning.mirror(sideways=bool(value[0] & 1))
        elif box.kind == b"colr" and profile is None:
            profile = colour_profile(data, box)
    return size, turning.orientation, profile


def _extent_size(data: Buffer, box: Box) -> tuple[int, int]:
    _, _, cursor = full(data, box)
    return cursor.number(4), cursor.number(4)


def _tracks(data: Buffer, moov: Box, *, budget: Budget) -> list[_Track]:
    """The tracks of a sequence."""
    tracks = []
    for trak in walk(data, start=moov.body, stop=moov.stop):
        table = find(data, trak, b"mdia", b"minf", b"stbl") if trak.kind == b"trak" else None
        if table is None:
            continue
        sizes, entries = find(data, table, b"stsz"), find(data, table, b"stsd")
        if sizes is None or entries is None:
            raise corrupt("a track has no samples")
        track = _Track(*_sample_entry_size(data, entries), frames=_samples(data, sizes))
        check_size(track.width, track.height, budget=budget)
        check_frames(track.frames, total_pixels=track.frames * track.width * track.height, budget=budget)
        tracks.append(track)
    return tracks


def _sample_entry_size(data: Buffer, box: Box) -> tuple[int, int]:
    _, _, cursor = full(data, box)
    cursor.skip(4 + 8 + 24)
    return cursor.number(2), cursor.number(2)


def _samples(data: Buffer, box: Box) -> int:
    """How many samples a track has: as many as there are sizes in the table, or as fit into the file."""
    _, _, cursor = full(data, box)
    each, count = cursor.number(4), cursor.number(4)
    if (each == 0 and cursor.left != 4 * count) or each * count > len(data):
        raise corrupt("a track has an impossible number of samples")
    return count


def _edits(data: Buffer, *, top: list[Box], items: Items, meta: Box, moov: Box | None) -> list[Edit]:
    """What is overwritten in place, so that no offset in the file changes: start, stop, new bytes."""
    homes = [b for b in top if b.kind == b"mdat"]
    wanted, dropped = _extents(data, items, homes=homes)
    edits: list[Edit] = list(edits_of_meta(data, meta))
    for start, stop, kind in dropped:
        if _subtract([(start, stop)], wanted) == [(start, stop)]:
            edits.append((start, stop, _filler(kind, length=stop - start)))
            wanted.append((start, stop))
    if moov is None:
        inline = [] if items.item_data is None else [items.item_data]
        spaces = _subtract([(b.body, b.stop) for b in [*homes, *inline]], wanted)
        edits.extend((start, stop, bytes(stop - start)) for start, stop in spaces)
    else:
        # Samples of the tracks lie in the same boxes: there only what is known to be metadata is overwritten.
        edits.extend(edits_of_sequence(data, moov))
    for box in top:
        if box.kind not in _TOP - _FILLERS - {b"uuid"}:
            edits.extend(erase(box))
    return edits


def _filler(kind: bytes, *, length: int) -> bytes:
    """`length` bytes that are a valid and empty item of `kind`."""
    if kind == b"Exif":
        return _EMPTY_EXIF[:length].ljust(length, b"\0")
    return (b" " if kind == b"mime" else b"\0") * length


def _extents(
    data: Buffer, items: Items, *, homes: list[Box]
) -> tuple[list[tuple[int, int]], list[tuple[int, int, bytes]]]:
    """Where the picture's own items lie, and where all others do and of what kind they are, as offsets in the file."""
    wanted: list[tuple[int, int]] = []
    dropped: list[tuple[int, int, bytes]] = []
    for item, extents in items.extents.items():
        kind = items.kinds.get(item, b"")
        for extent in extents:
            start, stop = _place(data, extent, items=items, homes=homes)
            if kind in _PICTURES and item not in items.thumbnails:
                wanted.append((start, stop))
            else:
                dropped.append((start, stop, kind))
    return wanted, dropped


def _place(data: Buffer, extent: Extent, *, items: Items, homes: list[Box]) -> tuple[int, int]:
    """The bytes of an extent. One without a length takes the rest of its box."""
    if extent.inline:
        homes = [] if items.item_data is None else [items.item_data]
        extent = Extent(
            True, extent.start + (homes[0].body if homes else 0), extent.stop + (homes[0].body if homes else 0)
        )
    if extent.stop > len(data):
        raise truncated()
    home = next((b for b in homes if b.body <= extent.start and extent.stop <= b.stop), None)
    if home is None:
        raise corrupt("an item lies outside the data")
    return extent.start, extent.stop if extent.stop > extent.start else home.stop


def _subtract(spaces: list[tuple[int, int]], wanted: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The parts of `spaces` that no range in `wanted` covers, in order and without overlaps."""
    rest: list[tuple[int, int]] = []
    ranges = sorted(wanted)
    done = 0
    for start, stop in sorted(spaces):
        position = max(start, done)
        for left, right in ranges:
            if right <= position:
                continue
            if left >= stop:
                break
            if left > position:
                rest.append((position, left))
            position = right
        if position < stop:
            rest.append((position, stop))
        done = max(done, stop, position)
    return rest


def _apply(data: Buffer, edits: list[Edit], *, end: int) -> Pieces | None:
    """The file up to `end` with the edits in it."""
    kept = Assembly(data)
    position = 0
    for start, stop, new in sorted(edits):
        if start < position:
            raise corrupt("its parts overlap")
        kept.keep(position, start)
        kept.replace(start, stop, new=new)
        position = stop
    kept.keep(position, end)
    return kept.finish()
