"""Figures as people read them."""

import os
import platform
import statistics
from collections.abc import Sequence


def machine() -> str:
    """One line about where the figures come from."""
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {system}, load {os.getloadavg()[0]:.1f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns in line, the first to the left, the others to the right."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def spread(values: Sequence[float]) -> str:
    """The median and, of more than one, the smallest and the largest."""
    middle = statistics.median(values)
    return f"{middle:,.4g}" if len(values) == 1 else f"{middle:,.4g} ({min(values):,.4g} to {max(values):,.4g})"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of each round: what else the machine did then was much the same for both."""
    return statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True) if other)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of `values` do not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


def verdict(value: float, *, at_least: float | None = None, at_most: float | None = None) -> str:
    """A figure and whether it reached its target, one of the two."""
    if at_most is not None:
        return f"{value:.2f} (target <= {at_most:g}: {'met' if value <= at_most else 'missed'})"
    assert at_least is not None
    return f"{value:.2f} (target >= {at_least:g}: {'met' if value >= at_least else 'missed'})"
