"""How far a long command has come, for whoever watches."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer


@contextmanager
def progress_bar(label: str, *, length: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, moved on by the function; where nobody watches, one line when it begins."""
    with typer.progressbar(length=length, label=label, file=sys.stderr) as bar:
        yield bar.update
