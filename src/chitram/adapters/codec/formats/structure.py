"""What a reader of any format gives, and the refusals that all of them share."""

import mmap
from dataclasses import dataclass

from chitram.domain.errors import InvalidFileFormat, InvalidReason
from chitram.domain.media import Budget, Span

#: What readers read: a file as a whole, in memory or mapped.
Buffer = bytes | mmap.mmap
Pieces = tuple[Span | bytes, ...]

#: Larger colour profiles are dropped: the largest in honest use are some 2 MiB.
MAX_PROFILE = 4 << 20
#: More segments, chunks or boxes than this are an attack, or as good as one.
MAX_PARTS = 100_000
#: Address space that a decode takes beside the picture: the decoder's own, the thumbnails, what allocators reserve.
_RESERVED = 192 << 20


@dataclass(frozen=True, slots=True)
class Structure:
    """One picture file. `width` and `height` in pixels, as stored; `orientation` as in Exif, 1 to 8.

    `profile` is the embedded ICC profile when it is worth applying. `pieces` as in domain.media.Inspected.
    `buffered_bytes` is what decoding holds in memory at once where it cannot go row by row, else 0. `picture_end`:
    where the entropy-coded data end if that can be told from the structure, so that the decoder gets no byte more.
    """

    content_type: str
    width: int
    height: int
    orientation: int
    frames: int
    profile: bytes | None
    pieces: Pieces | None
    buffered_bytes: int = 0
    picture_end: int | None = None

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height as a person sees them."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def corrupt(message: str) -> InvalidFileFormat:
    """The structure contradicts itself or its format."""
    return InvalidFileFormat(InvalidReason.CORRUPT, f"The file is damaged: {message}.")


def truncated() -> InvalidFileFormat:
    """The file ends before the picture does."""
    return InvalidFileFormat(InvalidReason.TRUNCATED, "The file ends before the picture does.")


def unsupported(message: str) -> InvalidFileFormat:
    """A well-formed picture of a kind that nothing here shows."""
    return InvalidFileFormat(InvalidReason.UNSUPPORTED_TYPE, message)


def check_size(width: int, height: int, *, budget: Budget) -> None:
    """Raise unless a picture of `width` x `height` pixels exists and is within `budget`."""
    if width < 1 or height < 1:
        raise corrupt("it has no pixels")
    if width * height > budget.max_pixels:
        message = f"The picture has {width} x {height} pixels; at most {budget.max_pixels:,} are accepted."
        raise InvalidFileFormat(InvalidReason.TOO_MANY_PIXELS, message)


def check_memory(structure: Structure, *, memory_bytes: int) -> None:
    """Raise when decoding needs more than the `memory_bytes` that it may have."""
    if structure.buffered_bytes > memory_bytes - min(_RESERVED, memory_bytes // 2):
        message = (
            f"The picture has {structure.width} x {structure.height} pixels, which must all be held in memory at once "
            "because it is interlaced or progressive: save it without that."
        )
        raise InvalidFileFormat(InvalidReason.TOO_MANY_PIXELS, message)


def check_frames(frames: int, *, total_pixels: int, budget: Budget) -> None:
    """Raise unless `frames` frames of `total_pixels` pixels together are within `budget`."""
    if frames > budget.max_frames:
        message = f"The animation has more than the {budget.max_frames:,} frames that are accepted."
        raise InvalidFileFormat(InvalidReason.TOO_MANY_FRAMES, message)
    if frames > 1 and total_pixels > budget.max_total_pixels:
        message = f"The frames of the animation have more than {budget.max_total_pixels:,} pixels together."
        raise InvalidFileFormat(InvalidReason.TOO_MANY_FRAMES, message)
