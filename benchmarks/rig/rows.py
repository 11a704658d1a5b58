"""Databases with many images, made without uploading them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from benchmarks.rig.servers import chitram
from chitram.adapters.db.engine import writer_engine
from chitram.adapters.db.tables import blobs, images
from chitram.domain.blobs import BlobState
from chitram.domain.images import Visibility

_BATCH = 10_000
_START = datetime(2026, 1, 1, tzinfo=UTC)


def image_id(number: int) -> str:
    """The id of the image `number`."""
    return f"{number:011d}"


def prepare_data(directory: Path, *, rows: int) -> None:
    """Make the data directory of a server below `directory`, and `rows` public images in it, without bytes."""
    with chitram(directory):
        pass  # the first start makes everything
    engine = writer_engine(directory / "data" / "chitram.db")
    with engine.begin() as connection:
        for start in range(1, rows + 1, _BATCH):
            batch = list(_rows(start, min(start + _BATCH, rows + 1)))
            connection.execute(insert(blobs), [blob for blob, _ in batch])
            connection.execute(insert(images), [image for _, image in batch])
    engine.dispose()


def _rows(start: int, stop: int) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for number in range(start, stop):
        moment, digest = _START + timedelta(seconds=number), sha256(str(number).encode()).hexdigest()
        blob = {
            "id": number,
            "sha256": digest,
            "generation": "0123456789ab",
            "size": 3_000_000,
            "width": 4000,
            "height": 3000,
            "content_type": "image/jpeg",
            "state": BlobState.LIVE,
            "thumbnail_type": "image/jpeg",
            "pipeline_version": 1,
            "perceptual_hash": number,
            "placeholder": "p" * 28,
            "created_at": moment,
            "verified_at": datetime.now(UTC),
        }
        image = {
            "id": image_id(number),
            "blob_id": number,
            "filename": f"IMG_{number:06d}.jpg",
            "created_at": moment,
            "visibility": Visibility.PUBLIC,
            "delete_token_hash": digest,
            "received_sha256": digest,
        }
        yield blob, image
