"""Every row into another database, the old one untouched."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence

from chitram.ports.repositories.rows import Row
from chitram.ports.unit_of_work import Database

#: Rows that are in memory at a time.
PAGE = 500

#: Hears how many rows or objects have arrived since it was told last.
Progress = Callable[[int], None]


class NotEmptyError(RuntimeError):
    """The target holds something that does not come from the source."""


class RowMover:
    """Copies every row. The target has the same schema, and nothing but what an earlier, interrupted copy left."""

    def __init__(self, *, source: Database, target: Database) -> None:
        self._source = source
        self._target = target

    async def total(self) -> int:
        """How many rows there are to copy."""
        async with self._source.read() as view:
            return sum([await view.rows.count(table) for table in await view.rows.tables()])

    async def copy(self, *, progress: Progress) -> Mapping[str, int]:
        """Table → rows. NotEmptyError when the target holds something else; `progress` hears of each row at the target.

        The target gets the source's identity last: until then no server takes it for the owner of the store.
        """
        async with self._source.read() as view:
            tables = await view.rows.tables()
        copied = {table: await self._copy_table(table, progress=progress) for table in tables}
        async with self._target.begin() as work:
            await work.rows.settle(identity=await self._source.identity())
        return copied

    async def differences(self) -> list[str]:
        """Tables whose rows are not the same on both sides, by number or by hash; empty when all is well."""
        async with self._source.read() as view:
            tables = await view.rows.tables()
        return [table for table in tables if await digest(self._source, table) != await digest(self._target, table)]

    async def _copy_table(self, table: str, *, progress: Progress) -> int:
        async with self._target.read() as view:
            last, done = await view.rows.last(table), await view.rows.count(table)
        if done:
            await self._require_same_beginning(table)
            progress(done)
        while rows := await page_of(self._source, table, after=last):
            async with self._target.begin() as work:
                await work.rows.add(table, rows)
            progress(len(rows))
            done, last = done + len(rows), rows[-1]
        return done

    async def _require_same_beginning(self, table: str) -> None:
        theirs = await page_of(self._target, table, after=None)
        ours = await page_of(self._source, table, after=None)
        if [*theirs] != [*ours[: len(theirs)]]:
            raise NotEmptyError(f"The target has rows in {table} that do not come from the source.")


async def digest(database: Database, table: str) -> tuple[int, str]:
    """How many rows a table has, and a hash of all of them in order."""
    seen, number = hashlib.sha256(), 0
    last: Row | None = None
    while rows := await page_of(database, table, after=last):
        for row in rows:
            seen.update(json.dumps(row, sort_keys=True).encode() + b"\n")
        number, last = number + len(rows), rows[-1]
    return number, seen.hexdigest()


async def page_of(database: Database, table: str, *, after: Row | None) -> Sequence[Row]:
    """The next rows of a table; none at its end."""
    async with database.read() as view:
        return await view.rows.page(table, after=after, limit=PAGE)
