"""Accounts."""

from collections.abc import Sequence
from typing import Protocol

from chitram.domain.access import Credential
from chitram.domain.users import Quota, Role, User


class UserRepository(Protocol):
    async def add(self, user: User) -> bool:
        """Record an account; False, and nothing else is spoilt, when one with its `email_key` is there already."""
        ...

    async def get(self, user_id: str) -> User | None: ...

    async def lock(self, user_id: str) -> User | None:
        """The account, under its row lock."""
        ...

    async def lock_signed_in(self, credential: Credential) -> User | None:
        """The account, under its row lock; None when it is gone or closed, or the credential is worthless by now."""
        ...

    async def find(self, email_key: str) -> User | None: ...

    async def charge(self, user_id: str, *, size: int, default: Quota) -> bool:
        """Count one more file of `size` bytes, in one conditional update; False, and not counted, when the account's
        quota (`default` where it has none of its own) would be exceeded or there is no such active account.
        """
        ...

    async def release(self, user_id: str, *, size: int, files: int = 1) -> None:
        """Take `files` files of together `size` bytes off the account's count."""
        ...

    async def set_password(self, user_id: str, *, password_hash: str) -> None: ...

    async def set_role(self, user_id: str, *, role: Role) -> None: ...

    async def set_active(self, user_id: str, *, active: bool) -> None: ...

    async def set_quota(self, user_id: str, *, quota_bytes: int | None, quota_files: int | None) -> None:
        """None: the server's default; 0: no limit."""
        ...

    async def remove(self, user_id: str) -> None:
        """Forget the account with its sessions and API tokens. It must own no image any more."""
        ...

    async def page(self, *, after_email_key: str, limit: int) -> Sequence[User]:
        """Accounts by ascending `email_key`; '' is before all."""
        ...

    async def count(self) -> int: ...
