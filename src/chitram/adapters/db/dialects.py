"""The few places where SQLite and PostgreSQL need different words for the same thing."""

from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import Integer


def insert_or_skip(table: Table, *, dialect: str) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that understands `on_conflict_do_nothing`; both dialects have it with the same parameters."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


class BitDistance(GenericFunction[int]):
    """In how many bits two 64-bit numbers differ. SQLite calls the function that engine.connect registers."""

    name = "bit_distance"
    type = Integer()
    inherit_cache = True


@compiles(BitDistance, "postgresql")
def _bit_distance_on_postgresql(element: BitDistance, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - the compiler hands its own options through
    left, right = (compiler.process(clause, **options) for clause in element.clauses)
    return f"bit_count(CAST({left} # {right} AS BIT(64)))"
