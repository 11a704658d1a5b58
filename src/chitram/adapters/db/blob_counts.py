"""How many blobs stand where. Only indexes are read; the rare conditions have one each that holds nothing else."""

from typing import TypeVar, cast

from sqlalchemy import ColumnElement, func, select

from chitram.adapters.db.statements import Statements
from chitram.adapters.db.tables import (
    IS_BROKEN,
    IS_CONDEMNED,
    IS_CORRUPT,
    IS_ERASING,
    IS_LIVE,
    IS_NEVER_VERIFIED,
    IS_RENDERABLE,
    IS_VERIFIED,
    blobs,
)
from chitram.domain.media import PIPELINE_VERSION
from chitram.ports.repositories.blobs import BlobCounts

T = TypeVar("T")


async def count_blobs(statements: Statements) -> BlobCounts:
    """See ports.repositories.blobs.BlobRepository.counts.

    Missing thumbnails are those that the present pipeline would make.
    """
    return BlobCounts(
        live=await _count(statements, IS_LIVE),
        bytes=int(await _value(statements, func.sum(blobs.c.size), IS_LIVE) or 0),
        condemned=await _count(statements, IS_CONDEMNED),
        erasing=await _count(statements, IS_ERASING),
        without_thumbnails=await _count(statements, IS_RENDERABLE, blobs.c.pipeline_version < PIPELINE_VERSION),
        broken=await _count(statements, IS_BROKEN),
        corrupt=await _count(statements, IS_CORRUPT),
        never_verified=await _count(statements, IS_NEVER_VERIFIED),
        oldest_verified_at=await _value(statements, func.min(blobs.c.verified_at), IS_VERIFIED),
    )


async def _count(statements: Statements, *conditions: ColumnElement[bool]) -> int:
    return await _value(statements, func.count(), *conditions) or 0


async def _value(statements: Statements, value: ColumnElement[T], *conditions: ColumnElement[bool]) -> T | None:
    row = await statements.first(select(value).select_from(blobs).where(*conditions))
    return None if row is None else cast("T | None", row[0])
