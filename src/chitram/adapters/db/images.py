"""The images: what people uploaded, the public list, and what looks alike."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, insert, literal, or_, select, tuple_, update

from chitram.adapters.db.column_types import UtcDateTime
from chitram.adapters.db.records import IMAGE_COLUMNS, image_of, record_of, select_records, values_of
from chitram.adapters.db.similar import find_similar
from chitram.adapters.db.statements import Statements
from chitram.adapters.db.tables import IS_OWNED, NAME_KEY, blobs, images, users
from chitram.domain.images import Image, ImageRecord, Order, Visibility
from chitram.domain.users import Quota
from chitram.ports.repositories.images import Miscount, Position, Similar

_CHANGEABLE = ("owner_id", "delete_token_hash", "visibility", "title", "description")


class SqlImageRepository:
    """ports.repositories.images.ImageRepository on one transaction."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def add(self, image: Image) -> None:
        await self._statements.change(insert(images).values(values_of(image)))

    async def lock(self, image_id: str) -> Image | None:
        row = await self._statements.first(select(*IMAGE_COLUMNS).where(images.c.id == image_id).with_for_update())
        return None if row is None else image_of(row)

    async def get(self, image_id: str) -> ImageRecord | None:
        row = await self._statements.first(select_records().where(images.c.id == image_id))
        return None if row is None else record_of(row)

    async def remove(self, image_id: str) -> None:
        await self._statements.change(delete(images).where(images.c.id == image_id))

    async def update(self, image: Image) -> None:
        values = {name: getattr(image, name) for name in _CHANGEABLE}
        await self._statements.change(update(images).where(images.c.id == image.id).values(values))

    async def disown(self, owner_id: str) -> Sequence[str]:
        # Owned images have no token. Should one have it all the same, it must not come to life now.
        nobody = {"owner_id": None, "delete_token_hash": None}
        rows = await self._statements.rows(
            update(images).where(images.c.owner_id == owner_id).values(nobody).returning(images.c.id)
        )
        return [row.id for row in rows]

    async def remove_owned(self, owner_id: str, *, visibility: Visibility | None = None) -> Sequence[tuple[str, int]]:
        statement = delete(images).where(images.c.owner_id == owner_id)
        if visibility is not None:
            # A function of the column, or the planner may look through everybody's images of this visibility.
            statement = statement.where(func.lower(images.c.visibility) == visibility.value)
        rows = await self._statements.rows(statement.returning(images.c.id, images.c.blob_id))
        return [(row.id, row.blob_id) for row in rows]

    async def twin(self, owner_id: str, *, blob_id: int) -> str | None:
        row = await self._statements.first(
            select(images.c.id)
            .where(images.c.owner_id == owner_id, images.c.blob_id == blob_id)
            .order_by(images.c.created_at, images.c.id)
            .limit(1)
        )
        return None if row is None else str(row.id)

    async def ids_of_blob(self, blob_id: int) -> Sequence[str]:
        rows = await self._statements.rows(select(images.c.id).where(images.c.blob_id == blob_id))
        return [row.id for row in rows]

    async def list_public(self, *, after: Position | None, limit: int) -> Sequence[ImageRecord]:
        shown = (images.c.visibility == Visibility.PUBLIC, blobs.c.broken_reason.is_(None))
        return await self._in_order(*shown, after=after, limit=limit)

    async def list_owned(
        self,
        owner_id: str,
        *,
        after: Position | None,
        limit: int,
        order: Order = Order.NEWEST,
        name: str | None = None,
    ) -> Sequence[ImageRecord]:
        wanted = [images.c.owner_id == owner_id]
        if name is not None:
            named = (column.icontains(name, autoescape=True) for column in (images.c.title, images.c.filename))
            wanted.append(or_(*named))
        if order is Order.SIZE:
            return await self._largest_first(*wanted, after=after, limit=limit)
        return await self._in_order(*wanted, after=after, limit=limit, order=order)

    async def similar(
        self, perceptual_hash: int, *, distance: int, exclude: str, limit: int, owner_id: str | None = None
    ) -> Sequence[Similar]:
        return await find_similar(
            self._statements, perceptual_hash, distance=distance, exclude=exclude, limit=limit, owner_id=owner_id
        )

    async def count(self) -> int:
        row = await self._statements.first(select(func.count()).select_from(images))
        return 0 if row is None else int(row[0])

    async def any(self) -> bool:
        return await self._statements.first(select(images.c.id).limit(1)) is not None

    async def miscounts(self) -> Sequence[Miscount]:
        size, files = func.coalesce(func.sum(blobs.c.size), 0), func.count(images.c.id)
        owned = users.outerjoin(images, and_(images.c.owner_id == users.c.id, IS_OWNED))
        rows = await self._statements.rows(
            select(users.c.id, users.c.used_bytes, users.c.used_files, size, files)
            .select_from(owned.outerjoin(blobs, blobs.c.id == images.c.blob_id))
            .group_by(users.c.id)
            .having(or_(users.c.used_bytes != size, users.c.used_files != files))
            .order_by(users.c.id)
        )
        return [Miscount(row[0], Quota(row[1], row[2]), Quota(int(row[3]), int(row[4]))) for row in rows]

    async def _in_order(
        self, *conditions: ColumnElement[bool], after: Position | None, limit: int, order: Order = Order.NEWEST
    ) -> Sequence[ImageRecord]:
        """In an order that an index has."""
        key: ColumnElement[Any] = NAME_KEY if order is Order.NAME else images.c.created_at
        statement = select_records().where(*conditions)
        if after is not None:
            statement = statement.where(*_behind(key, after, order=order))
        keys = (key, images.c.id)
        ordered = statement.order_by(*(each.desc() if order is Order.NEWEST else each for each in keys)).limit(limit)
        return [record_of(row) for row in await self._statements.rows(ordered)]

    async def _largest_first(
        self, *conditions: ColumnElement[bool], after: Position | None, limit: int
    ) -> Sequence[ImageRecord]:
        """Sizes are their blobs', and no index has them beside owners: all that meet the conditions are sorted, by as
        little of them as can be, and only what is shown is read whole.
        """
        found = select(images.c.id, blobs.c.size).join_from(images, blobs, images.c.blob_id == blobs.c.id)
        if after is not None:
            conditions = (*conditions, *_behind(blobs.c.size, after, order=Order.SIZE))
        found = found.where(*conditions).order_by(blobs.c.size.desc(), images.c.id.desc()).limit(limit)
        shown = found.subquery("shown")
        statement = select_records().join(shown, shown.c.id == images.c.id)
        rows = await self._statements.rows(statement.order_by(shown.c.size.desc(), shown.c.id.desc()))
        return [record_of(row) for row in rows]


def _behind(key: ColumnElement[Any], place: Position, *, order: Order) -> Sequence[ColumnElement[bool]]:
    """What images that come after `place` in the order meet; `key`: what it sorts by."""
    here, there = tuple_(key, images.c.id), tuple_(_as_key(place, order=order), literal(place.id))
    if order is Order.NAME:
        # SQLite finds no place in an index of expressions by two values at once, but by the first of them it does.
        return here > there, key >= _as_key(place, order=order)
    return (here > there if order is Order.OLDEST else here < there,)


def _as_key(place: Position, *, order: Order) -> ColumnElement[Any]:
    if order is Order.NAME:
        return func.lower(literal(place.key))
    return literal(place.key) if order is Order.SIZE else literal(place.key, UtcDateTime())
