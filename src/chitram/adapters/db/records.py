"""Rows into the domain's frozen records, by position, and back."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Select, select

from chitram.adapters.db.connections import AnyRow
from chitram.adapters.db.tables import blobs, images
from chitram.domain.blobs import Blob, NewBlob
from chitram.domain.images import Image, ImageRecord

#: The columns in the order of the fields of Blob and Image.
BLOB_COLUMNS: tuple[Column[Any], ...] = tuple(blobs.c[name] for name in Blob.__dataclass_fields__)
IMAGE_COLUMNS: tuple[Column[Any], ...] = tuple(images.c[name] for name in Image.__dataclass_fields__)
_IMAGE_WIDTH = len(IMAGE_COLUMNS)


def select_records() -> Select[*tuple[Any, ...]]:
    """Images with their blobs."""
    return select(*IMAGE_COLUMNS, *BLOB_COLUMNS).join_from(images, blobs, images.c.blob_id == blobs.c.id)


def blob_of(row: AnyRow | Sequence[Any]) -> Blob:
    return Blob(*row)


def image_of(row: AnyRow | Sequence[Any]) -> Image:
    return Image(*row)


def record_of(row: AnyRow) -> ImageRecord:
    values = tuple(row)
    return ImageRecord(image_of(values[:_IMAGE_WIDTH]), blob_of(values[_IMAGE_WIDTH:]))


def image_values(image: Image) -> dict[str, object]:
    return {name: getattr(image, name) for name in Image.__dataclass_fields__}


def new_blob_values(new: NewBlob, *, pipeline_version: int) -> dict[str, object]:
    """What a fresh generation says about its blob; everything that was found out about an older one is forgotten."""
    values: dict[str, object] = {name: getattr(new, name) for name in NewBlob.__dataclass_fields__}
    forgotten = dict.fromkeys(("broken_reason", "verified_at", "corrupt_at"))
    return values | forgotten | {"pipeline_version": pipeline_version}
