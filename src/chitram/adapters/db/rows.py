"""Whole tables, row by row, as copies of a database need them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import Enum as PythonEnum
from typing import Any

from sqlalchemy import Column, ColumnElement, Enum, String, Table, collate, delete, func, insert, select, text, tuple_

from chitram.adapters.db.column_types import ScopeSet, UtcDateTime, parse_scopes
from chitram.adapters.db.statements import Statements
from chitram.adapters.db.tables import identity as identity_table
from chitram.adapters.db.tables import leases, metadata
from chitram.ports.repositories.rows import Row

#: Of one moment and one database: who works on what just now, and the database's own name, which `settle` writes.
_NOT_COPIED = frozenset({leases.name, identity_table.name})
_TABLES = {table.name: table for table in metadata.sorted_tables if table.name not in _NOT_COPIED}

#: Dialect → what names the tables that there are.
_CATALOGUES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
    "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()",
}


class SqlRowRepository:
    """ports.repositories.rows.RowRepository on one transaction."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def tables(self) -> Sequence[str]:
        catalogue = _CATALOGUES[self._statements.dialect]
        there = {name for (name,) in await self._statements.rows(text(catalogue))}
        return tuple(name for name in _TABLES if name in there)

    async def count(self, table: str) -> int:
        row = await self._statements.first(select(func.count()).select_from(_TABLES[table]))
        return 0 if row is None else int(row[0])

    async def page(self, table: str, *, after: Row | None, limit: int) -> Sequence[Row]:
        asked = _TABLES[table]
        statement = select(asked).order_by(*self._order(asked)).limit(limit)
        if after is not None:
            place = tuple_(*(_native(column, after[column.name]) for column in asked.primary_key))
            statement = statement.where(tuple_(*self._order(asked)) > place)
        return [_plain_row(asked, row) for row in await self._statements.rows(statement)]

    async def last(self, table: str) -> Row | None:
        asked = _TABLES[table]
        backwards = [column.desc() for column in self._order(asked)]
        row = await self._statements.first(select(asked).order_by(*backwards).limit(1))
        return None if row is None else _plain_row(asked, row)

    async def add(self, table: str, rows: Sequence[Row]) -> None:
        asked = _TABLES[table]
        columns = {column.name: column for column in asked.columns}
        # Rows of an older schema lack columns that came later; the migrations then fill these.
        if any(row.keys() != rows[0].keys() or not row.keys() <= columns.keys() for row in rows):
            raise ValueError(f"these are not the columns of {table}")
        values = [{name: _native(columns[name], value) for name, value in row.items()} for row in rows]
        await self._statements.change_each(insert(asked), values)

    async def clear(self) -> None:
        for name in reversed(await self.tables()):
            await self._statements.change(delete(_TABLES[name]))

    async def settle(self, *, identity: str) -> None:
        if self._statements.dialect == "postgresql":
            for name in await self.tables():
                await self._count_on(_TABLES[name])
        await self._statements.change(delete(identity_table))
        await self._statements.change(insert(identity_table).values(id=identity))

    async def _count_on(self, table: Table) -> None:
        """PostgreSQL counts apart from the rows; SQLite looks at them."""
        column = table.autoincrement_column
        if column is None:
            return
        last = await self._statements.first(select(func.max(column)))
        if last is not None and last[0] is not None:
            sequence = text("SELECT setval(pg_get_serial_sequence(:table, :column), :last)")
            bound = sequence.bindparams(table=table.name, column=column.name, last=last[0])
            await self._statements.rows(bound)

    def _order(self, table: Table) -> list[ColumnElement[Any]]:
        """The primary key, texts by their bytes: PostgreSQL would ask the language of its machine."""
        postgresql = self._statements.dialect == "postgresql"
        return [
            collate(column, "C") if postgresql and isinstance(column.type, String) else column
            for column in table.primary_key
        ]


def _plain_row(table: Table, row: Any) -> Row:  # noqa: ANN401 - whatever the columns are
    return {column.name: _plain(value) for column, value in zip(table.columns, row, strict=True)}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, PythonEnum):
        return value.value
    if isinstance(value, frozenset):
        return ",".join(sorted(value))
    return value


def _native(column: Column[Any], value: Any) -> Any:  # noqa: ANN401 - whatever the column holds
    """What the column takes for a plain value; ValueError when it is none of its values."""
    if value is None:
        return None
    if isinstance(column.type, UtcDateTime):
        return datetime.fromisoformat(value)
    if isinstance(column.type, ScopeSet):
        return parse_scopes(value)
    if isinstance(column.type, Enum) and column.type.enum_class is not None:
        return column.type.enum_class(value)
    return value
