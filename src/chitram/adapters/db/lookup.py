"""The hot look-up on SQLite: an image with its blob by its id."""

from typing import Any

from chitram.adapters.db.column_types import parse_utc, unsigned64
from chitram.adapters.db.reading import InlineReader, compiled
from chitram.adapters.db.records import select_records
from chitram.adapters.db.tables import images
from chitram.domain.blobs import Blob, BlobState
from chitram.domain.images import Image, ImageRecord, Visibility

#: Rows whose records are kept, for images that are asked for again and again: some 3 KiB each.
_MAX_KNOWN = 1024
#: Longer descriptions, in characters, are rare, and so many of them would be too much to keep.
_MAX_KEPT_DESCRIPTION = 500

_STATES = {state.value: state for state in BlobState}
_VISIBILITIES = {visibility.value: visibility for visibility in Visibility}


def lookup_sql() -> str:
    """The SELECT of one image with its blob, with one `?` for the id, from the tables."""
    return compiled(select_records().where(images.c.id == ""))


class SqliteLookup:
    """ports.lookup.Lookup. Used by one event loop."""

    def __init__(self, *, url: str) -> None:
        """`url` as for open_sqlite; ValueError for another kind. The file is opened at the first look-up."""
        self._reader = InlineReader(url=url)
        self._sql = lookup_sql()
        self._known: dict[str, tuple[tuple[Any, ...], ImageRecord]] = {}

    async def find(self, image_id: str) -> ImageRecord | None:
        """The image with its blob, as last committed; ServiceUnavailable when the database cannot answer."""
        return self.find_now(image_id)

    def find_now(self, image_id: str) -> ImageRecord | None:
        """The same, for callers that do not await."""
        row = self._reader.row(self._sql, (image_id,))
        return None if row is None else self._decoded(image_id, row)

    def version(self) -> tuple[int, int]:
        """Changes with every commit of anybody, other processes included: see InlineReader.version."""
        return self._reader.version()

    def close(self) -> None:
        """Close the connection. Look-ups raise ServiceUnavailable from now on."""
        self._reader.close()

    def _decoded(self, image_id: str, row: tuple[Any, ...]) -> ImageRecord:
        """The record in `row`: the one made last time, when the row is the same. That is cheaper than another one."""
        known = self._known.get(image_id)
        if known is not None and known[0] == row:
            return known[1]
        record = _record(row)
        if len(record.image.description or "") > _MAX_KEPT_DESCRIPTION:
            return record
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[image_id] = (row, record)
        return record


def _record(row: tuple[Any, ...]) -> ImageRecord:
    # By position, in the order of the fields: this runs for every request.
    (
        image_id, blob_id, filename, visibility, created_at, delete_token_hash, received_sha256,
        owner_id, title, description,
        number, sha256, generation, size, content_type, width, height, state, thumbnail_type, pipeline_version,
        perceptual_hash, placeholder, broken_reason, stored_at, verified_at, condemned_at, corrupt_at,
    ) = row  # fmt: skip
    return ImageRecord(
        Image(
            image_id, blob_id, filename, _VISIBILITIES[visibility], parse_utc(created_at), delete_token_hash,
            received_sha256, owner_id, title, description,
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
