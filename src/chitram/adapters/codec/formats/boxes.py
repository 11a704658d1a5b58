"""Boxes of the ISO base media file format (ISO/IEC 14496-12) and the items that they describe (ISO/IEC 23008-12)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from chitram.adapters.codec.formats.cursor import Cursor
from chitram.adapters.codec.formats.structure import Buffer, corrupt, truncated

#: An honest file has tens of boxes a level, and fewer items than this.
MAX_BOXES = 4096
#: Of all items together: a large picture is put together from some 256 tiles.
_MAX_EXTENTS = 1024


@dataclass(frozen=True, slots=True)
class Box:
    """`body` is behind the size and the kind."""

    kind: bytes
    start: int
    body: int
    stop: int


@dataclass(frozen=True, slots=True)
class Extent:
    """Bytes from `start` to `stop` of the file, or of the item data box if `inline`."""

    inline: bool
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Items:
    """What a `meta` box says. Keys are item ids; `properties` of an item are in the order in which they apply."""

    primary: int | None
    kinds: Mapping[int, bytes]
    extents: Mapping[int, tuple[Extent, ...]]
    properties: Mapping[int, tuple[Box, ...]]
    thumbnails: frozenset[int]
    all_properties: tuple[Box, ...]
    item_data: Box | None


def walk(data: Buffer, *, start: int, stop: int) -> Iterator[Box]:
    """The boxes that fill the bytes from `start` to `stop`."""
    for _ in range(MAX_BOXES):
        if start == stop:
            return
        box = box_at(data, start=start, stop=stop)
        if box.stop > stop:
            raise truncated() if stop == len(data) else corrupt("a box is longer than the one around it")
        yield box
        start = box.stop
    raise corrupt("it has too many boxes")


def box_at(data: Buffer, *, start: int, stop: int) -> Box:
    """The box that begins at `start`. It may claim to end behind `stop`."""
    cursor = Cursor(data, position=start, end=stop)
    size, kind = cursor.number(4), cursor.take(4)
    if size == 1:
        size = cursor.number(8)
    elif size == 0:
        size = stop - start
    if size < cursor.position - start:
        raise corrupt("a box is shorter than its header")
    return Box(kind, start, cursor.position, start + size)


def find(data: Buffer, box: Box, *path: bytes) -> Box | None:
    """The first box below `box` at `path`."""
    for kind in path:
        inside = next((b for b in walk(data, start=box.body, stop=box.stop) if b.kind == kind), None)
        if inside is None:
            return None
        box = inside
    return box


def full(data: Buffer, box: Box) -> tuple[int, int, Cursor]:
    """Version and flags of a full box, and a cursor at what follows them."""
    cursor = Cursor(data, position=box.body, end=box.stop)
    return cursor.number(1), cursor.number(3), cursor


def read_items(data: Buffer, meta: Box) -> Items:
    """Everything that is needed of a `meta` box."""
    inside = {b.kind: b for b in walk(data, start=meta.body + 4, stop=meta.stop)}
    references = _references(data, inside.get(b"iref"))
    all_properties = _all_properties(data, inside.get(b"iprp"))
    return Items(
        primary=_primary(data, inside.get(b"pitm")),
        kinds=_kinds(data, inside.get(b"iinf")),
        extents=_extents(data, inside.get(b"iloc")),
        properties=_associations(data, inside.get(b"iprp"), properties=all_properties),
        thumbnails=references,
        all_properties=all_properties,
        item_data=inside.get(b"idat"),
    )


def _primary(data: Buffer, box: Box | None) -> int | None:
    if box is None:
        return None
    version, _, cursor = full(data, box)
    return cursor.number(4 if version else 2)


def _kinds(data: Buffer, box: Box | None) -> dict[int, bytes]:
    """Item id → four-letter kind."""
    if box is None:
        return {}
    version, _, cursor = full(data, box)
    cursor.skip(4 if version else 2)
    kinds: dict[int, bytes] = {}
    for entry in walk(data, start=cursor.position, stop=box.stop):
        version, _, inside = full(data, entry)
        if entry.kind != b"infe" or version not in (2, 3):
            raise corrupt("an item is described in an unknown way")
        item = inside.number(2 if version == 2 else 4)
        inside.skip(2)
        kinds[item] = inside.take(4)
    return kinds


def _extents(data: Buffer, box: Box | None) -> dict[int, tuple[Extent, ...]]:
    """Item id → where its data lie."""
    if box is None:
        return {}
    version, _, cursor = full(data, box)
    sizes, more = cursor.number(1), cursor.number(1)
    offset_size, length_size, base_size = sizes >> 4, sizes & 15, more >> 4
    index_size = more & 15 if version else 0
    if version > 2 or {offset_size, length_size, base_size, index_size} - {0, 4, 8}:
        raise corrupt("its items lie in an unknown way")
    found: dict[int, tuple[Extent, ...]] = {}
    id_size = 4 if version == 2 else 2
    total = 0
    for _ in range(_bounded(cursor.number(id_size))):
        item = cursor.number(id_size)
        method = cursor.number(2) & 15 if version else 0
        cursor.skip(2)
        base = cursor.number(base_size)
        extents: list[Extent] = []
        count = cursor.number(2)
        total += count
        for _ in range(_bounded(total, at_most=_MAX_EXTENTS) and count):
            cursor.skip(index_size)
            start = base + cursor.number(offset_size)
            extents.append(Extent(method == 1, start, start + cursor.number(length_size)))
        if method > 1 or item in found:
            raise corrupt("an item lies in an unknown way")
        found[item] = tuple(extents)
    return found


def _bounded(count: int, *, at_most: int = MAX_BOXES) -> int:
    if count > at_most:
        raise corrupt("it has too many items")
    return count


def _all_properties(data: Buffer, box: Box | None) -> tuple[Box, ...]:
    container = None if box is None else find(data, box, b"ipco")
    return () if container is None else tuple(walk(data, start=container.body, stop=container.stop))


def _associations(data: Buffer, box: Box | None, *, properties: tuple[Box, ...]) -> dict[int, tuple[Box, ...]]:
    """Item id → its properties in the order in which they apply."""
    table = None if box is None else find(data, box, b"ipma")
    if table is None:
        return {}
    version, flags, cursor = full(data, table)
    found: dict[int, tuple[Box, ...]] = {}
    for _ in range(_bounded(cursor.number(4))):
        item = cursor.number(4 if version else 2)
        wide = 2 if flags & 1 else 1
        mask = 0x7FFF if flags & 1 else 0x7F
        indices = [cursor.number(wide) & mask for _ in range(cursor.number(1))]
        if any(index > len(properties) for index in indices):
            raise corrupt("an item has a property that does not exist")
        found[item] = tuple(properties[index - 1] for index in indices if index)
    return found


def _references(data: Buffer, box: Box | None) -> frozenset[int]:
    """Ids of the items that are thumbnails of others."""
    if box is None:
        return frozenset()
    version, _, cursor = full(data, box)
    thumbnails = set()
    for entry in walk(data, start=cursor.position, stop=box.stop):
        if entry.kind == b"thmb":
            inside = Cursor(data, position=entry.body, end=entry.stop)
            thumbnails.add(inside.number(4 if version else 2))
    return frozenset(thumbnails)
