"""The API tokens of accounts."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import bindparam, delete, insert, or_, select, update

from chitram.adapters.db.column_types import UtcDateTime, is_storable
from chitram.adapters.db.records import API_TOKEN_COLUMNS, values_of
from chitram.adapters.db.statements import Statements
from chitram.adapters.db.tables import api_tokens
from chitram.domain.api_tokens import ApiToken


class SqlApiTokenRepository:
    """ports.repositories.api_tokens.ApiTokenRepository on one transaction."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def add(self, token: ApiToken) -> None:
        await self._statements.change(insert(api_tokens).values(values_of(token)))

    async def of_user(self, user_id: str) -> Sequence[ApiToken]:
        rows = await self._statements.rows(
            select(*API_TOKEN_COLUMNS)
            .where(api_tokens.c.user_id == user_id)
            .order_by(api_tokens.c.created_at.desc(), api_tokens.c.id.desc())
        )
        return [ApiToken(*row) for row in rows]

    async def remove(self, token_id: str, *, user_id: str) -> bool:
        if not is_storable(token_id):
            return False
        this = (api_tokens.c.id == token_id, api_tokens.c.user_id == user_id)
        return await self._statements.change(delete(api_tokens).where(*this)) > 0

    async def remove_of_user(self, user_id: str) -> int:
        return await self._statements.change(delete(api_tokens).where(api_tokens.c.user_id == user_id))

    async def remove_expired(self, user_id: str, *, now: datetime) -> int:
        expired = (api_tokens.c.user_id == user_id, api_tokens.c.expires_at <= now)
        return await self._statements.change(delete(api_tokens).where(*expired))

    async def set_used(self, uses: Mapping[str, datetime]) -> None:
        if not uses:
            return
        # Several processes note what they saw, and the one that saw less must not have the last word.
        used_at = bindparam("used_at", type_=UtcDateTime())
        is_older = or_(api_tokens.c.last_used_at.is_(None), api_tokens.c.last_used_at < used_at)
        await self._statements.change_each(
            update(api_tokens).where(api_tokens.c.id == bindparam("used_id"), is_older).values(last_used_at=used_at),
            [{"used_id": token_id, "used_at": at} for token_id, at in uses.items()],
        )
