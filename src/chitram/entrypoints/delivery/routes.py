"""Which requests are the bytes door's, and what they ask for."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from chitram.domain.images import is_image_id
from chitram.domain.media import DEFAULT_THUMBNAIL_SIZE, THUMBNAIL_SIZES
from chitram.entrypoints.support.links import IMAGES_PATH
from chitram.entrypoints.support.queries import invalid_parameter

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
_SIZES: Mapping[str, int] = {str(size): size for size in THUMBNAIL_SIZES}


class Target(NamedTuple):
    """`image_id` is None when what stands in its place cannot be one."""

    kind: Kind
    image_id: str | None


def parse_target(path: str, *, raw_path: bytes = b"") -> Target | None:
    """What `path` names, None when it is no path of this door.

    Percent signs in `raw_path`, the form that was sent, are in no address that we ever gave out: no id can be there.
    """
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


def thumbnail_size(query: Mapping[str, str]) -> int:
    """The asked-for longest side in pixels; ValidationFailed for one that does not exist."""
    text = query.get("size")
    if text is None:
        return DEFAULT_THUMBNAIL_SIZE
    size = _SIZES.get(text)
    if size is None:
        raise invalid_parameter("size", f"must be one of {', '.join(sorted(_SIZES, key=int))}")
    return size
