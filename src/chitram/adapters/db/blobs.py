"""The blobs: which bytes are stored, in which state they are, and what the sweepers have to look at."""

from collections.abc import Sequence
from datetime import datetime
from heapq import merge
from itertools import islice

from sqlalchemy import (
    ColumnElement,
    String,
    Update,
    and_,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from chitram.adapters.db.blob_counts import count_blobs
from chitram.adapters.db.dialects import insert_or_skip, is_one_of
from chitram.adapters.db.perceptual import band_keys, band_rows
from chitram.adapters.db.records import BLOB_COLUMNS, blob_of, new_blob_values
from chitram.adapters.db.statements import Statements
from chitram.adapters.db.tables import (
    HOLDS_KEY,
    IS_CONDEMNED,
    IS_CORRUPT,
    IS_ERASING,
    IS_LIVE,
    IS_NEVER_VERIFIED,
    IS_PRESENT,
    IS_RENDERABLE,
    IS_VERIFIED,
    blobs,
    images,
    jobs,
    perceptual_bands,
)
from chitram.domain.blobs import BLOB_PREFIX, Blob, BlobState, NewBlob
from chitram.domain.jobs import RENDER_KEY_PREFIX
from chitram.domain.media import Rendered
from chitram.ports.repositories.blobs import BlobCounts

#: Names in one IN list: far below the limit of bound parameters of every database.
CHUNK = 500


class SqlBlobRepository:
    """ports.repositories.blobs.BlobRepository on one transaction."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def take(self, sha256: str) -> Blob | None:
        return await self._one(blobs.c.sha256 == sha256, IS_PRESENT, lock=True)

    async def lock(self, blob_id: int) -> Blob | None:
        return await self._one(blobs.c.id == blob_id, lock=True)

    async def get(self, blob_id: int) -> Blob | None:
        return await self._one(blobs.c.id == blob_id)

    async def find(self, sha256: str) -> Blob | None:
        return await self._one(blobs.c.sha256 == sha256, IS_PRESENT)

    async def add(self, new: NewBlob, *, pipeline_version: int) -> Blob | None:
        row = await self._statements.first(
            insert_or_skip(blobs, dialect=self._statements.dialect)
            .values(new_blob_values(new, pipeline_version=pipeline_version) | {"state": BlobState.LIVE})
            .on_conflict_do_nothing(index_elements=[blobs.c.sha256], index_where=IS_PRESENT)
            .returning(*BLOB_COLUMNS)
        )
        if row is None:
            return None
        blob = blob_of(row)
        await self._set_bands(blob.id, old=None, new=blob.perceptual_hash)
        return blob

    async def revive(self, blob_id: int) -> None:
        await self._statements.change(_change(blob_id, IS_CONDEMNED).values(state=BlobState.LIVE, condemned_at=None))

    async def condemn(self, blob_id: int, *, at: datetime) -> None:
        await self._statements.change(_change(blob_id, IS_LIVE).values(state=BlobState.CONDEMNED, condemned_at=at))

    async def condemn_unnamed(self, blob_ids: Sequence[int], *, at: datetime) -> int:
        # All of them in one parameter: statements with so many of their own cost more than what they do.
        these = is_one_of(blobs.c.id, sorted(set(blob_ids)), dialect=self._statements.dialect)
        # The locks come first: who names a blob takes its lock before, so that the next statement sees the name.
        await self._statements.rows(select(blobs.c.id).where(these).order_by(blobs.c.id).with_for_update())
        # A function of the column, or the planner may look through all live blobs for these.
        live = func.lower(blobs.c.state) == BlobState.LIVE.value
        unnamed = ~exists().where(images.c.blob_id == blobs.c.id)
        return await self._statements.change(
            update(blobs).where(these, live, unnamed).values(state=BlobState.CONDEMNED, condemned_at=at)
        )

    async def mark_erasing(self, blob_id: int) -> None:
        await self._statements.change(_change(blob_id, IS_CONDEMNED).values(state=BlobState.ERASING))

    async def remove(self, blob_id: int) -> None:
        blob = await self.lock(blob_id)
        if blob is None or blob.state is not BlobState.ERASING:
            return
        await self._set_bands(blob_id, old=blob.perceptual_hash, new=None)
        await self._statements.change(delete(blobs).where(blobs.c.id == blob_id))

    async def replace(self, blob_id: int, new: NewBlob, *, pipeline_version: int) -> None:
        blob = await self.lock(blob_id)
        if blob is None or blob.sha256 != new.sha256:
            raise ValueError("only a blob of the same bytes can be replaced")
        values = new_blob_values(new, pipeline_version=pipeline_version)
        await self._statements.change(_change(blob_id).values(values))
        await self._set_bands(blob_id, old=blob.perceptual_hash, new=new.perceptual_hash)

    async def set_rendered(self, blob_id: int, *, rendered: Rendered, pipeline_version: int) -> None:
        blob = await self.lock(blob_id)
        if blob is None:
            return
        await self._statements.change(
            _change(blob_id).values(
                thumbnail_type=rendered.thumbnail_type,
                pipeline_version=pipeline_version,
                perceptual_hash=rendered.perceptual_hash,
                placeholder=rendered.placeholder,
                broken_reason=None,
            )
        )
        await self._set_bands(blob_id, old=blob.perceptual_hash, new=rendered.perceptual_hash)

    async def set_broken(self, blob_id: int, *, reason: str) -> None:
        await self._statements.change(_change(blob_id).values(broken_reason=reason))

    async def set_verified(self, blob_id: int, *, at: datetime, corrupt: bool) -> None:
        # The moment of the first finding is what an operator wants to know.
        since = func.coalesce(blobs.c.corrupt_at, at) if corrupt else None
        await self._statements.change(_change(blob_id).values(verified_at=at, corrupt_at=since))

    async def count_images(self, blob_id: int) -> int:
        row = await self._statements.first(select(func.count()).select_from(images).where(images.c.blob_id == blob_id))
        return 0 if row is None else int(row[0])

    async def condemned_before(self, at: datetime, *, limit: int) -> Sequence[int]:
        condemned = await self._statements.rows(
            select(blobs.c.id)
            .where(IS_CONDEMNED, blobs.c.condemned_at <= at)
            .order_by(blobs.c.condemned_at, blobs.c.id)
            .limit(limit)
        )
        erasing = await self._statements.rows(select(blobs.c.id).where(IS_ERASING).order_by(blobs.c.id).limit(limit))
        # Erasing ones come first: nobody can use their bytes any more, only their room.
        return [row.id for row in (*erasing, *condemned)][:limit]

    async def without_thumbnails(self, *, pipeline_version: int, limit: int) -> Sequence[int]:
        key = literal(RENDER_KEY_PREFIX) + cast(blobs.c.id, String)
        promised = exists().where(jobs.c.key == key, HOLDS_KEY)
        rows = await self._statements.rows(
            select(blobs.c.id)
            .where(IS_RENDERABLE, blobs.c.pipeline_version < pipeline_version, ~promised)
            .order_by(blobs.c.pipeline_version, blobs.c.id)
            .limit(limit)
        )
        return [row.id for row in rows]

    async def verified_before(self, at: datetime, *, limit: int) -> Sequence[Blob]:
        # Two index ranges, each in order, merged: there is no portable index on "verified, or else created".
        found = [
            await self._statements.rows(
                select(*BLOB_COLUMNS).where(condition, due <= at).order_by(due, blobs.c.id).limit(limit)
            )
            for condition, due in ((IS_VERIFIED, blobs.c.verified_at), (IS_NEVER_VERIFIED, blobs.c.created_at))
        ]
        ordered = merge(*([blob_of(row) for row in rows] for rows in found), key=_last_verified)
        return list(islice(ordered, limit))

    async def corrupt_before(self, at: datetime, *, limit: int) -> Sequence[Blob]:
        # A function of the column, or the planner may look through all verified blobs for the few corrupt ones.
        verified_at = func.coalesce(blobs.c.verified_at, blobs.c.corrupt_at)
        rows = await self._statements.rows(
            select(*BLOB_COLUMNS).where(IS_CORRUPT, verified_at <= at).order_by(verified_at, blobs.c.id).limit(limit)
        )
        return [blob_of(row) for row in rows]

    async def known_keys(self, keys: Sequence[str]) -> frozenset[str]:
        known: set[str] = set()
        wanted = set(keys)
        hashes = sorted({_sha256_of(key) for key in wanted})
        for start in range(0, len(hashes), CHUNK):
            rows = await self._statements.rows(
                select(*BLOB_COLUMNS).where(blobs.c.sha256.in_(hashes[start : start + CHUNK]))
            )
            known.update(blob_of(row).key for row in rows)
        return frozenset(known & wanted)

    async def page(self, *, after_id: int, limit: int) -> Sequence[Blob]:
        rows = await self._statements.rows(
            select(*BLOB_COLUMNS).where(blobs.c.id > after_id).order_by(blobs.c.id).limit(limit)
        )
        return [blob_of(row) for row in rows]

    async def counts(self) -> BlobCounts:
        return await count_blobs(self._statements)

    async def _one(self, *conditions: ColumnElement[bool], lock: bool = False) -> Blob | None:
        statement = select(*BLOB_COLUMNS).where(*conditions)
        row = await self._statements.first(statement.with_for_update() if lock else statement)
        return None if row is None else blob_of(row)

    async def _set_bands(self, blob_id: int, *, old: int | None, new: int | None) -> None:
        if old == new:
            return
        if old is not None:
            await self._statements.change(
                delete(perceptual_bands).where(
                    or_(
                        *(
                            and_(perceptual_bands.c.band_key == key, perceptual_bands.c.blob_id == blob_id)
                            for key in band_keys(old)
                        )
                    )
                )
            )
        if new is not None:
            await self._statements.change(insert(perceptual_bands).values(band_rows(new, blob_id=blob_id)))


def _change(blob_id: int, *conditions: ColumnElement[bool]) -> Update:
    return update(blobs).where(blobs.c.id == blob_id, *conditions)


def _last_verified(blob: Blob) -> tuple[datetime, int]:
    return blob.verified_at or blob.created_at, blob.id


def _sha256_of(key: str) -> str:
    """The hash in an original's key; nonsense for a key that is none, which then names no row."""
    return key.removeprefix(BLOB_PREFIX).partition("/")[2].partition(".")[0]
