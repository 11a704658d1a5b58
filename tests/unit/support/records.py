"""Image records for tests of the edge."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

from chitram.domain.blobs import Blob, BlobState
from chitram.domain.images import Image, ImageRecord, Visibility

CREATED = datetime(2026, 3, 4, 5, 6, 7, 890000, tzinfo=UTC)
IMAGE_ID = "AbCdEfGh012"


def make_record(data=b"0123456789", *, visibility=Visibility.UNLISTED, filename="photo.jpg", **blob_changes):
    blob = Blob(
        id=1,
        sha256=hashlib.sha256(data).hexdigest(),
        generation="0" * 12,
        size=len(data),
        content_type="image/jpeg",
        width=40,
        height=30,
        state=BlobState.LIVE,
        thumbnail_type="image/jpeg",
        pipeline_version=1,
        perceptual_hash=5,
        placeholder="3OcRJYB4d3h/iIeHeEh3eIhw+j2w",
        broken_reason=None,
        created_at=CREATED,
        verified_at=None,
        condemned_at=None,
        corrupt_at=None,
    )
    image = Image(
        id=IMAGE_ID,
        blob_id=1,
        filename=filename,
        visibility=visibility,
        created_at=CREATED,
        delete_token_hash="f" * 64,
        received_sha256=blob.sha256,
    )
    return ImageRecord(image, replace(blob, **blob_changes))
