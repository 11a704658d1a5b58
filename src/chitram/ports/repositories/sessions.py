"""Where accounts are signed in."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from chitram.domain.sessions import Session


class SessionRepository(Protocol):
    async def add(self, session: Session) -> None: ...

    async def of_user(self, user_id: str, *, now: datetime) -> Sequence[Session]:
        """Those that have not expired, newest first."""
        ...

    async def remove(self, session_id: str, *, user_id: str) -> bool:
        """End a session; False when the account has no such one."""
        ...

    async def remove_of_user(self, user_id: str, *, but: str | None = None) -> int:
        """End every session of the account, without the one with the id `but`; how many."""
        ...

    async def remove_oldest(self, user_id: str, *, keep: int) -> int:
        """End all but the `keep` newest sessions of the account; how many."""
        ...

    async def remember_address(self, user_id: str, *, subject: str, at: datetime, keep: int) -> None:
        """Note that the account was signed in from `subject`, whom a limit counts when that address comes.

        Of the others at most `keep` - 1 are kept, those seen last.
        """
        ...

    async def knows_address(self, user_id: str, *, subject: str) -> bool:
        """Whether the account was signed in from `subject` and that has not been forgotten; sessions may have ended."""
        ...

    async def forget_addresses_of(self, user_id: str, *, but: str | None = None) -> int:
        """Forget from where the account was signed in, all but the subject `but`; how many."""
        ...

    async def forget_addresses(self, *, before: datetime, limit: int) -> int:
        """Forget at most `limit` addresses that were seen last at or before `before`; how many."""
        ...

    async def set_used(self, uses: Mapping[str, datetime]) -> None:
        """Note when sessions were used last, by their ids."""
        ...

    async def remove_expired(self, *, now: datetime, limit: int) -> int:
        """Forget at most `limit` that have expired; how many."""
        ...
