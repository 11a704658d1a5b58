"""The sessions of accounts."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import bindparam, case, delete, insert, select, tuple_, update

from chitram.adapters.db.column_types import UtcDateTime, is_storable
from chitram.adapters.db.dialects import insert_or_skip
from chitram.adapters.db.records import SESSION_COLUMNS, values_of
from chitram.adapters.db.statements import Statements
from chitram.adapters.db.tables import familiar_addresses as familiar
from chitram.adapters.db.tables import sessions
from chitram.domain.sessions import Session


class SqlSessionRepository:
    """ports.repositories.sessions.SessionRepository on one transaction."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def add(self, session: Session) -> None:
        await self._statements.change(insert(sessions).values(values_of(session)))

    async def of_user(self, user_id: str, *, now: datetime) -> Sequence[Session]:
        rows = await self._statements.rows(
            select(*SESSION_COLUMNS)
            .where(sessions.c.user_id == user_id)
            .order_by(sessions.c.created_at.desc(), sessions.c.id.desc())
        )
        # Expired ones are few, a sweeper sees to that; asked for the rest, the planner may walk everybody's sessions.
        return [session for session in (Session(*row) for row in rows) if session.expires_at > now]

    async def remove(self, session_id: str, *, user_id: str) -> bool:
        if not is_storable(session_id):
            return False
        this = (sessions.c.id == session_id, sessions.c.user_id == user_id)
        return await self._statements.change(delete(sessions).where(*this)) > 0

    async def remove_of_user(self, user_id: str, *, but: str | None = None) -> int:
        statement = delete(sessions).where(sessions.c.user_id == user_id)
        return await self._statements.change(statement if but is None else statement.where(sessions.c.id != but))

    async def remove_oldest(self, user_id: str, *, keep: int) -> int:
        newest = (
            select(sessions.c.id)
            .where(sessions.c.user_id == user_id)
            .order_by(sessions.c.created_at.desc(), sessions.c.id.desc())
            .limit(keep)
        )
        rest = (sessions.c.user_id == user_id, sessions.c.id.not_in(newest))
        return await self._statements.change(delete(sessions).where(*rest))

    async def remember_address(self, user_id: str, *, subject: str, at: datetime, keep: int) -> None:
        new = insert_or_skip(familiar, dialect=self._statements.dialect).values(
            user_id=user_id, subject=subject, last_seen_at=at
        )
        # Clocks of several servers differ a little, and the one that is behind must not have the last word.
        seen = case(
            (new.excluded.last_seen_at > familiar.c.last_seen_at, new.excluded.last_seen_at),
            else_=familiar.c.last_seen_at,
        )
        await self._statements.change(
            new.on_conflict_do_update(
                index_elements=[familiar.c.user_id, familiar.c.subject], set_={"last_seen_at": seen}
            )
        )
        others = (familiar.c.user_id == user_id, familiar.c.subject != subject)
        newest = (
            select(familiar.c.subject)
            .where(*others)
            .order_by(familiar.c.last_seen_at.desc(), familiar.c.subject.desc())
            .limit(keep - 1)
        )
        await self._statements.change(delete(familiar).where(*others, familiar.c.subject.not_in(newest)))

    async def knows_address(self, user_id: str, *, subject: str) -> bool:
        row = await self._statements.first(
            select(familiar.c.subject).where(familiar.c.user_id == user_id, familiar.c.subject == subject)
        )
        return row is not None

    async def forget_addresses_of(self, user_id: str, *, but: str | None = None) -> int:
        theirs = delete(familiar).where(familiar.c.user_id == user_id)
        return await self._statements.change(theirs if but is None else theirs.where(familiar.c.subject != but))

    async def forget_addresses(self, *, before: datetime, limit: int) -> int:
        key = tuple_(familiar.c.user_id, familiar.c.subject)
        old = (
            select(familiar.c.user_id, familiar.c.subject)
            .where(familiar.c.last_seen_at <= before)
            .order_by(familiar.c.last_seen_at)
            .limit(limit)
        )
        return await self._statements.change(delete(familiar).where(key.in_(old)))

    async def set_used(self, uses: Mapping[str, datetime]) -> None:
        if not uses:
            return
        # Several processes note what they saw, and the one that saw less must not have the last word.
        used_at = bindparam("used_at", type_=UtcDateTime())
        await self._statements.change_each(
            update(sessions)
            .where(sessions.c.id == bindparam("used_id"), sessions.c.last_used_at < used_at)
            .values(last_used_at=used_at),
            [{"used_id": session_id, "used_at": at} for session_id, at in uses.items()],
        )

    async def remove_expired(self, *, now: datetime, limit: int) -> int:
        expired = select(sessions.c.id).where(sessions.c.expires_at <= now).order_by(sessions.c.expires_at).limit(limit)
        return await self._statements.change(delete(sessions).where(sessions.c.id.in_(expired)))
