"""PNG and animated PNG: chunks (W3C PNG, third edition)."""

import struct
import zlib
from dataclasses import dataclass

from chitram.adapters.codec.formats.assembly import Assembly
from chitram.adapters.codec.formats.icc import inflate_profile
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
#: Chunks that change how the picture looks.
_VISIBLE = _CRITICAL | {b"tRNS", b"cHRM", b"gAMA", b"sBIT", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"bKGD", b"pHYs"}
_ANIMATION = frozenset({b"acTL", b"fcTL", b"fdAT"})
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_PALETTE = 3


@dataclass(frozen=True, slots=True)
class _Chunk:
    kind: bytes
    start: int
    stop: int

    def payload(self, data: Buffer) -> bytes:
        return data[self.start + 8 : self.stop - 4]


def read(data: Buffer, *, budget: Budget) -> Structure:
    """The structure of a PNG file."""
    width, height, colour_type = _header(data, budget=budget)
    chunks = _chunks(data)
    _check_order(chunks, colour_type=colour_type)
    frames = _frames(data, chunks, size=(width, height), budget=budget)
    exif = next((c for c in chunks if c.kind == b"eXIf"), None)
    orientation = 1 if exif is None else read_orientation(exif.payload(data))
    icc = next((c for c in chunks if c.kind == b"iCCP"), None)
    profile = None if icc is None else _profile(icc.payload(data))
    animated = any(c.kind == b"acTL" for c in chunks)
    return Structure(
        content_type=CONTENT_TYPE,
        width=width,
        height=height,
        orientation=orientation,
        frames=frames,
        profile=profile,
        pieces=_pieces(
            data,
            chunks=chunks,
            kept=_VISIBLE | (_ANIMATION if animated else frozenset()),
            profile=icc if profile is not None else None,
            exif=exif if orientation != 1 else None,
            orientation=orientation,
        ),
    )


def _header(data: Buffer, *, budget: Budget) -> tuple[int, int, int]:
    """Width, height and colour type."""
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
    return width, height, colour_type


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
    if colour_type == _PALETTE and b"PLTE" not in kinds[:first]:
        raise corrupt("it has no palette")


def _frames(data: Buffer, chunks: list[_Chunk], *, size: tuple[int, int], budget: Budget) -> int:
    """Frames of the animation, counted: what the animation header says of them is not asked. 1 for a still."""
    kinds = [c.kind for c in chunks]
    first_data = kinds.index(b"IDAT")
    if b"acTL" not in kinds[:first_data]:
        return 1
    controls = [c.payload(data) for c in chunks if c.kind == b"fcTL"]
    for control in controls:
        if len(control) != 26:
            raise corrupt("a frame has an impossible header")
        width, height, left, top = struct.unpack_from(">IIII", control, 4)
        if not (0 < width <= size[0] - left and 0 < height <= size[1] - top):
            raise corrupt("a frame lies outside the picture")
    default = 0 if b"fcTL" in kinds[:first_data] else 1
    frames = max(1, len(controls) + default)
    check_frames(frames, pixels=size[0] * size[1], budget=budget)
    return frames


def _profile(payload: bytes) -> bytes | None:
    """The ICC profile in an iCCP chunk: name, NUL, method 0, zlib stream."""
    name, separator, rest = payload.partition(b"\0")
    if not separator or not 1 <= len(name) <= 79 or rest[:1] != b"\0":
        return None
    return inflate_profile(rest[1:])


def _pieces(
    data: Buffer,
    *,
    chunks: list[_Chunk],
    kept: frozenset[bytes],
    profile: _Chunk | None,
    exif: _Chunk | None,
    orientation: int,
) -> Pieces | None:
    """What is seen, the colour profile and the orientation. What follows the end marker is left out."""
    out = Assembly(data)
    out.keep(0, len(MAGIC))
    for chunk in chunks:
        if chunk.kind in kept or chunk is profile:
            out.keep(chunk.start, chunk.stop)
        elif chunk is exif:
            out.replace(chunk.start, chunk.stop, new=_chunk(b"eXIf", minimal_tiff(orientation)))
    return out.finish()


def _chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))
