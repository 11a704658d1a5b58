"""Reading inline: when what was read may be out of date."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chitram.adapters.db.lookup import SqliteLookup
from chitram.adapters.db.reading import InlineReader
from chitram.adapters.db.sqlite import open_sqlite
from chitram.adapters.db.unit_of_work import SqlDatabase
from chitram.domain.errors import ServiceUnavailable
from tests.factories.databases import copy_migrated
from tests.factories.rows import add_blob, add_image, add_user


@pytest.fixture
def url(tmp_path: Path) -> str:
    return copy_migrated(tmp_path / "chitram.db")


@pytest.fixture
async def database(url: str) -> AsyncIterator[SqlDatabase]:
    opened = await open_sqlite(url=url)
    yield opened
    await opened.aclose()


@pytest.fixture
def reader(url: str) -> Iterator[InlineReader]:
    with closing(InlineReader(url=url)) as opened:
        yield opened


async def test_the_version_changes_with_every_commit_of_anybody(database, reader):
    seen = [reader.version()]
    for number in range(3):
        async with database.begin() as work:
            await add_user(work, number)
        seen.append(reader.version())
    assert len(set(seen)) == 4
    await asyncio.sleep(0)
    assert reader.version() == seen[-1]


async def test_it_is_looked_up_once_for_what_waits_at_this_moment(reader, tmp_path):
    before = reader.version()
    with closing(sqlite3.connect(tmp_path / "chitram.db")) as other:
        other.execute("INSERT INTO leases VALUES ('l', 'h', '2026-01-01 00:00:00.000000')")
        other.commit()
        assert reader.version() is before
        await asyncio.sleep(0)
        assert reader.version() != before


def test_without_an_event_loop_it_is_looked_up_each_time(reader):
    assert reader.version() == reader.version()
    assert reader.version() is not reader.version()


async def test_another_connection_is_another_version(database, reader, tmp_path):
    before = reader.version()
    await database.aclose()
    path = tmp_path / "chitram.db"
    content = path.read_bytes()
    path.write_bytes(content[:4096])
    with pytest.raises(ServiceUnavailable):
        reader.row("SELECT 1 FROM images", ())
    path.write_bytes(content)
    assert reader.version()[0] == before[0] + 1


async def test_records_that_are_kept_do_not_pile_up(database, url):
    async with database.begin() as work:
        blob = await add_blob(work)
        images = [await add_image(work, number, blob_id=blob.id) for number in range(1025)]
    with closing(SqliteLookup(url=url)) as lookup:
        first = await lookup.find(images[0].id)
        assert await lookup.find(images[0].id) is first
        for image in images[1:]:
            await lookup.find(image.id)
        assert await lookup.find(images[0].id) is not first
        assert await lookup.find(images[0].id) == first
        assert lookup.version() == lookup.version()
