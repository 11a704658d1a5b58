"""The hot look-ups on PostgreSQL: an image by its id, and whose a session or an API token is, as last committed."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, select

from chitram.adapters.db.postgresql.reading import DirectReader, compiled, converters
from chitram.adapters.db.records import (
    API_TOKEN_COLUMNS,
    BLOB_COLUMNS,
    IMAGE_COLUMNS,
    SESSION_COLUMNS,
    USER_COLUMNS,
    select_records,
)
from chitram.adapters.db.tables import api_tokens, images, sessions, users
from chitram.domain.api_tokens import ApiToken
from chitram.domain.blobs import Blob
from chitram.domain.images import Image, ImageRecord
from chitram.domain.sessions import Session
from chitram.domain.users import User

_IMAGE_WIDTH = len(IMAGE_COLUMNS)
_SESSION_WIDTH = len(SESSION_COLUMNS)
_API_TOKEN_WIDTH = len(API_TOKEN_COLUMNS)


class _Rows:
    """One SELECT, and what makes the domain's values of its rows."""

    def __init__(self, reader: DirectReader, sql: str, columns: Sequence[Column[Any]]) -> None:
        self._reader = reader
        self._sql = sql
        self._converters = converters(columns)

    async def find(self, text: str) -> list[Any] | None:
        row = await self._reader.row(self._sql, text)
        if row is None:
            return None
        pairs = zip(self._converters, row, strict=True)
        return [value if convert is None or value is None else convert(value) for convert, value in pairs]


class PostgresLookup:
    """ports.lookup.Lookup."""

    def __init__(self, reader: DirectReader) -> None:
        sql = compiled(select_records().where(images.c.id == ""))
        self._rows = _Rows(reader, sql, (*IMAGE_COLUMNS, *BLOB_COLUMNS))

    async def find(self, image_id: str) -> ImageRecord | None:
        """The image with its blob, as last committed; ServiceUnavailable when the database cannot answer."""
        row = await self._rows.find(image_id)
        return None if row is None else ImageRecord(Image(*row[:_IMAGE_WIDTH]), Blob(*row[_IMAGE_WIDTH:]))


class PostgresCredentialLookup:
    """ports.credentials.CredentialLookup."""

    def __init__(self, reader: DirectReader) -> None:
        joined = select(*SESSION_COLUMNS, *USER_COLUMNS).join_from(sessions, users, sessions.c.user_id == users.c.id)
        sql = compiled(joined.where(sessions.c.id == ""))
        self._sessions = _Rows(reader, sql, (*SESSION_COLUMNS, *USER_COLUMNS))
        joined = select(*API_TOKEN_COLUMNS, *USER_COLUMNS).join_from(
            api_tokens, users, api_tokens.c.user_id == users.c.id
        )
        sql = compiled(joined.where(api_tokens.c.token_hash == ""))
        self._api_tokens = _Rows(reader, sql, (*API_TOKEN_COLUMNS, *USER_COLUMNS))

    async def session(self, session_id: str) -> tuple[Session, User] | None:
        """The session and its account, expired and inactive ones included; ServiceUnavailable."""
        row = await self._sessions.find(session_id)
        return None if row is None else (Session(*row[:_SESSION_WIDTH]), User(*row[_SESSION_WIDTH:]))

    async def api_token(self, token_hash: str) -> tuple[ApiToken, User] | None:
        """The API token and its account, expired and inactive ones included; ServiceUnavailable."""
        row = await self._api_tokens.find(token_hash)
        return None if row is None else (ApiToken(*row[:_API_TOKEN_WIDTH]), User(*row[_API_TOKEN_WIDTH:]))
