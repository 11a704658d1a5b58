"""A search for an order in which every operation could have happened at one instant, after Wing and Gong."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Operation:
    """Something a client did: begun at `start`, answered at `end` (infinity when it never was), both monotonic."""

    name: str
    result: Any
    start: float
    end: float


#: The state after an operation on a state, or None when its result cannot have come from that state.
Step = Callable[[Hashable, Operation], Hashable | None]


def is_linearizable(history: Sequence[Operation], *, initial: Hashable, step: Step) -> bool:
    """Whether some order explains all results: one that keeps what was answered before something else began."""
    operations = sorted(history, key=lambda operation: operation.start)
    seen: set[tuple[frozenset[int], Hashable]] = set()
    todo: list[tuple[frozenset[int], Hashable]] = [(frozenset(range(len(operations))), initial)]
    while todo:
        left, state = todo.pop()
        if all(operations[i].end == float("inf") for i in left):
            return True  # what was never answered need not have happened
        if (left, state) in seen:
            continue
        seen.add((left, state))
        first_end = min(operations[i].end for i in left)
        for i in left:
            if operations[i].start > first_end:
                continue  # something ended before this one began
            after = step(state, operations[i])
            if after is not None:
                todo.append((left - {i}, after))
    return False
