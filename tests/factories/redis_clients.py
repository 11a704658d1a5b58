"""Clients of a real Redis inside the test's process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chitram.adapters.memory.clock import SystemClock
from chitram.adapters.redis.client import RedisClient
from chitram.ports.clock import Clock

#: More patient than a server is: a busy machine must not make a test fail that is not about time.
PATIENCE = 5.0


class RedisNotes:
    """Keeps what the client reported."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.states: list[str] = []

    def redis_failed(self, reason: str) -> None:
        self.failures.append(reason)

    def breaker_changed(self, dependency: str, state: str) -> None:
        assert dependency == "redis"
        self.states.append(state)


@asynccontextmanager
async def redis_client(
    address: str, *, timeout: float = PATIENCE, clock: Clock | None = None, notes: RedisNotes | None = None
) -> AsyncIterator[RedisClient]:
    """A client of the server at `address`, closed when the context ends."""
    client = RedisClient(address, timeout=timeout, clock=clock or SystemClock(), observer=notes or RedisNotes())
    try:
        yield client
    finally:
        await client.aclose()
