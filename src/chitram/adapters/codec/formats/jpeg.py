"""JPEG: markers, segments and scans (ITU-T T.81), JFIF, Exif and ICC segments."""

import re
from dataclasses import dataclass

from chitram.adapters.codec.formats.assembly import Assembly
from chitram.adapters.codec.formats.cursor import Cursor
from chitram.adapters.codec.formats.icc import neutral_profile
from chitram.adapters.codec.formats.orientation import minimal_tiff, read_orientation
from chitram.adapters.codec.formats.scans import Scans
from chitram.adapters.codec.formats.structure import (
    MAX_PROFILE,
    Buffer,
    Pieces,
    Structure,
    check_size,
    corrupt,
    truncated,
    unsupported,
)
from chitram.domain.media import Budget

CONTENT_TYPE = "image/jpeg"
MAGIC = b"\xff\xd8\xff"

# Markers by their names in the standard.
_DHT, _EOI, _SOS, _DQT, _DNL, _DRI, _DHP, _EXP = 0xC4, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
#: Baseline, extended and progressive, Huffman-coded: what every browser shows.
_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
_PROGRESSIVE = 0xC2
_UNSUPPORTED = frozenset({*range(0xC3, 0xD0), _DNL, _DHP, _EXP}) - {_DHT}
_KEPT = _FRAMES | {_DHT, _SOS, _DQT, _DRI}
#: Inside a scan FF 00 is a stuffed FF and FF D0 to FF D7 are restart marks: anything else ends it. One byte of FF
#: before the mark is enough, so fill bytes cost nothing, and the search is one linear pass in C.
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff]", re.DOTALL)
_MAX_SEGMENTS = 10_000
#: Bytes between two segments that are of neither: some cameras align them. Decoders skip them one by one.
_MAX_JUNK = 64 << 10
_PROFILE_PART = 0xFFFF - 2 - 14
_EXIF, _ICC, _JFIF, _ADOBE = b"Exif\0\0", b"ICC_PROFILE\0", b"JFIF\0", b"Adobe"


@dataclass(frozen=True, slots=True)
class _Segment:
    """`start` is at the marker; a scan ends with its entropy-coded data."""

    marker: int
    start: int
    stop: int

    def payload(self, data: Buffer, *, at_most: int = 0xFFFF) -> bytes:
        return data[self.start + 4 : min(self.stop, self.start + 4 + at_most)]


def read(data: Buffer, *, budget: Budget) -> Structure:
    """The structure of a JPEG file."""
    segments, scans = _segments(data, budget=budget)
    width, height = _frame_size(next(s for s in segments if s.marker in _FRAMES).payload(data))
    exif = _exif(data, segments)
    orientation = 1 if exif is None else read_orientation(exif.payload(data)[6:])
    profile = _profile(data, segments)
    return Structure(
        content_type=CONTENT_TYPE,
        width=width,
        height=height,
        orientation=orientation,
        frames=1,
        profile=profile,
        pieces=_pieces(data, segments=segments, exif=exif, orientation=orientation, profile=profile),
        buffered_bytes=scans.buffered_bytes,
        picture_end=None if scans.buffered_bytes else next(s.stop for s in segments if s.marker == _SOS),
    )


def _segments(data: Buffer, *, budget: Budget) -> tuple[list[_Segment], Scans]:
    """Every segment from the start to the end marker, checked for the order that a decoder needs."""
    segments: list[_Segment] = []
    position, scans = 2, None
    while True:
        found = _NEXT_MARKER.search(data, position)
        if found is None:
            raise truncated()
        if len(segments) > _MAX_SEGMENTS or found.start() - position > _MAX_JUNK:
            raise corrupt("it has too many segments, or too much between them")
        marker, start = data[found.start() + 1], found.start()
        if marker == _EOI:
            break
        segment = _Segment(marker, start, _end_of_segment(data, marker=marker, start=start))
        if marker in _FRAMES:
            _check_frame(segment.payload(data), again=scans is not None, budget=budget)
            scans = Scans(segment.payload(data), progressive=marker == _PROGRESSIVE)
        if marker == _SOS:
            if scans is None:
                raise corrupt("its scans are out of order")
            scans.add(segment.payload(data))
            segment = _scan(data, segment)
        segments.append(segment)
        position = segment.stop
    if scans is None:
        raise corrupt("it has no picture data")
    scans.finish()
    return segments, scans


def _end_of_segment(data: Buffer, *, marker: int, start: int) -> int:
    if marker in _UNSUPPORTED:
        raise unsupported("Lossless, hierarchical and arithmetic-coded JPEG files are not accepted.")
    if marker < 0xC0 or 0xD0 <= marker <= 0xD8:
        raise corrupt("it has a marker where none may be")
    length = Cursor(data, position=start + 2).number(2)
    if length < 2:
        raise corrupt("it has a segment without a length")
    if start + 2 + length > len(data):
        raise truncated()
    return start + 2 + length


def _frame_size(payload: bytes) -> tuple[int, int]:
    return int.from_bytes(payload[3:5], "big"), int.from_bytes(payload[1:3], "big")


def _check_frame(payload: bytes, *, again: bool, budget: Budget) -> None:
    """Raise unless the frame header is the only one, consistent and of a kind that decoders share."""
    if again:
        raise corrupt("it has two frames")
    if len(payload) < 6 or len(payload) != 6 + 3 * payload[5]:
        raise corrupt("its frame header has the wrong length")
    if payload[0] != 8 or payload[5] not in (1, 3, 4):
        raise unsupported("JPEG files with 12 bits a sample, or with 2 or more than 4 channels, are not accepted.")
    if any(not (1 <= byte >> 4 <= 4 and 1 <= byte & 15 <= 4) for byte in payload[7::3]):
        raise corrupt("its sampling factors are impossible")
    width, height = _frame_size(payload)
    check_size(width, height, budget=budget)


def _scan(data: Buffer, header: _Segment) -> _Segment:
    """The scan of `header` with its entropy-coded data."""
    end = _END_OF_SCAN.search(data, header.stop)
    if end is None:
        raise truncated()
    return _Segment(_SOS, header.start, end.start())


def _exif(data: Buffer, segments: list[_Segment]) -> _Segment | None:
    """The first Exif segment: the one that decoders go by."""
    return next((s for s in segments if s.marker == _APP1 and s.payload(data, at_most=6) == _EXIF), None)


def _profile(data: Buffer, segments: list[_Segment]) -> bytes | None:
    """The ICC profile put together from its numbered parts, neutral; None when it is absent, damaged or too large."""
    parts = [s.payload(data) for s in segments if _is_profile(data, s)]
    if not parts or sum(len(p) - 14 for p in parts) > MAX_PROFILE:
        return None
    parts.sort(key=lambda part: part[12])
    if [p[12] for p in parts] != list(range(1, len(parts) + 1)) or any(p[13] != len(parts) for p in parts):
        return None
    return neutral_profile(b"".join(p[14:] for p in parts))


def _is_profile(data: Buffer, segment: _Segment) -> bool:
    head = segment.payload(data, at_most=14)
    return segment.marker == _APP2 and len(head) == 14 and head[:12] == _ICC


def _pieces(
    data: Buffer, *, segments: list[_Segment], exif: _Segment | None, orientation: int, profile: bytes | None
) -> Pieces | None:
    """Markers, tables and scans, the colour profile and the orientation. What lies between or behind them goes."""
    kept = Assembly(data)
    kept.keep(0, 2)
    jfif = next((s for s in segments if s.marker == _APP0 and s.payload(data, at_most=5) == _JFIF), None)
    packed = b"" if profile is None else _profile_segments(profile)
    for s in segments:
        if s.marker in _KEPT:
            kept.keep(s.start, s.stop)
        elif packed and _is_profile(data, s):
            kept.replace(s.start, s.start + len(packed), new=packed)
            packed = b""
        elif s is exif and orientation != 1:
            kept.replace(s.start, s.stop, new=_segment(_APP1, _EXIF + minimal_tiff(orientation)))
        elif s is jfif and s.stop - s.start >= 18:
            # Version and pixel density stay, the thumbnail goes.
            kept.replace(s.start, s.stop, new=_segment(_APP0, s.payload(data, at_most=12) + b"\0\0"))
        elif s.marker == _APP14 and s.stop - s.start >= 16 and s.payload(data, at_most=5) == _ADOBE:
            kept.replace(s.start, s.stop, new=_segment(_APP14, s.payload(data, at_most=12)))
    # The end marker stands behind the last segment, unless something that was left out stood between them.
    tail = segments[-1].stop
    if data[tail : tail + 2] == b"\xff\xd9":
        kept.keep(tail, tail + 2)
    else:
        kept.insert(b"\xff\xd9")
    return kept.finish()


def _profile_segments(profile: bytes) -> bytes:
    """The segments of an ICC profile."""
    parts = [profile[at : at + _PROFILE_PART] for at in range(0, len(profile), _PROFILE_PART)]
    return b"".join(
        _segment(_APP2, _ICC + bytes((number, len(parts))) + part) for number, part in enumerate(parts, start=1)
    )


def _segment(marker: int, payload: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(payload) + 2).to_bytes(2, "big") + payload
