"""What every run looks at; the soak looks at all there is."""

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


def soaked(*values: Any) -> Any:
    """A parameter that is left to the soak: what sets it apart is shown every day by another one, or another test."""
    return pytest.param(*values, marks=pytest.mark.soak)


def visited(stops: Iterable[Stop]) -> list[Any]:
    """The stops as parameters: those that differ little from others are left to the soak."""
    return [stop if stop in FIRST or stop.name in TELLING else soaked(stop) for stop in stops]
