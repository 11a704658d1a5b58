"""Rate limits counted in this process."""

from array import array
from bisect import bisect_right
from collections import OrderedDict
from itertools import islice

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from chitram.ports.clock import Clock
from chitram.ports.limiter import Rate, Verdict

#: This many subjects at 10 requests each take about 22 MB. Beyond, who was counted longest ago is forgotten.
MAX_SUBJECTS = 50_000


class MonotonicMovingWindow(MemoryStorage):
    """A moving window whose time is a monotonic clock.

    The library's own memory storage reads the time of day: set back by an hour, it refuses everybody for that hour. And
    whenever it counts a request it looks through all subjects, with a hop to a thread for each: with 1000 of them that
    is 150 ms. Here a request costs the same however many subjects there are: they are kept in the order in which they
    were last counted, and those at the front whose window has passed are dropped, at most two a request.
    """

    STORAGE_SCHEME = ["async+chitram-memory"]  # noqa: RUF012  (the library's registry wants a plain list)

    def __init__(self, *, clock: Clock, max_subjects: int) -> None:
        super().__init__()
        self._clock = clock
        self._max_subjects = max_subjects
        self._windows: OrderedDict[str, tuple[array[float], float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    async def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count `amount` requests of `key`, unless more than `limit` would fall in the last `expiry` seconds."""
        now = self._clock.monotonic()
        self._drop_expired(now)
        times = self._current(key, now=now, expiry=expiry)
        if len(times) + amount > limit:
            return False
        times.extend([now] * amount)
        self._windows[key] = (times, now + expiry)
        self._windows.move_to_end(key)
        if len(self._windows) > self._max_subjects:
            self._windows.popitem(last=False)
        return True

    async def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:  # noqa: ARG002  (the library's)
        """When the oldest request that still counts was made, on the monotonic clock, and how many count."""
        now = self._clock.monotonic()
        times = self._current(key, now=now, expiry=expiry)
        return (times[0], len(times)) if times else (now, 0)

    def _current(self, key: str, *, now: float, expiry: float) -> "array[float]":
        held = self._windows.get(key)
        times = held[0] if held is not None else array("d")
        del times[: bisect_right(times, now - expiry)]
        return times

    def _drop_expired(self, now: float) -> None:
        for key in list(islice(self._windows, 2)):
            if self._windows[key][1] > now:
                return
            del self._windows[key]


class MemoryLimiter:
    """Moving windows in this process's memory: exact while there is one process, blind to jumps of the time of day."""

    backend = "memory"

    def __init__(self, *, clock: Clock, max_subjects: int = MAX_SUBJECTS) -> None:
        self._clock = clock
        self._storage = MonotonicMovingWindow(clock=clock, max_subjects=max_subjects)
        self._strategy = MovingWindowRateLimiter(self._storage)

    async def hit(self, rate: Rate, *, subject: str) -> Verdict:
        item = RateLimitItemPerSecond(rate.limit, rate.window, namespace=rate.name)
        return await self._verdict(rate, item, subject, allowed=await self._strategy.hit(item, subject))

    async def peek(self, rate: Rate, *, subject: str) -> Verdict:
        item = RateLimitItemPerSecond(rate.limit, rate.window, namespace=rate.name)
        return await self._verdict(rate, item, subject, allowed=await self._strategy.test(item, subject))

    async def _verdict(self, rate: Rate, item: RateLimitItem, subject: str, *, allowed: bool) -> Verdict:
        stats = await self._strategy.get_window_stats(item, subject)
        reset = max(0.0, stats.reset_time - self._clock.monotonic())
        return Verdict(
            allowed=allowed,
            rate=rate,
            remaining=stats.remaining,
            reset=reset,
            retry_after=0.0 if allowed else reset,
        )

    @property
    def subjects(self) -> int:
        """How many subjects are kept."""
        return len(self._storage)


class DisabledLimiter:
    """No limits."""

    backend = "disabled"

    async def hit(self, rate: Rate, *, subject: str) -> Verdict:  # noqa: ARG002  (the port has it)
        return Verdict(allowed=True, rate=rate, remaining=rate.limit, reset=0.0, retry_after=0.0)

    async def peek(self, rate: Rate, *, subject: str) -> Verdict:
        return await self.hit(rate, subject=subject)
