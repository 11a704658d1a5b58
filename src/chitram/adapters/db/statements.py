"""What repositories need of a transaction, and what a transaction is to who opens and ends it."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from sqlalchemy import Executable, Row

#: A row of any columns.
AnyRow: TypeAlias = Row[*tuple[Any, ...]]


class Statements(Protocol):
    """What repositories need of a transaction. Every method raises ServiceUnavailable or StorageFull."""

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        ...

    async def rows(self, statement: Executable) -> Sequence[AnyRow]: ...

    async def first(self, statement: Executable) -> AnyRow | None: ...

    async def change(self, statement: Executable) -> int:
        """Execute and tell how many rows were changed."""
        ...

    async def change_each(self, statement: Executable, values: Sequence[Mapping[str, object]]) -> None:
        """Execute once for each of the values (not none) of its bound parameters."""
        ...


class Transaction(Statements, Protocol):
    """The statements between a BEGIN and its end, on a connection that nobody else uses meanwhile.

    It is ended once, by one of these two, and lets go of the connection then, whatever happens.
    """

    async def commit(self) -> None:
        """Commit, or roll back and raise."""
        ...

    async def rollback(self) -> None:
        """Undo everything; never fails."""
        ...


class Connections(Protocol):
    """The connections to one database. Every method raises ServiceUnavailable when none is to be had in time."""

    async def begin(self) -> Transaction:
        """A transaction that may write."""
        ...

    async def view(self) -> Transaction:
        """A transaction that sees one moment of the database and cannot write."""
        ...

    async def check(self) -> None:
        """Raise ServiceUnavailable unless the database answers and takes changes."""
        ...

    async def aclose(self) -> None:
        """Wait for what is running, then close every connection. Closing again does nothing."""
        ...
