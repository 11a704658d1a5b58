"""The ingest pass: structure, one scaled decode, and everything that comes out of it, as a tuple of named steps."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from PIL import Image

from chitram.adapters.codec.colour import to_srgb
from chitram.adapters.codec.decoding import decode_scaled
from chitram.adapters.codec.formats.sniffing import read_structure
from chitram.adapters.codec.formats.structure import Buffer, Structure, check_memory
from chitram.adapters.codec.perceptual import perceptual_hash, placeholder
from chitram.domain.media import THUMBNAIL_SIZES, Budget, Ingested, Inspected, Rendered

JPEG_QUALITY = 80
WEBP_QUALITY = 80
_WEBP_EFFORT = 2
_SHARP = Image.Resampling.HAMMING
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class Work:
    """A picture on its way through the steps. `image` is the present picture, the largest thumbnail at first."""

    data: Buffer
    structure: Structure
    image: Image.Image = field(default_factory=lambda: Image.new("RGB", (1, 1)))
    scaled: Mapping[int, Image.Image] = field(default_factory=dict)
    thumbnails: Mapping[int, bytes] = field(default_factory=dict)
    thumbnail_type: str = ""
    perceptual_hash: int = 0
    placeholder: str = ""


def fit(size: tuple[int, int], *, longest: int) -> tuple[int, int]:
    """`size` scaled down so that its longer side is `longest`: never enlarged, never less than a pixel."""
    width, height = size
    side = max(width, height)
    if side <= longest:
        return size
    return max(1, round(width * longest / side)), max(1, round(height * longest / side))


def decode(work: Work) -> Work:
    """The one decode, at the size of the largest thumbnail."""
    structure = work.structure
    size = fit((structure.width, structure.height), longest=THUMBNAIL_SIZES[0])
    return replace(work, image=decode_scaled(work.data, structure=structure, size=size))


def convert_colours(work: Work) -> Work:
    """sRGB. After scaling: there are far fewer pixels then."""
    return replace(work, image=to_srgb(work.image, profile=work.structure.profile))


def turn_upright(work: Work) -> Work:
    """As the orientation says."""
    turn = _UPRIGHT.get(work.structure.orientation)
    return work if turn is None else replace(work, image=work.image.transpose(turn))


def scale(work: Work) -> Work:
    """Each thumbnail from the one before it. Sizes follow from the original, so that rounding does not add up."""
    scaled: dict[int, Image.Image] = {}
    image = work.image
    for longest in THUMBNAIL_SIZES:
        size = fit(work.structure.upright, longest=longest)
        image = image if image.size == size else image.resize(size, _SHARP, reducing_gap=1.0)
        scaled[longest] = image
    return replace(work, scaled=scaled, image=image)


def encode(work: Work) -> Work:
    """JPEG where nothing shines through, WebP where something does; without any metadata."""
    clear = work.image.mode == "RGBA"
    encoded = {size: _webp(image) if clear else _jpeg(image) for size, image in work.scaled.items()}
    return replace(work, thumbnails=encoded, thumbnail_type="image/webp" if clear else "image/jpeg")


def fingerprint(work: Work) -> Work:
    """The perceptual hash and the placeholder, from the smallest picture."""
    return replace(work, perceptual_hash=perceptual_hash(work.image), placeholder=placeholder(work.image))


STEPS: tuple[Callable[[Work], Work], ...] = (decode, convert_colours, turn_upright, scale, encode, fingerprint)


def inspect(data: Buffer, *, budget: Budget, strip_metadata: bool, memory_bytes: int | None = None) -> Inspected:
    """The structure of the picture in `data`; InvalidFileFormat when it is none within `budget`, or when its decode
    would need more than `memory_bytes`.
    """
    return _inspected(_structure(data, budget=budget, memory_bytes=memory_bytes), strip_metadata=strip_metadata)


def ingest(data: Buffer, *, budget: Budget, strip_metadata: bool, memory_bytes: int | None = None) -> Ingested:
    """The whole pass over the picture in `data`; InvalidFileFormat as for `inspect`, or when it is damaged."""
    structure = _structure(data, budget=budget, memory_bytes=memory_bytes)
    work = Work(data, structure)
    for step in STEPS:
        work = step(work)
    rendered = Rendered(work.thumbnails, work.thumbnail_type, work.perceptual_hash, work.placeholder)
    return Ingested(_inspected(structure, strip_metadata=strip_metadata), rendered)


def _structure(data: Buffer, *, budget: Budget, memory_bytes: int | None) -> Structure:
    structure = read_structure(data, budget=budget)
    if memory_bytes is not None:
        check_memory(structure, memory_bytes=memory_bytes)
    return structure


def _inspected(structure: Structure, *, strip_metadata: bool) -> Inspected:
    width, height = structure.upright
    pieces = structure.pieces if strip_metadata else None
    return Inspected(structure.content_type, width, height, structure.frames, pieces)


def _jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=JPEG_QUALITY, icc_profile=None, exif=b"")
    return out.getvalue()


def _webp(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "WEBP", quality=WEBP_QUALITY, method=_WEBP_EFFORT, icc_profile=None, exif=b"")
    return out.getvalue()
