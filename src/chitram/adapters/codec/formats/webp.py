"""WebP: RIFF chunks (RFC 9649)."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from chitram.adapters.codec.formats.assembly import Assembly
from chitram.adapters.codec.formats.icc import neutral_profile
from chitram.adapters.codec.formats.orientation import minimal_tiff, read_orientation
from chitram.adapters.codec.formats.structure import (
    MAX_PARTS,
    MAX_PROFILE,
    Buffer,
    Pieces,
    Structure,
    check_frames,
    check_size,
    corrupt,
    truncated,
)
from chitram.domain.media import Budget

CONTENT_TYPE = "image/webp"

# Flags of the extended header.
_ANIMATION, _XMP, _EXIF, _ICC = 0x02, 0x04, 0x08, 0x20
_BITSTREAMS = frozenset({b"VP8 ", b"VP8L"})
_STILL = _BITSTREAMS | {b"ALPH"}


@dataclass(frozen=True, slots=True)
class _Chunk:
    """`stop` is behind the padding, `end` behind the payload."""

    kind: bytes
    start: int
    end: int
    stop: int

    @property
    def body(self) -> int:
        return self.start + 8


def is_webp(data: Buffer) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def read(data: Buffer, *, budget: Budget) -> Structure:
    """The structure of a WebP file."""
    size = 8 + int.from_bytes(data[4:8], "little")
    if size > len(data):
        raise truncated()
    chunks = _chunks(data, start=12, stop=size)
    if chunks and chunks[0].kind == b"VP8X":
        return _read_extended(data, chunks, budget=budget)
    if not chunks or chunks[0].kind not in _BITSTREAMS:
        raise corrupt("it has no picture data")
    width, height = _bitstream_size(data, chunks[0])
    check_size(width, height, budget=budget)
    kept = Assembly(data)
    kept.keep(chunks[0].start, chunks[0].stop)
    return Structure(CONTENT_TYPE, width, height, 1, 1, None, _wrap(data, kept))


def _read_extended(data: Buffer, chunks: list[_Chunk], *, budget: Budget) -> Structure:
    header = chunks[0]
    if header.end - header.body != 10:
        raise corrupt("its header has the wrong length")
    flags = data[header.body]
    width, height = _number24(data, header.body + 4) + 1, _number24(data, header.body + 7) + 1
    check_size(width, height, budget=budget)
    frames = _frames(data, chunks, flags=flags, size=(width, height), budget=budget)
    exif = next((c for c in chunks if c.kind == b"EXIF"), None) if flags & _EXIF else None
    orientation = 1 if exif is None else read_orientation(data[exif.body : exif.end].removeprefix(b"Exif\0\0"))
    icc = next((c for c in chunks if c.kind == b"ICCP"), None) if flags & _ICC else None
    if icc is not None and not 0 < icc.end - icc.body <= MAX_PROFILE:
        icc = None
    profile = None if icc is None else neutral_profile(data[icc.body : icc.end])
    new = {}
    if icc is not None and profile is not None:
        new[icc] = _chunk(b"ICCP", profile)
    if exif is not None and orientation != 1:
        new[exif] = _chunk(b"EXIF", minimal_tiff(orientation))
    kept = _kept(data, chunks, flags=flags, new=new)
    return Structure(CONTENT_TYPE, width, height, orientation, frames, profile, _wrap(data, kept))


def _chunks(data: Buffer, *, start: int, stop: int) -> list[_Chunk]:
    """The chunks between `start` and `stop`."""
    chunks: list[_Chunk] = []
    while start + 8 <= stop:
        kind, length = struct.unpack("<4sI", data[start : start + 8])
        end = start + 8 + length
        if end + (length & 1) > stop or len(chunks) > MAX_PARTS:
            raise corrupt("a chunk is longer than the file, or there are too many")
        chunks.append(_Chunk(kind, start, end, end + (length & 1)))
        start = end + (length & 1)
    return chunks


def _number24(data: Buffer, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "little")


def _bitstream_size(data: Buffer, chunk: _Chunk) -> tuple[int, int]:
    """Width and height that the compressed data itself declares."""
    head = data[chunk.body : min(chunk.end, chunk.body + 10)]
    if chunk.kind == b"VP8L" and len(head) >= 5 and head[0] == 0x2F and head[4] >> 5 == 0:
        bits = int.from_bytes(head[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk.kind == b"VP8 " and len(head) == 10 and head[3:6] == b"\x9d\x01\x2a" and not head[0] & 1:
        return int.from_bytes(head[6:8], "little") & 0x3FFF, int.from_bytes(head[8:10], "little") & 0x3FFF
    raise corrupt("its picture data does not begin as it must")


def _frames(data: Buffer, chunks: list[_Chunk], *, flags: int, size: tuple[int, int], budget: Budget) -> int:
    """How many frames there are, each checked to lie within the canvas and to hold the size that it declares."""
    if not flags & _ANIMATION:
        picture = next((c for c in chunks if c.kind in _BITSTREAMS), None)
        if picture is None or _bitstream_size(data, picture) != size:
            raise corrupt("its picture is not as large as its canvas")
        return 1
    frames = [c for c in chunks if c.kind == b"ANMF"]
    check_frames(len(frames), total_pixels=len(frames) * size[0] * size[1], budget=budget)
    for frame in frames:
        _check_frame(data, frame, size=size)
    if not frames:
        raise corrupt("it has no picture data")
    return len(frames)


def _check_frame(data: Buffer, frame: _Chunk, *, size: tuple[int, int]) -> None:
    if frame.end - frame.body < 16:
        raise corrupt("a frame has an impossible header")
    left, top, width, height = (_number24(data, frame.body + at) for at in (0, 3, 6, 9))
    width, height = width + 1, height + 1
    if 2 * left + width > size[0] or 2 * top + height > size[1]:
        raise corrupt("a frame lies outside the picture")
    parts = _chunks(data, start=frame.body + 16, stop=frame.end)
    picture = next((c for c in parts if c.kind in _BITSTREAMS), None)
    if picture is None or _bitstream_size(data, picture) != (width, height):
        raise corrupt("a frame is not as large as it says")


def _kept(data: Buffer, chunks: list[_Chunk], *, flags: int, new: Mapping[_Chunk, bytes]) -> Assembly:
    """The chunks of the new file, with flags that tell which of them are left. `new`: chunks that are rewritten."""
    animated = bool(flags & _ANIMATION)
    kinds = {chunk.kind for chunk in new}
    flags &= ~(_XMP | (0 if b"EXIF" in kinds else _EXIF) | (0 if b"ICCP" in kinds else _ICC))
    header = chunks[0]
    kept = Assembly(data)
    kept.replace(header.start, header.body + 1, new=data[header.start : header.body] + bytes((flags,)))
    kept.keep(header.body + 1, header.stop)
    for chunk in chunks[1:]:
        if (animated and chunk.kind == b"ANIM") or (not animated and chunk.kind in _STILL):
            kept.keep(chunk.start, chunk.stop)
        elif animated and chunk.kind == b"ANMF":
            kept.extend(_kept_frame(data, chunk))
        elif chunk in new:
            kept.replace(chunk.start, chunk.stop, new=new[chunk])
    return kept


def _chunk(kind: bytes, payload: bytes) -> bytes:
    return kind + struct.pack("<I", len(payload)) + payload + bytes(len(payload) & 1)


def _kept_frame(data: Buffer, frame: _Chunk) -> Assembly:
    """A frame with its picture and its alpha, and without any other chunk that hides in it."""
    body = Assembly(data)
    body.keep(frame.body, frame.body + 16)
    for part in _chunks(data, start=frame.body + 16, stop=frame.end):
        if part.kind in _STILL:
            body.keep(part.start, part.stop)
    whole = Assembly(data)
    whole.replace(frame.start, frame.body, new=b"ANMF" + struct.pack("<I", body.length))
    whole.extend(body)
    return whole


def _wrap(data: Buffer, kept: Assembly) -> Pieces | None:
    """The chunks in `kept` as a file of their own. What follows the declared end of the file is left out."""
    out = Assembly(data)
    out.replace(0, 12, new=b"RIFF" + struct.pack("<I", kept.length + 4) + b"WEBP")
    out.extend(kept)
    return out.finish()
