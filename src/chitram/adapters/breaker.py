"""A circuit breaker: what does not answer is left alone for a while instead of being waited for at every request."""

from collections.abc import Callable
from enum import StrEnum

from chitram.ports.clock import Clock


class BreakerState(StrEnum):
    """CLOSED: everything is tried. OPEN: nothing is. HALF_OPEN: one trial is under way, whose outcome decides."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Opens after `failures` in a row, and lets one trial through every `pause` seconds while it is open.

    Who is admitted reports once: `succeeded`, `failed`, or `abandoned` when the call ended and nobody can tell how the
    service does. Used by one event loop.
    """

    def __init__(
        self, *, failures: int, pause: float, clock: Clock, on_change: Callable[[BreakerState], None] = lambda _: None
    ) -> None:
        self._threshold = failures
        self._pause = pause
        self._clock = clock
        self._on_change = on_change
        self._state = BreakerState.CLOSED
        self._failures = 0
        self._opened_at = 0.0
        self._trial: object | None = None

    @property
    def state(self) -> BreakerState:
        return self._state

    def admit(self) -> object | None:
        """A pass to report with, or None: do without the service."""
        if self._state is BreakerState.CLOSED:
            return object()
        if self._state is BreakerState.HALF_OPEN or self._clock.monotonic() - self._opened_at < self._pause:
            return None
        self._trial = object()
        self._become(BreakerState.HALF_OPEN)
        return self._trial

    def succeeded(self, admitted: object) -> None:
        """The service answered as it should."""
        if self._state is BreakerState.CLOSED:
            self._failures = 0
        elif admitted is self._trial:
            self._trial, self._failures = None, 0
            self._become(BreakerState.CLOSED)

    def failed(self, admitted: object) -> None:
        """The service did not answer, or too late."""
        if self._state is BreakerState.CLOSED:
            self._failures += 1
            if self._failures >= self._threshold:
                self._open()
        elif admitted is self._trial:
            self._open()

    def abandoned(self, admitted: object) -> None:
        """Nobody waited for the outcome: the next one may be the trial."""
        if admitted is self._trial:
            self._trial = None
            self._become(BreakerState.OPEN)

    def _open(self) -> None:
        self._trial = None
        self._opened_at = self._clock.monotonic()
        self._become(BreakerState.OPEN)

    def _become(self, state: BreakerState) -> None:
        self._state = state
        self._on_change(state)
