"""PNG and animated PNG: chunks (W3C PNG, third edition)."""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from chitram.adapters.codec.formats.assembly import Assembly
from chitram.adapters.codec.formats.icc import inflate_profile, neutral_profile, wrapped_in_zlib
from chitram.adapters.codec.formats.orientation import minimal_tiff, read_orientation
from chitram.adapters.codec.formats.structure import (
    MAX_PARTS,
    Buffer,
    Pieces,
    Structure,
    check_frames,
    check_size,
    corrupt,
    truncated,
    unsupported,
)
from chitram.domain.media import Budget

CONTENT_TYPE = "image/png"
MAGIC = b"\x89PNG\r\n\x1a\n"

_CRITICAL = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
#: Chunks before the picture data that change how the picture looks, with the length that they have.
_LENGTHS = {b"cHRM": 32, b"gAMA": 4, b"sRGB": 1, b"cICP": 4, b"mDCV": 24, b"cLLI": 8, b"pHYs": 9}
#: Those whose length depends on the colour type. Transparency of a palette has up to one byte a colour.
_LENGTHS_BY_COLOUR = {
    b"sBIT": {0: 1, 2: 3, 3: 3, 4: 2, 6: 4},
    b"bKGD": {0: 2, 2: 6, 3: 1, 4: 2, 6: 6},
    b"tRNS": {0: 2, 2: 6},
}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_CHANNELS = {0: 1, 2: 3, 3: 4, 4: 2, 6: 4}
_PALETTE = 3
_MAX_PALETTE = 768
_PROFILE_NAME = b"ICC profile\0\0"


@dataclass(frozen=True, slots=True)
class _Chunk:
    kind: bytes
    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start - 12

    def payload(self, data: Buffer) -> bytes:
        return data[self.start + 8 : self.stop - 4]


@dataclass(frozen=True, slots=True)
class _Header:
    width: int
    height: int
    depth: int
    colour_type: int
    interlaced: bool

    @property
    def buffered_bytes(self) -> int:
        """Interlaced rows come in seven passes, so that a decoder holds the whole picture, with palettes expanded."""
        each = _CHANNELS[self.colour_type] * max(1, self.depth // 8)
        return self.width * self.height * each if self.interlaced else 0


def read(data: Buffer, *, budget: Budget) -> Structure:
    """The structure of a PNG file."""
    header = _header(data, budget=budget)
    chunks = _chunks(data)
    _check_order(chunks, colour_type=header.colour_type)
    first = next(number for number, c in enumerate(chunks) if c.kind == b"IDAT")
    before = chunks[:first]
    animated = any(c.kind == b"acTL" and c.length == 8 for c in before)
    exif = next((c for c in chunks if c.kind == b"eXIf"), None)
    orientation = 1 if exif is None else read_orientation(exif.payload(data))
    icc = next((c for c in before if c.kind == b"iCCP"), None)
    profile = None if icc is None else _profile(icc.payload(data))
    new = {chunks[-1]: _chunk(b"IEND", b"")}
    if icc is not None and profile is not None:
        new[icc] = _chunk(b"iCCP", _PROFILE_NAME + wrapped_in_zlib(profile))
    if exif is not None and orientation != 1:
        new[exif] = _chunk(b"eXIf", minimal_tiff(orientation))
    kept = {c for c in chunks if c.kind in (b"IHDR", b"IDAT")} | _visible(before, colour_type=header.colour_type)
    if animated:
        kept |= _animation(chunks, first=first)
    return Structure(
        content_type=CONTENT_TYPE,
        width=header.width,
        height=header.height,
        orientation=orientation,
        frames=_frames(data, chunks, first=first, header=header, budget=budget) if animated else 1,
        profile=profile,
        pieces=_pieces(data, chunks=chunks, kept=kept, new=new),
        buffered_bytes=header.buffered_bytes,
    )


def _header(data: Buffer, *, budget: Budget) -> _Header:
    if len(data) < 33:
        raise truncated()
    if data[12:16] == b"CgBI":
        raise unsupported("PNG files in Apple's private form are not accepted.")
    length, kind, width, height, depth, colour_type, *methods = struct.unpack(">I4sIIBBBBB", data[8:29])
    if (length, kind) != (13, b"IHDR"):
        raise corrupt("it does not begin with a header")
    if depth not in _DEPTHS.get(colour_type, ()) or methods[:2] != [0, 0] or methods[2] > 1:
        raise corrupt("its header is impossible")
    if width > 0x7FFFFFFF or height > 0x7FFFFFFF:
        raise corrupt("its size is impossible")
    check_size(width, height, budget=budget)
    return _Header(width, height, depth, colour_type, interlaced=methods[2] == 1)


def _chunks(data: Buffer) -> list[_Chunk]:
    """Every chunk from the header to the end marker, all with right checksums."""
    chunks: list[_Chunk] = []
    position = len(MAGIC)
    with memoryview(data) as view:
        while not chunks or chunks[-1].kind != b"IEND":
            if position + 12 > len(view):
                raise truncated()
            length, kind = struct.unpack_from(">I4s", view, position)
            stop = position + 12 + length
            if length > 0x7FFFFFFF or len(chunks) > MAX_PARTS or not kind.isalpha():
                raise corrupt("it has an impossible chunk")
            if stop > len(view):
                raise truncated()
            if zlib.crc32(view[position + 4 : stop - 4]) != int.from_bytes(view[stop - 4 : stop], "big"):
                raise corrupt("a checksum is wrong")
            chunks.append(_Chunk(kind, position, stop))
            position = stop
    return chunks


def _check_order(chunks: list[_Chunk], *, colour_type: int) -> None:
    """Raise unless the chunks that a decoder needs are there, once, in order."""
    kinds = [c.kind for c in chunks]
    if any(kind[:1].isupper() and kind not in _CRITICAL for kind in kinds):
        raise corrupt("it has a chunk that no decoder knows")
    if kinds.count(b"IHDR") != 1 or kinds.count(b"PLTE") > 1 or b"IDAT" not in kinds:
        raise corrupt("it has no picture data, or two headers")
    first, count = kinds.index(b"IDAT"), kinds.count(b"IDAT")
    if kinds[first : first + count] != [b"IDAT"] * count:
        raise corrupt("its picture data is torn apart")
    palette = next((c.length for c in chunks[:first] if c.kind == b"PLTE"), 0)
    if colour_type == _PALETTE and (palette % 3 or not 0 < palette <= _MAX_PALETTE):
        raise corrupt("it has no palette, or an impossible one")


def _visible(before: list[_Chunk], *, colour_type: int) -> set[_Chunk]:
    """Of the chunks before the picture data those that decoders heed: of the right length, the first of their kind."""
    kept: dict[bytes, _Chunk] = {}
    for chunk in before:
        kind = chunk.kind
        if kind in kept:
            continue
        if kind == b"PLTE":
            right = colour_type == _PALETTE
        elif kind == b"tRNS" and colour_type == _PALETTE:
            right = b"PLTE" in kept and 0 < chunk.length <= kept[b"PLTE"].length // 3
        else:
            right = chunk.length == _LENGTHS_BY_COLOUR.get(kind, {}).get(colour_type, _LENGTHS.get(kind))
        if right:
            kept[kind] = chunk
    return set(kept.values())


def _animation(chunks: list[_Chunk], *, first: int) -> set[_Chunk]:
    """The chunks of an animation; data of frames come behind the first picture."""
    header = next(c for c in chunks if c.kind == b"acTL" and c.length == 8)
    return {header, *(c for n, c in enumerate(chunks) if c.kind == b"fcTL" or (c.kind == b"fdAT" and n > first))}


def _frames(data: Buffer, chunks: list[_Chunk], *, first: int, header: _Header, budget: Budget) -> int:
    """Frames of the animation, counted: what the animation header says of them is not asked. The picture data begin
    with the chunk number `first`.
    """
    controls = [c.payload(data) for c in chunks if c.kind == b"fcTL"]
    for control in controls:
        if len(control) != 26:
            raise corrupt("a frame has an impossible header")
        width, height, left, top = struct.unpack_from(">IIII", control, 4)
        if not (0 < width <= header.width - left and 0 < height <= header.height - top):
            raise corrupt("a frame lies outside the picture")
    default = 0 if any(c.kind == b"fcTL" for c in chunks[:first]) else 1
    frames = max(1, len(controls) + default)
    check_frames(frames, total_pixels=frames * header.width * header.height, budget=budget)
    return frames


def _profile(payload: bytes) -> bytes | None:
    """The neutral form of the ICC profile in an iCCP chunk: name, NUL, method 0, zlib stream."""
    name, separator, rest = payload.partition(b"\0")
    if not separator or not 1 <= len(name) <= 79 or rest[:1] != b"\0":
        return None
    profile = inflate_profile(rest[1:])
    return None if profile is None else neutral_profile(profile)


def _pieces(data: Buffer, *, chunks: list[_Chunk], kept: set[_Chunk], new: Mapping[_Chunk, bytes]) -> Pieces | None:
    """The chunks that are `kept`, and those that are rewritten. What follows the end marker is left out."""
    out = Assembly(data)
    out.keep(0, len(MAGIC))
    for chunk in chunks:
        if chunk in kept:
            out.keep(chunk.start, chunk.stop)
        elif chunk in new:
            out.replace(chunk.start, chunk.stop, new=new[chunk])
    return out.finish()


def _chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))
