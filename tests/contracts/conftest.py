"""Every contract about rows holds on both databases."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from chitram.adapters.db.unit_of_work import SqlDatabase
from tests.factories.databases import Databases, PostgresDatabases, SqliteDatabases

KINDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)]


@pytest.fixture(params=KINDS)
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Databases]:
    """Where new databases come from, once for each kind."""
    if request.param == "sqlite":
        yield SqliteDatabases(tmp_path)
        return
    made = PostgresDatabases(request.getfixturevalue("shelf"))
    yield made
    made.give_back()


@pytest.fixture
async def database(databases: Databases) -> AsyncIterator[SqlDatabase]:
    """An empty migrated database of each kind."""
    async with databases.open() as opened:
        yield opened
