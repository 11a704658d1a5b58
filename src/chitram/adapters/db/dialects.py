"""The few places where SQLite and PostgreSQL need different words for the same thing."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ARRAY, BigInteger, ColumnElement, Table, any_, func, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import Integer


def insert_or_skip(table: Table, *, dialect: str) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that understands `on_conflict_do_...`; both dialects have it with the same parameters."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


def is_one_of(column: ColumnElement[int], numbers: Sequence[int], *, dialect: str) -> ColumnElement[bool]:
    """Whether `column` is among `numbers`, however many: they travel as one bound parameter."""
    if dialect == "postgresql":
        return column == any_(literal(list(numbers), ARRAY(BigInteger)))
    rows = func.json_each(json.dumps(list(numbers))).table_valued("value")
    return column.in_(select(rows.c.value))


class BitDistance(GenericFunction[int]):
    """In how many bits two signed 64-bit numbers differ."""

    name = "bit_distance"
    type = Integer()
    inherit_cache = True


@compiles(BitDistance, "sqlite")
def _bit_distance_on_sqlite(element: BitDistance, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - the compiler hands its own options through
    # SQLite has no exclusive or: a | b without a & b is the same, and cannot overflow. The bit of the sign goes apart,
    # because the function that engine.connect registers counts those of the absolute value.
    left, right = (compiler.process(clause, **options) for clause in element.clauses)
    low_bits = f"((({left} | {right}) - ({left} & {right})) & {2**63 - 1})"
    return f"(bit_count({low_bits}) + (({left} < 0) <> ({right} < 0)))"


@compiles(BitDistance, "postgresql")
def _bit_distance_on_postgresql(element: BitDistance, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - the compiler hands its own options through
    left, right = (compiler.process(clause, **options) for clause in element.clauses)
    return f"bit_count(CAST({left} # {right} AS BIT(64)))"
