"""What is SQLite's own in the hot look-up of credentials: the file, which may be gone."""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chitram.adapters.db.credentials import SqliteCredentialLookup
from chitram.adapters.db.sqlite import open_sqlite
from chitram.adapters.db.unit_of_work import SqlDatabase
from chitram.domain.errors import ServiceUnavailable
from tests.factories.databases import copy_migrated, database_url
from tests.factories.rows import NOW, add_session, add_user


@pytest.fixture
def path(tmp_path: Path) -> Path:
    copy_migrated(tmp_path / "chitram.db")
    return tmp_path / "chitram.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[SqlDatabase]:
    opened = await open_sqlite(url=database_url(path))
    yield opened
    await opened.aclose()


@pytest.fixture
def lookup(path: Path) -> Iterator[SqliteCredentialLookup]:
    with closing(SqliteCredentialLookup(url=database_url(path))) as opened:
        yield opened


async def test_it_holds_no_snapshot_that_would_keep_the_log_from_being_emptied(database, lookup, path):
    async with database.begin() as work:
        await add_user(work, 1)
        session = await add_session(work, 1, created_at=NOW)
    await lookup.session(session.id)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)


@pytest.mark.parametrize("name", ["session", "api_token"])
class TestFailures:
    async def test_no_file(self, tmp_path, name):
        with closing(SqliteCredentialLookup(url=database_url(tmp_path / "none.db"))) as lookup:  # noqa: SIM117 - the second one is what is tested
            with pytest.raises(ServiceUnavailable) as caught:
                await getattr(lookup, name)("x")
        assert caught.value.retry_after == 1

    async def test_it_comes_back_by_itself(self, path, lookup, name):
        content = path.read_bytes()
        path.write_bytes(b"no database" * 1000)
        with pytest.raises(ServiceUnavailable):
            await getattr(lookup, name)("x")
        path.write_bytes(content)
        assert await getattr(lookup, name)("x") is None

    async def test_closed_is_closed(self, lookup, name):
        await getattr(lookup, name)("x")
        lookup.close()
        lookup.close()
        with pytest.raises(ServiceUnavailable):
            await getattr(lookup, name)("x")

    async def test_other_databases_are_refused(self, name):
        with pytest.raises(ValueError, match="DATABASE_URL"):
            SqliteCredentialLookup(url=f"postgresql://db/{name}")
