"""What became of uploads that carried an `Idempotency-Key`."""

from datetime import datetime

from sqlalchemy import ColumnElement, and_, case, delete, or_, select, tuple_, update

from chitram.adapters.db.dialects import insert_or_skip
from chitram.adapters.db.records import IDEMPOTENCY_COLUMNS, values_of
from chitram.adapters.db.statements import Statements
from chitram.adapters.db.tables import idempotency_keys
from chitram.domain.idempotency import IdempotencyKey, IdempotencyRecord

_IS_FINISHED = idempotency_keys.c.image_id.is_not(None)


class SqlIdempotencyRepository:
    """ports.repositories.idempotency.IdempotencyRepository on one transaction."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def hold(
        self, key: IdempotencyKey, *, holder: str, now: datetime, until: datetime, expires_at: datetime
    ) -> IdempotencyRecord:
        fresh = IdempotencyRecord(key.scope, key.key_hash, holder=holder, held_until=until, expires_at=expires_at)
        insertion = insert_or_skip(idempotency_keys, dialect=self._statements.dialect).values(values_of(fresh))
        # One statement looks, takes and tells, so that no other transaction can come in between: who may not take the
        # key writes back what is there.
        is_free = _is_free_for(holder, now=now)
        taken = {
            column.name: case((is_free, insertion.excluded[column.name]), else_=column)
            for column in IDEMPOTENCY_COLUMNS
            if not column.primary_key
        }
        (row,) = await self._statements.rows(
            insertion.on_conflict_do_update(
                index_elements=[idempotency_keys.c.scope, idempotency_keys.c.key_hash], set_=taken
            ).returning(*IDEMPOTENCY_COLUMNS)
        )
        return IdempotencyRecord(*row)

    async def finish(self, key: IdempotencyKey, *, holder: str, fingerprint: str, image_id: str) -> bool:
        values = {"fingerprint": fingerprint, "image_id": image_id}
        finished = await self._statements.change(
            update(idempotency_keys).where(_is_held(key, holder=holder)).values(values)
        )
        return finished > 0

    async def release(self, key: IdempotencyKey, *, holder: str) -> None:
        await self._statements.change(delete(idempotency_keys).where(_is_held(key, holder=holder)))

    async def remove_expired(self, *, now: datetime, limit: int) -> int:
        place = (idempotency_keys.c.scope, idempotency_keys.c.key_hash)
        expires_at = idempotency_keys.c.expires_at
        expired = select(*place).where(expires_at <= now).order_by(expires_at).limit(limit)
        return await self._statements.change(delete(idempotency_keys).where(tuple_(*place).in_(expired)))


def _is_free_for(holder: str, *, now: datetime) -> ColumnElement[bool]:
    nobody_else = or_(idempotency_keys.c.holder == holder, idempotency_keys.c.held_until <= now)
    return or_(idempotency_keys.c.expires_at <= now, and_(~_IS_FINISHED, nobody_else))


def _is_held(key: IdempotencyKey, *, holder: str) -> ColumnElement[bool]:
    this = (idempotency_keys.c.scope == key.scope, idempotency_keys.c.key_hash == key.key_hash)
    return and_(*this, idempotency_keys.c.holder == holder, ~_IS_FINISHED)
