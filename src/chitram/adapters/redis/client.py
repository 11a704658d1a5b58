"""Redis as something that may be missing at any moment: bounded waits, a breaker, and one kind of failure."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from redis.exceptions import ConnectionError as LostError
from redis.exceptions import RedisError, ResponseError

from chitram.adapters.breaker import Breaker, BreakerState
from chitram.adapters.redis.links import Link, LinkPool, Reply, Script
from chitram.ports.clock import Clock

logger = logging.getLogger(__name__)

CONNECTIONS = 32
#: So many failures in a row, and Redis is left alone for so many seconds.
FAILURES = 5
PAUSE = 1.0
#: An answer that took more than this part of the time limit counts as a failure: the database is faster.
SLOW = 0.5
#: The same refusal is logged once in so many seconds.
COMPLAINT_INTERVAL = 60.0

Result = TypeVar("Result")


class RedisUnavailableError(Exception):
    """Redis did not do it, or nobody knows whether it did."""


class Observer(Protocol):
    """What the client tells whoever counts."""

    def redis_failed(self, reason: str) -> None:
        """`reason`: timeout, connection, or refused by an answer of Redis."""
        ...

    def breaker_changed(self, dependency: str, state: str) -> None: ...


class RedisClient:
    """One for a process. Nothing is sent before the first call, so Redis need not be there when a server starts.

    A call that takes longer than `timeout` seconds, everything included, fails; it is not repeated. When a call was
    cancelled or failed half-way its connection is closed, so no answer ever reaches another caller.
    """

    def __init__(self, address: str, *, timeout: float, clock: Clock, observer: Observer) -> None:
        """ValueError for an address that is none."""
        self._pool = LinkPool(address, size=CONNECTIONS)
        self._timeout = timeout
        self._clock = clock
        self._observer = observer
        self._breaker = Breaker(failures=FAILURES, pause=PAUSE, clock=clock, on_change=self._changed)
        self._complaint = ("", float("-inf"))
        self._last_failure = ""
        self._reported = False

    @property
    def state(self) -> BreakerState:
        return self._breaker.state

    async def call(self, *arguments: str | bytes | int) -> Reply:
        """The answer to one command. RedisUnavailableError."""
        return await self._guarded(lambda link: link.call(*arguments))

    async def check(self, prefix: str) -> None:
        """RedisUnavailableError unless it answers and takes changes to keys that begin with `prefix`."""
        await self.call("SET", f"{prefix}:check", "1", "PX", 1000)

    async def evaluate(
        self, script: Script, *, keys: Sequence[str], arguments: Sequence[str | bytes | int] = ()
    ) -> Reply:
        """The answer of `script`, whose ARGV[1] is the server's incarnation. RedisUnavailableError."""
        return await self._guarded(lambda link: link.evaluate(script, keys=keys, arguments=arguments))

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()

    async def _guarded(self, act: Callable[[Link], Awaitable[Result]]) -> Result:
        admitted = self._breaker.admit()
        if admitted is None:
            raise RedisUnavailableError("left alone after failures")
        begun = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._timeout):
                result = await self._exchange(act)
        except ResponseError as error:
            # It answers, only not as we would have it: asking again costs little.
            self._breaker.succeeded(admitted)
            self._complain(error)
            raise RedisUnavailableError(str(error)) from error
        except (RedisError, OSError) as error:
            self._note_failure(error)
            self._breaker.failed(admitted)
            if self._breaker.state is BreakerState.OPEN:
                # Whatever is idle leads to a server that is gone, or may be: the trial takes a new connection.
                await self._pool.forget_idle()
            raise RedisUnavailableError(self._last_failure) from error
        except BaseException:
            self._breaker.abandoned(admitted)
            raise
        if self._clock.monotonic() - begun > SLOW * self._timeout:
            self._last_failure = "too slow"
            self._breaker.failed(admitted)
        else:
            self._breaker.succeeded(admitted)
        return result

    async def _exchange(self, act: Callable[[Link], Awaitable[Result]]) -> Result:
        fresh = True
        try:
            async with self._pool.link() as link:
                fresh = not link.used
                return await act(link)
        except LostError:
            if fresh:
                raise
        # The server was started anew while the connection was idle. What we ask may be asked twice.
        await self._pool.forget_idle()
        async with self._pool.link() as link:
            return await act(link)

    def _note_failure(self, error: Exception) -> None:
        late = isinstance(error, TimeoutError)
        self._last_failure = "no answer in time" if late else f"{type(error).__name__}: {error}"
        self._observer.redis_failed("timeout" if late else "connection")

    def _complain(self, error: ResponseError) -> None:
        self._observer.redis_failed("refused")
        kind, said_at = self._complaint
        now = self._clock.monotonic()
        if kind != type(error).__name__ or now - said_at > COMPLAINT_INTERVAL:
            self._complaint = (type(error).__name__, now)
            logger.warning("Redis refuses: %s", error)

    def _changed(self, state: BreakerState) -> None:
        self._observer.breaker_changed("redis", state.value)
        if state is BreakerState.CLOSED:
            logger.info("Redis answers again")
            self._reported = False
        elif state is BreakerState.OPEN and not self._reported:
            self._reported = True
            logger.warning("Redis is left alone for a while and done without (%s)", self._last_failure)
