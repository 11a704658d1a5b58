"""Which requests are the bytes door's, and what they ask for."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from chitram.domain.errors import ValidationFailed
from chitram.domain.images import is_image_id
from chitram.domain.media import DEFAULT_THUMBNAIL_SIZE, FORMATS, THUMBNAIL_SIZES
from chitram.entrypoints.support.links import IMAGES_PATH, SHORT_PATH

Kind = Literal["metadata", "file", "thumbnail"]

TEMPLATES: Mapping[Kind, str] = {
    "metadata": f"{IMAGES_PATH}{{image_id}}",
    "file": f"{IMAGES_PATH}{{image_id}}/file",
    "thumbnail": f"{IMAGES_PATH}{{image_id}}/thumbnail",
}
METHODS = ("GET", "HEAD")

_KINDS: Mapping[str, Kind] = {"file": "file", "thumbnail": "thumbnail"}
#: Names below the images' path that are other routes', not ids.
_RESERVED = frozenset({"", "upload"})
_EXTENSIONS = frozenset(each.extension for each in FORMATS.values())
_SIZES: Mapping[str, int] = {str(size): size for size in THUMBNAIL_SIZES}


class Target(NamedTuple):
    """`image_id` is None when what stands in its place cannot be one. Short addresses name a thumbnail's `size` and the
    `extension` of what they lead to.
    """

    kind: Kind
    image_id: str | None
    size: int | None = None
    extension: str | None = None


def parse_target(path: str, *, raw_path: bytes = b"") -> Target | None:
    """What `path` names, None when it is no path of this door.

    Percent signs in `raw_path`, the form that was sent, are in no address that we ever gave out: no id can be there.
    """
    if path.startswith(SHORT_PATH):
        return _short_target(path[len(SHORT_PATH) :], is_plain=b"%" not in raw_path)
    if not path.startswith(IMAGES_PATH):
        return None
    name, slash, tail = path[len(IMAGES_PATH) :].partition("/")
    if not slash:
        kind: Kind | None = None if name in _RESERVED else "metadata"
    else:
        kind = _KINDS.get(tail)
    if kind is None:
        return None
    return Target(kind, name if is_image_id(name) and b"%" not in raw_path else None)


def _short_target(rest: str, *, is_plain: bool) -> Target | None:
    name, slash, tail = rest.partition("/")
    stem, dot, extension = (tail if slash else name).rpartition(".")
    if not dot:
        return None  # the page, which is not this door's
    image_id = name if slash else stem
    size = _SIZES.get(stem) if slash else None
    known = is_plain and is_image_id(image_id) and extension in _EXTENSIONS and (size is not None or not slash)
    return Target("thumbnail" if slash else "file", image_id if known else None, size, extension)


def thumbnail_size(query: Mapping[str, str]) -> int:
    """The asked-for longest side in pixels; ValidationFailed for one that does not exist."""
    text = query.get("size")
    if text is None:
        return DEFAULT_THUMBNAIL_SIZE
    size = _SIZES.get(text)
    if size is None:
        raise ValidationFailed.of("size", f"must be one of {', '.join(sorted(_SIZES, key=int))}")
    return size
