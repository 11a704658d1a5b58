import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chitram.adapters.db.lookup import SqliteLookup
from chitram.adapters.db.sqlite import open_sqlite
from chitram.adapters.db.unit_of_work import SqlDatabase
from chitram.domain.errors import ServiceUnavailable
from tests.factories.databases import copy_migrated, database_url
from tests.factories.rows import add_blob, add_image


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
def lookup(path: Path) -> Iterator[SqliteLookup]:
    with closing(SqliteLookup(url=database_url(path))) as opened:
        yield opened


async def test_a_record_is_made_once_unless_it_is_big(database, lookup):
    async with database.begin() as work:
        blob = await add_blob(work)
        small = await add_image(work, 1, blob_id=blob.id, description="x" * 500)
        big = await add_image(work, 2, blob_id=blob.id, description="x" * 501)
    assert await lookup.find(small.id) is await lookup.find(small.id)
    assert await lookup.find(big.id) is not await lookup.find(big.id)
    assert await lookup.find(big.id) == await lookup.find(big.id)


async def test_it_holds_no_snapshot_that_would_keep_the_log_from_being_emptied(database, lookup, path):
    async with database.begin() as work:
        blob = await add_blob(work)
        image = await add_image(work, 1, blob_id=blob.id)
    await lookup.find(image.id)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)


async def test_no_file(tmp_path):
    with closing(SqliteLookup(url=database_url(tmp_path / "none.db"))) as lookup:  # noqa: SIM117 - the second one is what is tested
        with pytest.raises(ServiceUnavailable) as caught:
            await lookup.find("x" * 11)
    assert caught.value.retry_after == 1


async def test_it_comes_back_by_itself(path, lookup):
    content = path.read_bytes()
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(ServiceUnavailable):
        await lookup.find("x" * 11)
    path.write_bytes(content)
    assert await lookup.find("x" * 11) is None


async def test_a_connection_that_breaks_is_replaced(database, lookup, path, tmp_path):
    await lookup.find("x" * 11)
    await database.aclose()
    content = path.read_bytes()
    path.write_bytes(content[:4096])
    with pytest.raises(ServiceUnavailable):
        await lookup.find("x" * 11)
    path.write_bytes(content)
    assert await lookup.find("x" * 11) is None


async def test_our_own_mistakes_are_not_disguised(tmp_path):
    (tmp_path / "empty.db").touch()
    with closing(SqliteLookup(url=database_url(tmp_path / "empty.db"))) as lookup:  # noqa: SIM117 - the second one is what is tested
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            await lookup.find("x" * 11)


async def test_closed_is_closed(lookup):
    await lookup.find("x" * 11)
    lookup.close()
    lookup.close()
    with pytest.raises(ServiceUnavailable):
        await lookup.find("x" * 11)


def test_other_databases_are_refused():
    with pytest.raises(ValueError, match="DATABASE_URL"):
        SqliteLookup(url="postgresql://db/chitram")
