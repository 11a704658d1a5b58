"""Named leases, so that of many processes one does a thing."""

from datetime import datetime

from sqlalchemy import delete, or_, select, update

from chitram.adapters.db.dialects import insert_or_skip
from chitram.adapters.db.statements import Statements
from chitram.adapters.db.tables import leases


class SqlLeaseRepository:
    """ports.repositories.leases.LeaseRepository on one transaction."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def acquire(self, name: str, *, holder: str, now: datetime, until: datetime) -> bool:
        taken = await self._statements.change(
            update(leases)
            .where(leases.c.name == name, or_(leases.c.holder == holder, leases.c.until <= now))
            .values(holder=holder, until=until)
        )
        if taken:
            return True
        made = await self._statements.change(
            insert_or_skip(leases, dialect=self._statements.dialect)
            .values(name=name, holder=holder, until=until)
            .on_conflict_do_nothing(index_elements=[leases.c.name])
        )
        return made > 0

    async def is_held(self, name: str, *, now: datetime) -> bool:
        held = select(leases.c.name).where(leases.c.name == name, leases.c.until > now)
        return await self._statements.first(held) is not None

    async def release(self, name: str, *, holder: str) -> None:
        await self._statements.change(delete(leases).where(leases.c.name == name, leases.c.holder == holder))
