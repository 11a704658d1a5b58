"""The accounts."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Column, ColumnElement, case, delete, func, or_, select, update

from chitram.adapters.db.dialects import insert_or_skip
from chitram.adapters.db.records import USER_COLUMNS, values_of
from chitram.adapters.db.statements import Statements
from chitram.adapters.db.tables import api_tokens, sessions, users
from chitram.domain.access import Credential
from chitram.domain.users import Quota, Role, User


class SqlUserRepository:
    """ports.repositories.users.UserRepository on one transaction."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def add(self, user: User) -> bool:
        made = await self._statements.change(
            insert_or_skip(users, dialect=self._statements.dialect)
            .values(values_of(user))
            .on_conflict_do_nothing(index_elements=[users.c.email_key])
        )
        return made > 0

    async def get(self, user_id: str) -> User | None:
        return await self._find(users.c.id == user_id)

    async def lock(self, user_id: str) -> User | None:
        return await self._find(users.c.id == user_id, lock=True)

    async def lock_signed_in(self, credential: Credential) -> User | None:
        user = await self.lock(credential.user_id)
        if user is None or not user.is_active:
            return None
        for table, name in ((sessions, credential.session_id), (api_tokens, credential.token_id)):
            if name is not None:
                this = (table.c.id == name, table.c.user_id == user.id)
                if await self._statements.first(select(table.c.id).where(*this)) is None:
                    return None
        return user

    async def find(self, email_key: str) -> User | None:
        return await self._find(users.c.email_key == email_key)

    async def charge(self, user_id: str, *, size: int, default: Quota) -> bool:
        # One statement looks and counts: of two uploads that come together, the second one sees what the first took.
        used_bytes, used_files = users.c.used_bytes + size, users.c.used_files + 1
        charged = await self._statements.change(
            update(users)
            .where(
                users.c.id == user_id,
                users.c.is_active,
                _fits(used_bytes, users.c.quota_bytes, default=default.bytes),
                _fits(used_files, users.c.quota_files, default=default.files),
            )
            .values(used_bytes=used_bytes, used_files=used_files)
        )
        return charged > 0

    async def release(self, user_id: str, *, size: int, files: int = 1) -> None:
        values = {"used_bytes": _less(users.c.used_bytes, size), "used_files": _less(users.c.used_files, files)}
        await self._set(user_id, values)

    async def set_password(self, user_id: str, *, password_hash: str) -> None:
        await self._set(user_id, {"password_hash": password_hash})

    async def set_role(self, user_id: str, *, role: Role) -> None:
        await self._set(user_id, {"role": role})

    async def set_active(self, user_id: str, *, active: bool) -> None:
        await self._set(user_id, {"is_active": active})

    async def set_quota(self, user_id: str, *, quota_bytes: int | None, quota_files: int | None) -> None:
        await self._set(user_id, {"quota_bytes": quota_bytes, "quota_files": quota_files})

    async def remove(self, user_id: str) -> None:
        # Its sessions and API tokens go with it, by their foreign keys.
        await self._statements.change(delete(users).where(users.c.id == user_id))

    async def page(self, *, after_email_key: str, limit: int) -> Sequence[User]:
        rows = await self._statements.rows(
            select(*USER_COLUMNS).where(users.c.email_key > after_email_key).order_by(users.c.email_key).limit(limit)
        )
        return [User(*row) for row in rows]

    async def count(self) -> int:
        row = await self._statements.first(select(func.count()).select_from(users))
        return 0 if row is None else int(row[0])

    async def _find(self, condition: ColumnElement[bool], *, lock: bool = False) -> User | None:
        statement = select(*USER_COLUMNS).where(condition)
        row = await self._statements.first(statement.with_for_update() if lock else statement)
        return None if row is None else User(*row)

    async def _set(self, user_id: str, values: Mapping[str, object]) -> None:
        await self._statements.change(update(users).where(users.c.id == user_id).values(values))


def _fits(used: ColumnElement[int], own: Column[int], *, default: int) -> ColumnElement[bool]:
    """Whether so much may be used; a quota of 0 is none."""
    quota = func.coalesce(own, default)
    return or_(quota == 0, used <= quota)


def _less(used: Column[int], amount: int) -> ColumnElement[int]:
    # A count that went wrong must not keep anybody from deleting an image: it stops at nothing.
    return case((used > amount, used - amount), else_=0)
