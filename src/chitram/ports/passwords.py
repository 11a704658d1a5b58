"""Hashing passwords, which is slow on purpose."""

from typing import Protocol


class Passwords(Protocol):
    """Every method raises ServiceUnavailable when too many wait already."""

    async def hash(self, password: str) -> str:
        """A salted hash of `password`, of which every character counts."""
        ...

    async def verify(self, password: str, *, password_hash: str | None) -> bool:
        """Whether `password` has this hash. None, for an account that does not exist, takes as long and is False."""
        ...

    def is_outdated(self, password_hash: str) -> bool:
        """Whether it was made at another cost than today's."""
        ...

    def is_known(self, password: str) -> bool:
        """Whether it is on the list of passwords that everybody tries first."""
        ...
