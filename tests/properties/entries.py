"""What the state machines upload, and what they know of what they have uploaded."""

from dataclasses import dataclass
from functools import cache

from chitram.domain.images import Visibility
from tests.factories import pictures


@cache
def content(number: int) -> bytes:
    """A few tiny pictures; the last one has metadata, so what is stored is not what was sent."""
    return pictures.jpeg(24, 16, seed=number, secrets=number == 3) if number != 2 else pictures.png(24, 16, seed=2)


@dataclass
class Entry:
    """What is known of an image that is there. `owner`: the name of somebody with an account; else there is a token."""

    sha256: str
    token: str | None = None
    owner: str | None = None
    visibility: Visibility = Visibility.UNLISTED
