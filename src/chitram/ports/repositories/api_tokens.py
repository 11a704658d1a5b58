"""API tokens of accounts."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from chitram.domain.api_tokens import ApiToken


class ApiTokenRepository(Protocol):
    async def add(self, token: ApiToken) -> None: ...

    async def of_user(self, user_id: str) -> Sequence[ApiToken]:
        """Newest first, expired ones included."""
        ...

    async def remove(self, token_id: str, *, user_id: str) -> bool:
        """Revoke a token; False when the account has no such one."""
        ...

    async def remove_of_user(self, user_id: str) -> int:
        """Revoke every token of the account; how many."""
        ...

    async def remove_expired(self, user_id: str, *, now: datetime) -> int:
        """Forget the account's tokens that have expired; how many."""
        ...

    async def set_used(self, uses: Mapping[str, datetime]) -> None:
        """Note when tokens were used last, by their ids."""
        ...
