"""Time and randomness: the real ones, and a clock that stands still until it is told."""

import secrets
import time
from datetime import UTC, datetime, timedelta

from chitram.domain.images import ID_ALPHABET, ID_LENGTH

_RANDOM = secrets.SystemRandom()


class SystemClock:
    """The clock of the machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that moves when it is moved. `start` must carry a time zone."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start.astimezone(UTC)
        self._monotonic = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, by: timedelta) -> None:
        """Let time pass; ValueError for a negative `by`."""
        if by < timedelta(0):
            raise ValueError("time does not run backwards; see jump()")
        self._now += by
        self._monotonic += by.total_seconds()

    def jump(self, by: timedelta) -> None:
        """Set the time of day forwards or backwards, as an operator or a time server does; no time passes."""
        self._now += by


class SystemIdentifiers:
    """Names from the operating system's source of randomness."""

    def image_id(self) -> str:
        number = secrets.randbelow(len(ID_ALPHABET) ** ID_LENGTH)
        digits = []
        for _ in range(ID_LENGTH):
            number, digit = divmod(number, len(ID_ALPHABET))
            digits.append(ID_ALPHABET[digit])
        return "".join(digits)

    def generation(self) -> str:
        return secrets.token_hex(6)

    def opaque_id(self) -> str:
        return self.image_id()

    def session_id(self) -> str:
        return secrets.token_urlsafe(18)

    def secret(self) -> str:
        return secrets.token_urlsafe(32)

    def jitter(self) -> float:
        return _RANDOM.random()
