"""The addresses of an image, as our answers and pages give them."""

from dataclasses import dataclass

from chitram.domain.images import ImageRecord
from chitram.domain.media import DEFAULT_THUMBNAIL_SIZE, THUMBNAIL_SIZES
from chitram.entrypoints.support.asgi import HOST, Scope

IMAGES_PATH = "/api/v1/images/"
#: Addresses to be passed on: `/i/{id}.{ext}` for the original, `/i/{id}/{size}.{ext}` for a thumbnail.
SHORT_PATH = "/i/"
PAGE_PATH = "/image/"


@dataclass(frozen=True, slots=True)
class ImageLinks:
    """Absolute addresses that carry the content version. `thumbnails`: longest side, as text → address."""

    url: str
    thumbnail_url: str
    thumbnails: dict[str, str]


_SIZES: tuple[str, ...] = tuple(str(size) for size in sorted(THUMBNAIL_SIZES))
_DEFAULT_SIZE = str(DEFAULT_THUMBNAIL_SIZE)


def base_url(scope: Scope, *, public_url: str | None) -> str:
    """What absolute addresses begin with, without a slash at the end: `public_url`, else scheme and checked host."""
    if public_url:
        return public_url.rstrip("/")
    return f"{scope['scheme']}://{scope[HOST]}{scope.get('root_path', '')}"


def image_links(record: ImageRecord, base: str) -> ImageLinks:
    """The addresses of `record` below `base`."""
    version = record.version
    stem = f"{base}{IMAGES_PATH}{record.image.id}"
    thumbnails = {size: f"{stem}/thumbnail?size={size}&v={version}" for size in _SIZES}
    return ImageLinks(f"{stem}/file?v={version}", thumbnails[_DEFAULT_SIZE], thumbnails)
