"""Range requests (RFC 9110, section 14)."""

import re
from dataclasses import dataclass

from chitram.domain.errors import RangeNotSatisfiable

#: A picture has no use for more; each costs a part header and a read.
MAX_RANGES = 10
_MAX_HEADER_LENGTH = 4096
_SPEC = re.compile(r"(\d*)-(\d*)\Z", re.ASCII)
#: No file has a length of more digits, and converting very long numbers is slow.
_MAX_DIGITS = 18


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes from `start` up to, not including, `stop`."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start


def parse_range(header: str, *, size: int) -> tuple[ByteRange, ...] | None:
    """The ranges of a representation of `size` bytes that a Range field asks for, ascending and apart from each other.

    None when the field is to be ignored: another unit, broken syntax, or more than MAX_RANGES distinct ranges. Raises
    RangeNotSatisfiable when all of them lie outside.
    """
    unit, found, ranges = header.partition("=")
    if not found or unit.strip().lower() != "bytes" or len(header) > _MAX_HEADER_LENGTH:
        return None
    specs = [spec.strip() for spec in ranges.split(",") if spec.strip()]
    parsed = [_parse_spec(spec, size=size) for spec in specs]
    if not parsed or None in parsed:
        return None
    inside = [r for r in parsed if r is not None and r.length > 0]
    if not inside:
        raise RangeNotSatisfiable(details={"size": size})
    coalesced = _coalesce(inside)
    return coalesced if len(coalesced) <= MAX_RANGES else None


def _parse_spec(spec: str, *, size: int) -> ByteRange | None:
    """One range, cut to the size and empty when it lies outside; None for broken syntax."""
    match = _SPEC.match(spec)
    if match is None or match.group() == "-":
        return None
    first, last = match.groups()
    if not first:
        return ByteRange(max(0, size - _number(last)), size)
    start = _number(first)
    if last and _number(last) < start:
        return None
    stop = min(_number(last) + 1, size) if last else size
    return ByteRange(min(start, size), stop)


def _number(digits: str) -> int:
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) <= _MAX_DIGITS else 10**_MAX_DIGITS


def _coalesce(ranges: list[ByteRange]) -> tuple[ByteRange, ...]:
    ordered = sorted(ranges, key=lambda r: r.start)
    result = [ordered[0]]
    for current in ordered[1:]:
        if current.start <= result[-1].stop:
            result[-1] = ByteRange(result[-1].start, max(result[-1].stop, current.stop))
        else:
            result.append(current)
    return tuple(result)
