"""Rows into the domain's frozen records, by position, and back."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Select, Table, select

from chitram.adapters.db.statements import AnyRow
from chitram.adapters.db.tables import api_tokens, blobs, idempotency_keys, images, sessions, users
from chitram.domain.api_tokens import ApiToken
from chitram.domain.blobs import Blob, NewBlob
from chitram.domain.idempotency import IdempotencyRecord
from chitram.domain.images import Image, ImageRecord
from chitram.domain.invites import Invite
from chitram.domain.sessions import Session
from chitram.domain.users import User

#: What is kept as one row of a table, with a column a field.
Kept = ApiToken | IdempotencyRecord | Image | Invite | Session | User


def _columns(table: Table, record: type[Kept | Blob]) -> tuple[Column[Any], ...]:
    """The columns in the order of the fields of `record`."""
    return tuple(table.c[name] for name in record.__dataclass_fields__)


BLOB_COLUMNS = _columns(blobs, Blob)
IMAGE_COLUMNS = _columns(images, Image)
USER_COLUMNS = _columns(users, User)
SESSION_COLUMNS = _columns(sessions, Session)
API_TOKEN_COLUMNS = _columns(api_tokens, ApiToken)
IDEMPOTENCY_COLUMNS = _columns(idempotency_keys, IdempotencyRecord)
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


def values_of(record: Kept) -> dict[str, object]:
    """Column → value."""
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def new_blob_values(new: NewBlob, *, pipeline_version: int) -> dict[str, object]:
    """What a fresh generation says about its blob; everything that was found out about an older one is forgotten."""
    values: dict[str, object] = {name: getattr(new, name) for name in NewBlob.__dataclass_fields__}
    forgotten = dict.fromkeys(("broken_reason", "verified_at", "corrupt_at"))
    return values | forgotten | {"pipeline_version": pipeline_version}
