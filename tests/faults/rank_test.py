"""Whether two samples can be told apart: the test of Mann and Whitney, by ranks, so that outliers count for little."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Separation:
    """`share`: how often a value of the first sample is the larger of a pair, 0.5 when they are alike.

    `p`: how often chance alone separates two samples of one kind at least as far.
    """

    share: float
    p: float


def separation(first: Sequence[float], second: Sequence[float]) -> Separation:
    """Compare two samples of at least 8 values each, for which the normal approximation is good. Ties are allowed."""
    ranks = _ranks([*first, *second])
    n, m = len(first), len(second)
    u = sum(ranks[:n]) - n * (n + 1) / 2
    ties = sum(number**3 - number for number in Counter([*first, *second]).values())
    total = n + m
    variance = n * m / 12 * (total + 1 - ties / (total * (total - 1)))
    if not variance:
        return Separation(0.5, 1.0)
    # Half a step towards the middle: U is a whole number, the normal distribution is not.
    z = max(0.0, abs(u - n * m / 2) - 0.5) / math.sqrt(variance)
    return Separation(u / (n * m), math.erfc(z / math.sqrt(2)))


def _ranks(values: Sequence[float]) -> list[float]:
    """The place of each value among all, from 1; equal ones share the mean of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        stop = start
        while stop < len(order) and values[order[stop]] == values[order[start]]:
            stop += 1
        for place in order[start:stop]:
            ranks[place] = (start + 1 + stop) / 2
        start = stop
    return ranks
