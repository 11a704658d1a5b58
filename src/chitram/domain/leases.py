"""For how long a cache in front of us may hand on what we answered, so that no deleted image is ever seen again.

A lease ends with a second of the wall clock, at the latest `seconds` after the moment *before* we looked the image up.
Whoever changes an image and then waits until every lease of that moment is over knows that nobody has it any more: not
the caches that nobody could tell, and not the answer that was under way meanwhile and reached its cache late.
"""

import math

#: Longest lease; every change of an image waits this long. After-commit effects have 5 seconds in all.
MAX_LEASE_SECONDS = 3
#: How far the clocks of the machines may be apart, and how late a busy cache may look at its own, in seconds.
CLOCK_TOLERANCE = 0.1


def lease_until(moment: float, *, seconds: int) -> int:
    """The last second, in Unix time, in which an answer may be handed on that was decided at `moment`."""
    return math.floor(moment) + seconds - 1


def leases_over(moment: float, *, seconds: int) -> float:
    """When every lease is over that was given until `moment`, in Unix time."""
    return math.floor(moment) + seconds + CLOCK_TOLERANCE
