"""Header fields of the door's answers."""

from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import PurePosixPath

from chitram.domain.images import ImageRecord, Visibility
from chitram.domain.media import FORMATS
from chitram.entrypoints.support.asgi import Headers
from chitram.entrypoints.support.caching import PRIVATE, REVALIDATE, cache_control
from chitram.entrypoints.support.disposition import content_disposition

#: What a picture may do when somebody opens it as a page: nothing.
_INERT = (b"content-security-policy", b"default-src 'none'; sandbox")
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")
#: Pictures are there to be shown on other people's pages, unless they are private.
_SHARED = (b"cross-origin-resource-policy", b"cross-origin")
_OWN = (b"cross-origin-resource-policy", b"same-origin")
_NOT_INDEXED = (b"x-robots-tag", b"noindex")

_PUBLIC_FIELDS: Headers = [_INERT, _NO_SNIFFING, _SHARED]
_UNLISTED_FIELDS: Headers = [_INERT, _NO_SNIFFING, _SHARED, _NOT_INDEXED]
_PRIVATE_FIELDS: Headers = [_INERT, _NO_SNIFFING, _OWN, _NOT_INDEXED]
#: On errors, which tell nothing about the image: the strictest.
ERROR_FIELDS: Headers = _PRIVATE_FIELDS

#: How old the server's Date may be: it is made anew each second, and late while there is much to do.
_CLOCK_LAG = timedelta(seconds=2)

_BY_VISIBILITY = {
    Visibility.PUBLIC: _PUBLIC_FIELDS,
    Visibility.UNLISTED: _UNLISTED_FIELDS,
    Visibility.PRIVATE: _PRIVATE_FIELDS,
}


def safety_fields(record: ImageRecord) -> Headers:
    """What keeps the bytes inert, whatever they are. The list is shared: do not change it."""
    return _PRIVATE_FIELDS if record.hidden else _BY_VISIBILITY[record.image.visibility]


def validator_fields(record: ImageRecord, *, etag: bytes, version: str | None) -> Headers:
    """What 200, 206 and 304 have in common, RFC 9110 says. `version` is the content version in the query."""
    # What was shown to somebody for their token must not be handed on by a cache.
    visibility = Visibility.PRIVATE if record.hidden else record.image.visibility
    return [
        (b"etag", etag),
        (b"cache-control", cache_control(visibility, version=record.version, requested=version)),
        *safety_fields(record),
    ]


def original_etag(record: ImageRecord) -> bytes:
    """A strong entity tag: the bytes' own hash."""
    return b'"%s"' % record.blob.sha256.encode()


def last_modified(record: ImageRecord) -> datetime:
    """The date of the original, in whole seconds: no later than the Date of any answer, RFC 9110 says (8.8.2.1)."""
    return record.image.created_at.replace(microsecond=0) - _CLOCK_LAG


def thumbnail_etag(record: ImageRecord, *, size: int) -> bytes:
    """A strong entity tag: the same original, pipeline and size always give the same bytes."""
    blob = record.blob
    return f'"{blob.sha256[:32]}-{blob.pipeline_version}-{size}"'.encode()


def original_disposition(record: ImageRecord, *, attachment: bool) -> tuple[bytes, bytes]:
    """Shown in place, or saved under the name it came with."""
    return (b"content-disposition", content_disposition(record.image.filename, attachment=attachment))


def thumbnail_disposition(record: ImageRecord, *, size: int, attachment: bool) -> tuple[bytes, bytes]:
    """Shown in place, or saved under the original's name with the size and the thumbnail's own extension."""
    value = _thumbnail_name(record.image.filename, record.blob.thumbnail_type, size=size, attachment=attachment)
    return (b"content-disposition", value)


@lru_cache(maxsize=8192)
def _thumbnail_name(filename: str, content_type: str | None, *, size: int, attachment: bool) -> bytes:
    stem = PurePosixPath(filename).stem
    extension = FORMATS[content_type or "image/jpeg"].extension
    return content_disposition(f"{stem}-{size}.{extension}", attachment=attachment)


def metadata_fields(record: ImageRecord, *, etag: bytes, cache: str) -> Headers:
    """Fields of the metadata, which change with the state of the thumbnails, so caches have to ask each time."""
    fields: Headers = [
        (b"etag", etag),
        (b"cache-control", PRIVATE if record.hidden else REVALIDATE),
        (b"x-cache", cache.encode()),
    ]
    if record.hidden or record.image.visibility is not Visibility.PUBLIC:
        fields.append(_NOT_INDEXED)
    return fields
