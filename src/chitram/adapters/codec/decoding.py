"""The one scaled decode of a file: Pillow for JPEG, GIF and AVIF; libvips for PNG and WebP, where it is faster."""

import importlib
import io
import mmap
import warnings
from functools import lru_cache
from types import ModuleType
from typing import IO, cast

from PIL import Image, UnidentifiedImageError

from chitram.adapters.codec.colour import expanded
from chitram.adapters.codec.formats.structure import Buffer, Structure, corrupt, truncated
from chitram.domain.errors import InvalidFileFormat

_PILLOW_NAMES = {"image/jpeg": "JPEG", "image/gif": "GIF", "image/avif": "AVIF"}
_SHARP = Image.Resampling.HAMMING
#: libjpeg looks up to 64 bits ahead. These are no code of any table: each missing block takes 16 of them and more.
_PADDING = b"\xff\0" * 8
#: Loaded by Pillow and Python when they first meet a picture that needs them, if they were not loaded before.
_MODULES = (
    *(f"PIL.{kind}ImagePlugin" for kind in ("Avif", "Gif", "Jpeg", "Mpo", "Tiff", "WebP")),
    *(f"PIL.{name}" for name in ("ExifTags", "ImageChops", "ImageOps", "ImageSequence")),
    *(f"encodings.{name}" for name in ("ascii", "latin_1", "utf_8", "utf_16", "utf_16_be", "utf_16_le")),
)
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def decode_scaled(data: Buffer, *, structure: Structure, size: tuple[int, int]) -> Image.Image:
    """The first frame as stored, scaled to `size`, in L, LA, RGB, RGBA or CMYK and its own colour space.

    InvalidFileFormat when the picture data are damaged or end too early.
    """
    if structure.content_type in _PILLOW_NAMES:
        return _by_pillow(data, structure=structure, size=size)
    return _by_vips(data, structure=structure, size=size)


def _by_pillow(data: Buffer, *, structure: Structure, size: tuple[int, int]) -> Image.Image:
    source = _source(data, end=structure.picture_end)
    source.seek(0)
    try:
        with warnings.catch_warnings():
            # Pixels were counted against our own budget; what Pillow has to say of metadata does not matter here.
            warnings.simplefilter("ignore")
            with Image.open(cast("IO[bytes]", source), formats=[_PILLOW_NAMES[structure.content_type]]) as image:
                return _scaled(image, structure=structure, size=size)
    except InvalidFileFormat:
        raise
    except UnidentifiedImageError:
        raise corrupt("it cannot be opened") from None
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 -- Pillow's plug-ins raise whatever their parsing runs into
        raise _refusal(str(error)) from None


def _source(data: Buffer, *, end: int | None) -> "mmap.mmap | io.BytesIO | _Unended":
    """`data` as a file."""
    if end is not None:
        return _Unended(data, end=end)
    return data if isinstance(data, mmap.mmap) else io.BytesIO(data)


class _Unended:
    """A JPEG file up to the `end` of its picture data, without the end marker, for reading.

    libjpeg makes grey out of what is missing before an end marker, and says nothing that Pillow would pass on. Without
    one it waits for more, and the lack is noticed.
    """

    def __init__(self, data: Buffer, *, end: int) -> None:
        self._data = data
        self._end = end
        self._position = 0

    def seek(self, position: int) -> int:
        self._position = position
        return position

    def tell(self) -> int:
        return self._position

    def read(self, size: int) -> bytes:
        start, stop = self._position, self._position + size
        part = self._data[start : min(stop, self._end)]
        if stop > self._end:
            part += _PADDING[max(0, start - self._end) : stop - self._end]
        self._position += len(part)
        return part


def _scaled(image: Image.Image, *, structure: Structure, size: tuple[int, int]) -> Image.Image:
    """`image` decoded and scaled; a JPEG is scaled to the next larger eighth while it is decoded."""
    if image.size != (structure.width, structure.height):
        raise corrupt("its header and its picture data do not agree")
    drafted = image.draft(None, size)
    box = drafted[1] if drafted is not None else None
    image.load()
    pixels = expanded(image)
    if pixels.size == size:
        return pixels.copy() if pixels is image else pixels
    return pixels.resize(size, _SHARP, box=box, reducing_gap=2.0)


def _by_vips(data: Buffer, *, structure: Structure, size: tuple[int, int]) -> Image.Image:
    """Read line by line. `thumbnail_buffer` would be shorter, but it forgets `fail_on`: damaged files would pass."""
    vips = _vips()
    try:
        if structure.content_type == "image/png":
            image = vips.Image.pngload_buffer(data, access="sequential", fail_on="error")
        else:
            # libwebp shrinks while it decodes; the larger of the two keeps a pixel of very narrow pictures.
            scale = min(1.0, max(size[0] / structure.width, size[1] / structure.height))
            image = vips.Image.webpload_buffer(data, access="sequential", fail_on="error", scale=scale)
        image = image.thumbnail_image(size[0], height=size[1], size="force", no_rotate=True)
        pixels = image.write_to_memory()
    except vips.Error as error:
        raise _refusal(str(error)) from None
    return Image.frombytes(_MODES[image.bands], size, pixels)


@lru_cache(maxsize=1)
def _vips() -> ModuleType:
    """libvips, set up for untrusted files: nothing is cached, one thread, only loaders that are fuzzed."""
    import pyvips  # noqa: PLC0415 -- loading it starts the library

    pyvips.cache_set_max(0)
    pyvips.block_untrusted_set(True)
    pyvips.voperation.cache_set_max_files(0)
    return cast("ModuleType", pyvips)


def preload() -> None:
    """Load everything that decoding needs: processes forked from this one share it, and can load nothing any more."""
    _vips()
    Image.preinit()
    for name in _MODULES:
        importlib.import_module(name)


def _refusal(message: str) -> InvalidFileFormat:
    """What a decoder said, as one of our reasons."""
    lower = message.lower()
    if any(word in lower for word in ("truncated", "end of file", "end of stream", "unexpected end", "premature")):
        return truncated()
    return corrupt("its picture data cannot be decoded")
