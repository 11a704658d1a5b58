"""The hot look-up on SQLite: one row by primary key, read inline on the event loop's thread.

Handing the row to another thread and back costs several times what reading it does.
"""

import asyncio
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy.dialects import sqlite

from chitram.adapters.db.column_types import parse_utc, unsigned64
from chitram.adapters.db.engine import connect, database_path
from chitram.adapters.db.failures import breaks_connection, domain_error, unavailable
from chitram.adapters.db.records import select_records
from chitram.adapters.db.tables import images
from chitram.domain.blobs import Blob, BlobState
from chitram.domain.images import Image, ImageRecord, Visibility

#: How long the event loop may be held up by another process's lock, in seconds. Readers meet one only while the
#: database recovers from a crash.
_BUSY_TIMEOUT = 0.05

#: Rows whose records are kept, for images that are asked for again and again: some 3 KiB each.
_MAX_KNOWN = 1024

_STATES = {state.value: state for state in BlobState}
_VISIBILITIES = {visibility.value: visibility for visibility in Visibility}


def lookup_sql() -> str:
    """The SELECT of one image with its blob, with one `?` for the id, from the tables."""
    statement = select_records().where(images.c.id == "")
    return str(statement.compile(dialect=sqlite.dialect(paramstyle="qmark")))


class SqliteLookup:
    """ports.lookup.Lookup. Used by one event loop."""

    def __init__(self, *, url: str) -> None:
        """`url` as for SqlDatabase.open; ValueError for another kind. The file is opened at the first look-up."""
        self._path: Path = database_path(url)
        self._sql = lookup_sql()
        self._connection: sqlite3.Connection | None = None
        self._connections = 0
        self._closed = False
        self._version: tuple[int, int] | None = None
        self._known: dict[str, tuple[tuple[Any, ...], ImageRecord]] = {}

    async def find(self, image_id: str) -> ImageRecord | None:
        """The image with its blob, as last committed; ServiceUnavailable when the database cannot answer."""
        return self.find_now(image_id)

    def find_now(self, image_id: str) -> ImageRecord | None:
        """The same, for callers that do not await."""
        row = self._row(self._sql, (image_id,))
        return None if row is None else self._decoded(image_id, row)

    def version(self) -> tuple[int, int]:
        """Changes with every commit of anybody, other processes included; ServiceUnavailable as for `find`.

        Inside an event loop it is looked up once for everything that waits to be run at that moment: all of that was
        there before, so whoever asked cannot have heard of a commit that comes after.
        """
        if self._version is not None:
            return self._version
        (number,) = self._row("PRAGMA data_version", ())
        # SQLite's number means nothing on another connection.
        version = (self._connections, number)
        with suppress(RuntimeError):
            asyncio.get_running_loop().call_soon(self._forget_version)
            self._version = version
        return version

    def _forget_version(self) -> None:
        self._version = None

    def _row(self, sql: str, parameters: tuple[str, ...]) -> Any:  # noqa: ANN401 - whatever the columns are
        try:
            return (self._connection or self._connect()).execute(sql, parameters).fetchone()
        except sqlite3.Error as error:
            failure = domain_error(error)
            if breaks_connection(error):
                self._disconnect()
            if failure is None:
                raise
            raise failure from error

    def close(self) -> None:
        """Close the connection. Look-ups raise ServiceUnavailable from now on."""
        self._closed = True
        self._disconnect()

    def _decoded(self, image_id: str, row: tuple[Any, ...]) -> ImageRecord:
        """The record in `row`: the one made last time, when the row is the same. That is cheaper than another one."""
        known = self._known.get(image_id)
        if known is not None and known[0] == row:
            return known[1]
        record = _record(row)
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[image_id] = (row, record)
        return record

    def _connect(self) -> sqlite3.Connection:
        if self._closed:
            raise unavailable()
        self._connections += 1
        self._connection = connect(self._path, read_only=True, busy_timeout=_BUSY_TIMEOUT)
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        self._version = None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


def _record(row: tuple[Any, ...]) -> ImageRecord:
    # By position, in the order of the fields: this runs for every request.
    (
        image_id, blob_id, filename, visibility, created_at, delete_token_hash, received_sha256,
        number, sha256, generation, size, content_type, width, height, state, thumbnail_type, pipeline_version,
        perceptual_hash, placeholder, broken_reason, stored_at, verified_at, condemned_at, corrupt_at,
    ) = row  # fmt: skip
    return ImageRecord(
        Image(
            image_id, blob_id, filename, _VISIBILITIES[visibility], parse_utc(created_at), delete_token_hash,
            received_sha256,
        ),
        Blob(
            number, sha256, generation, size, content_type, width, height, _STATES[state], thumbnail_type,
            pipeline_version, None if perceptual_hash is None else unsigned64(perceptual_hash),
            placeholder, broken_reason,
            parse_utc(stored_at),
            None if verified_at is None else parse_utc(verified_at),
            None if condemned_at is None else parse_utc(condemned_at),
            None if corrupt_at is None else parse_utc(corrupt_at),
        ),
    )  # fmt: skip
