"""Image records as they lie in Redis: JSON without anything that is a secret.

What is kept is not hidden (private and broken images stay out), has no hash of a delete token and none of the bytes as
they arrived. So whoever decides by a token has to read the database; `ImageRecord.hidden` is False for all of these.
"""

from dataclasses import fields
from datetime import datetime
from typing import Any

import orjson

from chitram.domain.blobs import Blob, BlobState
from chitram.domain.images import Image, ImageRecord, Visibility

#: To be raised with every change of what is below, or of what it means; other versions are not read.
SCHEMA = 1
_SECRET = ("delete_token_hash", "received_sha256")
IMAGE_FIELDS = tuple(field.name for field in fields(Image) if field.name not in _SECRET)
BLOB_FIELDS = tuple(field.name for field in fields(Blob))
_MOMENTS = ("created_at", "verified_at", "condemned_at", "corrupt_at")


def encode(record: ImageRecord, *, incarnation: str) -> bytes:
    """A JSON object that begins with the incarnation, where scripts look for it. `record` must not be hidden."""
    return orjson.dumps(
        {
            "of": incarnation,
            "schema": SCHEMA,
            "image": {name: getattr(record.image, name) for name in IMAGE_FIELDS},
            "blob": {name: getattr(record.blob, name) for name in BLOB_FIELDS},
        }
    )


def decode(data: bytes, *, image_id: str) -> ImageRecord | None:
    """The record of `image_id`; None for what another version has written, or somebody else."""
    try:
        entry = orjson.loads(data)
        if entry["schema"] != SCHEMA:
            return None
        image, blob = _with_moments(entry["image"]), _with_moments(entry["blob"])
        record = ImageRecord(
            Image(
                **{**image, "visibility": Visibility(image["visibility"])}, delete_token_hash=None, received_sha256=""
            ),
            Blob(**{**blob, "state": BlobState(blob["state"])}),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return record if record.image.id == image_id and not record.hidden else None


def _with_moments(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: datetime.fromisoformat(value) if name in _MOMENTS and value is not None else value
        for name, value in values.items()
    }
