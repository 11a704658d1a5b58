"""What a migration needs of a database, whichever it is."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")


class MigrationError(RuntimeError):
    """The schema cannot be brought to where it should be; it is as it was."""


class Schema(Protocol):
    """Where the tables are. Every method raises ServiceUnavailable or StorageFull when the database cannot answer."""

    def exists(self) -> bool:
        """Whether there is anything to look at; a file that will be made by `change` need not be there."""
        ...

    def look(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction that changes nothing."""
        ...

    def change(self, work: Callable[[Connection], bool], *, create: bool = False) -> None:
        """Run `work`, which says whether it changed anything, in one transaction, while no other process does.

        `create`: the database too, where that is a file.
        """
        ...
