"""Whether anybody was shown what was not to be seen any more: a checker of histories.

One hand changes the state of a thing, one change after the other; many look at it. A look is right when it fits the
state that was settled before it began, or one that was on its way while it lasted.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """Asked for at `start`, answered at `end`, both monotonic."""

    state: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Look:
    """Asked at `start`, answered at `end`; `way` is how one looked, `shown` what came of it."""

    way: str
    shown: bool
    start: float
    end: float


#: Whether a thing in this state is shown to those who look that way.
Shows = Callable[[str, str], bool]


def wrong_looks(changes: Sequence[Change], looks: Sequence[Look], *, shows: Shows) -> list[Look]:
    """Looks that no state explains. `changes` are in order, the first is the birth; earlier looks do not count."""
    ends = [change.end for change in changes]
    wrong = []
    for look in looks:
        # Changes answered before the look began; of those only the last can still matter.
        settled = bisect_left(ends, look.start)
        if not settled:
            continue
        possible = {changes[settled - 1].state}
        possible |= {change.state for change in changes[settled:] if change.start <= look.end}
        if all(shows(look.way, state) is not look.shown for state in possible):
            wrong.append(look)
    return wrong
