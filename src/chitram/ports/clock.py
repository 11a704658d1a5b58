"""Time and randomness, read at the edge."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """The time of day, in UTC, with its time zone."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never jumps."""
        ...


class Identifiers(Protocol):
    """Makes unguessable names."""

    def image_id(self) -> str:
        """11 base62 characters: 65 random bits."""
        ...

    def generation(self) -> str:
        """12 hex digits that tell apart two objects of the same bytes."""
        ...

    def opaque_id(self) -> str:
        """11 base62 characters, as an image's id: 65 random bits."""
        ...

    def session_id(self) -> str:
        """24 URL-safe characters: 144 random bits."""
        ...

    def secret(self) -> str:
        """43 URL-safe characters: 256 random bits."""
        ...

    def jitter(self) -> float:
        """A random number in [0, 1)."""
        ...
