"""Images as JSON. `schemas.py` describes the same shapes for the API's description."""

import hashlib
from datetime import UTC, datetime
from typing import Any

import orjson

from chitram.domain.images import ImageRecord
from chitram.entrypoints.support.links import image_links


def metadata(record: ImageRecord, *, base: str) -> dict[str, Any]:
    """What anybody who may see the image may know of it. Its addresses begin with `base`, without a slash."""
    image, blob = record.image, record.blob
    links = image_links(record, base)
    body = {
        "id": image.id,
        "filename": image.filename,
        "content_type": blob.content_type,
        "file_size": blob.size,
        "url": links.url,
        "created_at": timestamp(image.created_at),
        "width": blob.width,
        "height": blob.height,
        "thumbnail_ready": blob.thumbnail_ready,
        "thumbnail_url": links.thumbnail_url,
        "thumbnails": links.thumbnails,
        "sha256": blob.sha256,
        "visibility": image.visibility.value,
        "placeholder": blob.placeholder,
        "title": image.title,
        "description": image.description,
    }
    if blob.broken_reason is not None:
        body["problem"] = blob.broken_reason
    return body


def document(record: ImageRecord, *, base: str) -> tuple[bytes, bytes]:
    """A strong entity tag, and the body that it is of: the image's metadata as they are answered by its address."""
    body = render(metadata(record, base=base))
    return b'"%s"' % hashlib.blake2b(body, digest_size=16).hexdigest().encode(), body


def upload_response(
    record: ImageRecord, *, base: str, delete_token: str | None, duplicate_of: str | None
) -> dict[str, Any]:
    """What the uploader gets. `duplicate_of` is the id of an earlier image of the same account."""
    return {**metadata(record, base=base), "delete_token": delete_token, "duplicate_of": duplicate_of}


def timestamp(moment: datetime) -> str:
    """ISO 8601 in UTC, with Z."""
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat()}Z"


def render(value: object) -> bytes:
    """`value` as JSON in UTF-8."""
    return orjson.dumps(value)
