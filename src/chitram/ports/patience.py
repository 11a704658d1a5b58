"""How long work may wait: somebody sits in front of a request, nobody in front of a sweep, a job or a command.

Adapters that have time-outs look here instead of being told by every service, most of which do both kinds of work.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_in_background: ContextVar[bool] = ContextVar("in_background", default=False)


@contextmanager
def background() -> Iterator[None]:
    """What is done here, and in tasks that are started here, may take its time and must not be in anybody's way."""
    before = _in_background.get()
    _in_background.set(True)
    try:
        yield
    finally:
        # Not by a token: a generator may be left in another context than it was entered in.
        _in_background.set(before)


def in_background() -> bool:
    """Whether nobody waits for what is being done."""
    return _in_background.get()
