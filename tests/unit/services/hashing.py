"""A hasher that tells what work it did, and lets others in before it is done."""

from collections import defaultdict, deque

from chitram.ports.passwords import Passwords
from tests.factories.interleaving import Action


class WatchedPasswords:
    """ports.passwords.Passwords over a real one. `work` names each hash that was made, oldest first."""

    def __init__(self, real: Passwords) -> None:
        self.real = real
        self.work: list[str] = []
        self.before: defaultdict[str, deque[Action]] = defaultdict(deque)

    async def hash(self, password: str) -> str:
        await self._begin("hash")
        return await self.real.hash(password)

    async def verify(self, password: str, *, password_hash: str | None) -> bool:
        await self._begin("verify")
        return await self.real.verify(password, password_hash=password_hash)

    def is_outdated(self, password_hash: str) -> bool:
        return self.real.is_outdated(password_hash)

    def is_known(self, password: str) -> bool:
        return self.real.is_known(password)

    async def _begin(self, name: str) -> None:
        self.work.append(name)
        if self.before[name]:
            await self.before[name].popleft()()
