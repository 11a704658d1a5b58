"""Blobs and images with every field filled, for tests that care about few of them."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from chitram.domain.blobs import Blob, NewBlob
from chitram.domain.images import Image, Visibility
from chitram.ports.unit_of_work import UnitOfWork

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def new_blob(seed: object = 0, **changes: Any) -> NewBlob:
    """A blob whose hash follows from `seed`."""
    values: dict[str, Any] = {
        "sha256": hashlib.sha256(repr(seed).encode()).hexdigest(),
        "generation": "0123456789ab",
        "size": 1000,
        "content_type": "image/jpeg",
        "width": 640,
        "height": 480,
        "created_at": NOW,
        "thumbnail_type": "image/jpeg",
        "perceptual_hash": 0x8000_0000_0000_00FF,
        "placeholder": "1QcSHQRnh493V4dIh4eXh1h4kJUI",
    }
    return NewBlob(**(values | changes))


def new_image(number: int, *, blob_id: int, **changes: Any) -> Image:
    """An image whose id follows from `number`."""
    values: dict[str, Any] = {
        "id": f"image{number:06d}",
        "blob_id": blob_id,
        "filename": f"చిత్రం {number}.jpg",
        "visibility": Visibility.PUBLIC,
        "created_at": NOW,
        "delete_token_hash": "d" * 64,
        "received_sha256": "e" * 64,
    }
    return Image(**(values | changes))


async def add_blob(work: UnitOfWork, seed: object = 0, *, pipeline_version: int = 1, **changes: Any) -> Blob:
    blob = await work.blobs.add(new_blob(seed, **changes), pipeline_version=pipeline_version)
    assert blob is not None
    return blob


async def add_image(work: UnitOfWork, number: int, *, blob_id: int, **changes: Any) -> Image:
    image = new_image(number, blob_id=blob_id, **changes)
    await work.images.add(image)
    return image
