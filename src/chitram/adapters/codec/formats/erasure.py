"""What the headers of an AVIF file tell beside the picture, overwritten in place, so that no offset in it changes.

Allow-lists: a box that is not known to be needed for showing the picture becomes one of the kind `free`, all zeros.
"""

from collections.abc import Iterator

from chitram.adapters.codec.formats.boxes import Box, walk
from chitram.adapters.codec.formats.icc import neutral_profile
from chitram.adapters.codec.formats.structure import MAX_PROFILE, Buffer, corrupt

#: Where an edit starts and stops in the file, and as many new bytes.
Edit = tuple[int, int, bytes]

_META = frozenset({b"hdlr", b"pitm", b"iloc", b"iinf", b"iprp", b"iref", b"idat", b"grpl"})
#: Properties of items, with the length of those that always have the same.
_PROPERTIES = {
    b"ispe": 12,
    b"irot": 1,
    b"imir": 1,
    b"clap": 32,
    b"pasp": 8,
    b"a1op": 1,
    b"lsel": 2,
    b"clli": 4,
    b"mdcv": 24,
    **dict.fromkeys((b"pixi", b"av1C", b"colr", b"auxC", b"a1lx", b"iscl"), None),
}
#: The boxes in each box of a sequence; those that have an entry of their own are looked into.
_SEQUENCE = {
    b"moov": frozenset({b"mvhd", b"trak"}),
    b"trak": frozenset({b"tkhd", b"tref", b"edts", b"mdia"}),
    b"edts": frozenset({b"elst"}),
    b"mdia": frozenset({b"mdhd", b"hdlr", b"minf"}),
    b"minf": frozenset({b"vmhd", b"nmhd", b"dinf", b"stbl"}),
    b"dinf": frozenset({b"dref"}),
    b"stbl": frozenset(
        {b"stsd", b"stts", b"ctts", b"cslg", b"stsc", b"stsz", b"stco", b"co64", b"stss", b"sdtp", b"sbgp", b"sgpd"}
    ),
}
_SAMPLE_ENTRY = frozenset({b"av1C", b"colr", b"ccst", b"auxi", b"pasp", b"clap", b"btrt", b"clli", b"mdcv"})
_DATED = frozenset({b"mvhd", b"tkhd", b"mdhd"})
#: Where in the body of a sample entry the name of the encoder and the boxes begin.
_ENCODER, _ENTRY_BOXES = 42, 78
#: Names that encoders give to items of every file: they tell nothing, and files that have them stay as they are.
_USUAL_NAMES = frozenset({b"Color\0", b"Alpha\0", b"Exif\0", b"XMP\0application/rdf+xml\0"})
_USUAL_ENCODERS = frozenset({b"\x0aAOM Coding".ljust(32, b"\0")})


def erase(box: Box) -> list[Edit]:
    """Make `box` an empty one."""
    return [(box.start + 4, box.start + 8, b"free"), *_blank(box.body, box.stop)]


def colour_profile(data: Buffer, box: Box) -> bytes | None:
    """The neutral form of the ICC profile in a `colr` box; None when there is none that is valid and fits into it."""
    if data[box.body : box.body + 4] not in (b"prof", b"rICC") or box.stop - box.body > MAX_PROFILE:
        return None
    profile = neutral_profile(data[box.body + 4 : box.stop])
    return profile if profile is not None and len(profile) <= box.stop - box.body - 4 else None


def edits_of_meta(data: Buffer, meta: Box) -> Iterator[Edit]:
    """What goes from the header of the items."""
    seen = set()
    for box in walk(data, start=meta.body + 4, stop=meta.stop):
        if box.kind not in _META:
            yield from erase(box)
            continue
        if box.kind in seen:
            raise corrupt("it has two headers")
        seen.add(box.kind)
        if box.kind == b"hdlr":
            yield from _handler(box)
        elif box.kind == b"iinf":
            yield from _item_names(data, box)
        elif box.kind == b"iprp":
            yield from _properties(data, box)


def edits_of_sequence(data: Buffer, moov: Box) -> Iterator[Edit]:
    """What goes from the header of the tracks."""
    waiting = [moov]
    while waiting:
        parent = waiting.pop()
        for box in walk(data, start=parent.body, stop=parent.stop):
            if box.kind not in _SEQUENCE[parent.kind]:
                yield from erase(box)
            elif box.kind in _SEQUENCE:
                waiting.append(box)
            else:
                yield from _track_table(data, box)


def _track_table(data: Buffer, box: Box) -> Iterator[Edit]:
    """What goes from one of the tables of a track: dates, names, places of other files."""
    if box.kind in _DATED:
        wide = data[box.body : box.body + 1] != b"\0"
        yield from _blank(box.body + 4, min(box.stop, box.body + 4 + (16 if wide else 8)))
    elif box.kind == b"hdlr":
        yield from _handler(box)
    elif box.kind in (b"dref", b"stsd"):
        for entry in walk(data, start=min(box.body + 8, box.stop), stop=box.stop):
            yield from _sample_entry(data, entry) if box.kind == b"stsd" else _blank(entry.body + 4, entry.stop)


def _blank(start: int, stop: int) -> list[Edit]:
    return [(start, stop, bytes(stop - start))] if stop > start else []


def _handler(box: Box) -> list[Edit]:
    """The name behind the kind of a handler, which is mostly that of the program."""
    return _blank(box.body + 24, box.stop)


def _item_names(data: Buffer, box: Box) -> Iterator[Edit]:
    """The names of items, and what they are said to contain."""
    start = box.body + (8 if data[box.body] else 6)
    for entry in walk(data, start=min(start, box.stop), stop=box.stop):
        name = entry.body + (12 if data[entry.body] == 2 else 14)
        if data[name : entry.stop] not in _USUAL_NAMES:
            yield from _blank(name, entry.stop)


def _properties(data: Buffer, box: Box) -> Iterator[Edit]:
    for inside in walk(data, start=box.body, stop=box.stop):
        if inside.kind == b"ipco":
            for prop in walk(data, start=inside.body, stop=inside.stop):
                yield from _property(data, prop)
        elif inside.kind != b"ipma":
            yield from erase(inside)


def _property(data: Buffer, box: Box) -> list[Edit]:
    if box.kind not in _PROPERTIES:
        return erase(box)
    if box.kind == b"colr":
        return _colour(data, box)
    if box.kind == b"auxC":
        return _auxiliary(data, box)
    length = _PROPERTIES[box.kind]
    return [] if length is None else _blank(box.body + length, box.stop)


def _colour(data: Buffer, box: Box) -> list[Edit]:
    if data[box.body : box.body + 4] == b"nclx":
        return _blank(box.body + 11, box.stop)
    profile = colour_profile(data, box)
    if profile is None:
        return erase(box)
    return [(box.body + 4, box.stop, profile.ljust(box.stop - box.body - 4, b"\0"))]


def _auxiliary(data: Buffer, box: Box) -> list[Edit]:
    """What an auxiliary picture is for is a name that ends with a zero byte; nothing here has a use for more."""
    name = data[box.body + 4 : box.stop].partition(b"\0")[0]
    return _blank(box.body + 4 + len(name), box.stop)


def _sample_entry(data: Buffer, entry: Box) -> Iterator[Edit]:
    start, stop = entry.body + _ENCODER, entry.body + _ENCODER + 32
    if entry.body + _ENTRY_BOXES > entry.stop:
        raise corrupt("a track has an impossible format")
    if data[start:stop] not in _USUAL_ENCODERS:
        yield from _blank(start, stop)
    for box in walk(data, start=entry.body + _ENTRY_BOXES, stop=entry.stop):
        if box.kind not in _SAMPLE_ENTRY:
            yield from erase(box)
        elif box.kind == b"colr":
            yield from _colour(data, box)
        elif box.kind == b"auxi":
            yield from _auxiliary(data, box)
