"""Which stops of the tour every run visits; the soak visits all of them."""

from collections.abc import Iterable
from typing import Any

import pytest

from tests.browser.tour import STOPS, Stop

#: One stop of each page, for what does not depend on its state.
FIRST = tuple({stop.page: stop for stop in reversed(STOPS)}.values())
#: States that have parts which no other stop shows.
TELLING = {
    "empty gallery", "menu", "own picture", "picture refused", "zoom", "toast", "wrong token", "uploads",
    "bad password", "pictures ticked", "new token", "too often", "broken",
}  # fmt: skip


def visited(stops: Iterable[Stop]) -> list[Any]:
    """The stops as parameters: those that differ little from others are left to the soak."""
    return [
        stop if stop in FIRST or stop.name in TELLING else pytest.param(stop, marks=pytest.mark.soak) for stop in stops
    ]
