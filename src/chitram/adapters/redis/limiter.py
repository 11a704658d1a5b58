"""Rate limits that all server processes count together."""

import hashlib
import logging
from collections.abc import Callable

from chitram.adapters.redis.client import RedisClient, RedisUnavailableError
from chitram.adapters.redis.links import Script
from chitram.ports.limiter import Limiter, Rate, Verdict

logger = logging.getLogger(__name__)

_MICROSECONDS = 1_000_000

#: KEYS: the times of the requests that count, oldest first. ARGV: incarnation, limit, window in microseconds, how many
#: to count, the time in microseconds or -1 for the server's. The answer: whether it was allowed, how many count, and in
#: how many microseconds the oldest of them does not any more. When the server's clock was set back, the times are moved
#: with it: nobody waits longer than a window for that.
_HIT = Script.of("""
local limit, window, amount, now = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
if now < 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local key = KEYS[1]
local newest = tonumber(redis.call('LINDEX', key, -1) or now)
if newest > now then
  local times = redis.call('LRANGE', key, 0, -1)
  for index, time in ipairs(times) do
    redis.call('LSET', key, index - 1, string.format('%.0f', time - newest + now))
  end
end
local oldest = redis.call('LINDEX', key, 0)
while oldest and tonumber(oldest) <= now - window do
  redis.call('LPOP', key)
  oldest = redis.call('LINDEX', key, 0)
end
local count = redis.call('LLEN', key)
local allowed = count < limit
if allowed and amount > 0 then
  redis.call('RPUSH', key, string.format('%.0f', now))
  redis.call('PEXPIRE', key, math.ceil(window / 1000))
  count = count + 1
  oldest = oldest or now
end
return {allowed and 1 or 0, count, string.format('%.0f', tonumber(oldest or now) + window - now)}
""")


class RedisLimiter:
    """Moving windows in Redis, exact for all processes together. Raises RedisUnavailableError: see FallbackLimiter.

    `now` gives seconds; by default it is the clock of the server, the one that everybody shares.
    """

    backend = "redis"

    def __init__(self, client: RedisClient, *, prefix: str, now: Callable[[], float] | None = None) -> None:
        self._client = client
        self._prefix = prefix
        self._now = now

    async def hit(self, rate: Rate, *, subject: str) -> Verdict:
        return await self._ask(rate, subject, amount=1)

    async def peek(self, rate: Rate, *, subject: str) -> Verdict:
        return await self._ask(rate, subject, amount=0)

    async def _ask(self, rate: Rate, subject: str, *, amount: int) -> Verdict:
        now = -1 if self._now is None else round(self._now() * _MICROSECONDS)
        allowed, count, reset = await self._client.evaluate(
            _HIT,
            keys=(self._key(rate, subject),),
            arguments=(rate.limit, rate.window * _MICROSECONDS, amount, now),
        )
        seconds = int(reset) / _MICROSECONDS
        return Verdict(
            allowed=bool(allowed),
            rate=rate,
            remaining=max(0, rate.limit - count),
            reset=seconds,
            retry_after=0.0 if allowed else seconds,
        )

    def _key(self, rate: Rate, subject: str) -> str:
        # Subjects hold addresses and what strangers typed: no key is to tell them, or be shaped by them.
        return f"{self._prefix}:limit:{rate.name}:{hashlib.sha256(subject.encode()).hexdigest()[:32]}"


class FallbackLimiter:
    """Asks `shared`, and `own` while that is away: then each process counts for itself, and nothing stops."""

    def __init__(self, shared: Limiter, own: Limiter, *, on_change: Callable[[bool], None]) -> None:
        """`on_change` hears whether `own` stands in."""
        self._shared = shared
        self._own = own
        self._on_change = on_change
        self._standing_in = False

    @property
    def backend(self) -> str:
        return self._own.backend if self._standing_in else self._shared.backend

    async def hit(self, rate: Rate, *, subject: str) -> Verdict:
        try:
            verdict = await self._shared.hit(rate, subject=subject)
        except RedisUnavailableError as error:
            self._change(True, reason=error)
            return await self._own.hit(rate, subject=subject)
        self._change(False)
        return verdict

    async def peek(self, rate: Rate, *, subject: str) -> Verdict:
        try:
            verdict = await self._shared.peek(rate, subject=subject)
        except RedisUnavailableError as error:
            self._change(True, reason=error)
            return await self._own.peek(rate, subject=subject)
        self._change(False)
        return verdict

    def _change(self, stands_in: bool, *, reason: Exception | None = None) -> None:
        if stands_in is self._standing_in:
            return
        self._standing_in = stands_in
        self._on_change(stands_in)
        if stands_in:
            logger.warning("Rate limits are counted by each process for itself: Redis is away (%s)", reason)
        else:
            logger.info("Rate limits are counted in Redis again")
