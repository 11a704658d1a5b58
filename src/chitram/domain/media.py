"""Pictures as bytes: the formats that exist, and what the ingest pass finds out about one file."""

from collections.abc import Mapping
from dataclasses import dataclass

#: Longest sides of the thumbnails, in pixels, largest first: each is made from the one before it.
THUMBNAIL_SIZES: tuple[int, ...] = (600, 300, 150)
DEFAULT_THUMBNAIL_SIZE = 300

#: Raised whenever the same original would give different thumbnails; old ones are then made anew.
PIPELINE_VERSION = 1


@dataclass(frozen=True, slots=True)
class Format:
    """A picture format: its name for people, its content type and the extension of its files."""

    name: str
    content_type: str
    extension: str


FORMATS: Mapping[str, Format] = {
    f.content_type: f
    for f in (
        Format("JPEG", "image/jpeg", "jpg"),
        Format("PNG", "image/png", "png"),
        Format("WebP", "image/webp", "webp"),
        Format("GIF", "image/gif", "gif"),
        Format("AVIF", "image/avif", "avif"),
    )
}


@dataclass(frozen=True, slots=True)
class Budget:
    """What a picture may cost. Checked from the header, before any decode."""

    content_types: frozenset[str]
    max_pixels: int
    max_frames: int
    #: Pixels of all frames together.
    max_total_pixels: int


@dataclass(frozen=True, slots=True)
class Span:
    """`length` bytes of the received file from `offset` on."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Inspected:
    """What the structure of a file says. `width` and `height` are upright, in pixels.

    `pieces` says what is stored: spans of the received file with new bytes between them; None when all of it is kept.
    """

    content_type: str
    width: int
    height: int
    frames: int
    pieces: tuple[Span | bytes, ...] | None


@dataclass(frozen=True, slots=True)
class Rendered:
    """What one decode gives.

    `thumbnails`: longest side in pixels → encoded bytes, all of `thumbnail_type`. `perceptual_hash`: 64 bits, unsigned.
    `placeholder`: a thumbhash, base64.
    """

    thumbnails: Mapping[int, bytes]
    thumbnail_type: str
    perceptual_hash: int
    placeholder: str


@dataclass(frozen=True, slots=True)
class Ingested:
    """The whole ingest pass: structure and one decode."""

    inspected: Inspected
    rendered: Rendered


def describe_formats(content_types: frozenset[str]) -> str:
    """The accepted formats as a phrase for people: "JPEG and PNG"."""
    names = [f.name for f in FORMATS.values() if f.content_type in content_types]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def is_acceptable_declaration(declared: str | None) -> bool:
    """Whether a client's content type leaves the decision to the content, which is always the judge."""
    if declared is None:
        return True
    media_type = declared.partition(";")[0].strip().lower()
    return media_type.startswith("image/") or media_type in ("", "application/octet-stream")


def is_whole(data: bytes, content_type: str) -> bool:
    """Whether `data`, a thumbnail that we made, is all there: a power cut may have cut it short."""
    if content_type == "image/webp":
        return len(data) > 12 and len(data) == int.from_bytes(data[4:8], "little") + 8
    return data.startswith(b"\xff\xd8") and data.endswith(b"\xff\xd9")
