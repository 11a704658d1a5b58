"""Whole tables, row by row, for copies of a database: in values that every database and every file can hold."""

from collections.abc import Mapping, Sequence
from typing import Protocol

#: Column → text, number, truth or nothing, or what JSON makes of these.
Row = Mapping[str, object]


class RowRepository(Protocol):
    async def tables(self) -> Sequence[str]:
        """Every table that a copy has to have, those first that others refer to; an older schema has fewer."""
        ...

    async def count(self, table: str) -> int: ...

    async def page(self, table: str, *, after: Row | None, limit: int) -> Sequence[Row]:
        """The next rows in the order of the primary key, which is the same in every database."""
        ...

    async def last(self, table: str) -> Row | None:
        """The last row in that order."""
        ...

    async def add(self, table: str, rows: Sequence[Row]) -> None:
        """Insert `rows` (not none), all with the same columns. ValueError when the table does not have these."""
        ...

    async def clear(self) -> None:
        """Remove every row of every one of these tables."""
        ...

    async def settle(self, *, identity: str) -> None:
        """After the last `add`: numbers that the database gives go on behind the rows, and it is `identity` now."""
        ...
