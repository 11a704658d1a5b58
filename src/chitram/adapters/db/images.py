"""The images: what people uploaded, the public list, and what looks alike."""

from collections.abc import Sequence

from sqlalchemy import delete, func, insert, literal, select, tuple_

from chitram.adapters.db.column_types import UtcDateTime
from chitram.adapters.db.connections import Statements
from chitram.adapters.db.records import IMAGE_COLUMNS, image_of, image_values, record_of, select_records
from chitram.adapters.db.similar import find_similar
from chitram.adapters.db.tables import blobs, images
from chitram.domain.images import Image, ImageRecord, Visibility
from chitram.ports.unit_of_work import Position, Similar


class SqlImageRepository:
    """ports.unit_of_work.ImageRepository on one transaction."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def add(self, image: Image) -> None:
        await self._statements.change(insert(images).values(image_values(image)))

    async def lock(self, image_id: str) -> Image | None:
        row = await self._statements.first(select(*IMAGE_COLUMNS).where(images.c.id == image_id).with_for_update())
        return None if row is None else image_of(row)

    async def get(self, image_id: str) -> ImageRecord | None:
        row = await self._statements.first(select_records().where(images.c.id == image_id))
        return None if row is None else record_of(row)

    async def remove(self, image_id: str) -> None:
        await self._statements.change(delete(images).where(images.c.id == image_id))

    async def ids_of_blob(self, blob_id: int) -> Sequence[str]:
        rows = await self._statements.rows(select(images.c.id).where(images.c.blob_id == blob_id))
        return [row.id for row in rows]

    async def list_public(self, *, after: Position | None, limit: int) -> Sequence[ImageRecord]:
        statement = select_records().where(images.c.visibility == Visibility.PUBLIC, blobs.c.broken_reason.is_(None))
        if after is not None:
            place = tuple_(literal(after.created_at, UtcDateTime()), literal(after.id))
            statement = statement.where(tuple_(images.c.created_at, images.c.id) < place)
        ordered = statement.order_by(images.c.created_at.desc(), images.c.id.desc()).limit(limit)
        return [record_of(row) for row in await self._statements.rows(ordered)]

    async def similar(self, perceptual_hash: int, *, distance: int, exclude: str, limit: int) -> Sequence[Similar]:
        return await find_similar(self._statements, perceptual_hash, distance=distance, exclude=exclude, limit=limit)

    async def count(self) -> int:
        row = await self._statements.first(select(func.count()).select_from(images))
        return 0 if row is None else int(row[0])
