"""Rate limits."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Rate:
    """`limit` requests in any `window` seconds. `name` keeps budgets apart."""

    name: str
    limit: int
    window: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer of a limiter. `reset` and `retry_after` in seconds; `retry_after` is 0 when allowed."""

    allowed: bool
    rate: Rate
    remaining: int
    reset: float
    retry_after: float


class Limiter(Protocol):
    @property
    def backend(self) -> str:
        """Where requests are counted at present, as `/health` names it."""
        ...

    async def hit(self, rate: Rate, *, subject: str) -> Verdict:
        """Count one request of `subject` against `rate`, unless it is over the limit already."""
        ...

    async def peek(self, rate: Rate, *, subject: str) -> Verdict:
        """What `hit` would say, without counting anything."""
        ...
