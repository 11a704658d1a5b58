"""Transactions under failures and cancellations: all of one or nothing, and a connection that is good afterwards."""

import contextlib
import traceback
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from chitram.adapters.db.unit_of_work import SqlDatabase
from chitram.domain.errors import ServiceUnavailable, StorageFull
from tests.factories.databases import open_migrated
from tests.factories.rows import add_blob, add_image, add_user

PERSON = "somebody@example.org"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chitram.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[SqlDatabase]:
    async with open_migrated(path, connection_wait=0.3, busy_timeout=0.1) as opened:
        yield opened


async def count_blobs(database: SqlDatabase) -> int:
    async with database.read() as view:
        return (await view.blobs.counts()).live


class TestFailure:
    async def test_a_full_disk_is_storage_full_and_passes(self, database):
        async with database.begin() as work:
            pages = await work.blobs._statements.first(text("PRAGMA page_count"))
            await work.blobs._statements.first(text(f"PRAGMA max_page_count = {pages[0]}"))
        with pytest.raises(StorageFull):  # noqa: PT012 - the block as a whole fails, at its end
            async with database.begin() as work:
                for number in range(1000):
                    await add_blob(work, number)
        assert await count_blobs(database) == 0
        async with database.begin() as work:
            await work.blobs._statements.first(text("PRAGMA max_page_count = 100000"))
            await add_blob(work)
        assert await count_blobs(database) == 1

    async def test_what_was_bound_to_a_statement_is_in_no_error(self, database):
        """Errors are logged with what they come from, and e-mails and hashes are none of a log's business."""
        async with database.begin() as work:
            pages = await work.users._statements.first(text("PRAGMA page_count"))
            await work.users._statements.first(text(f"PRAGMA max_page_count = {pages[0]}"))
        with pytest.raises(StorageFull) as caught:  # noqa: PT012 - the block as a whole fails, at its end
            async with database.begin() as work:
                for number in range(1000):
                    await add_user(work, number, email_key=PERSON + str(number))
        told = "".join(traceback.format_exception(caught.value))
        assert "INSERT INTO users" in told
        assert PERSON not in told
        assert "$2b$" not in told

    async def test_a_transaction_in_which_the_database_failed_cannot_be_kept(self, database):
        async with database.begin() as work:
            pages = await work.blobs._statements.first(text("PRAGMA page_count"))
            await work.blobs._statements.first(text(f"PRAGMA max_page_count = {pages[0]}"))
        with pytest.raises(StorageFull):  # noqa: PT012 - the block as a whole fails, at its end
            async with database.begin() as work:
                with contextlib.suppress(StorageFull):
                    for number in range(1000):
                        await add_blob(work, number)
                # SQLite has undone everything by itself: what comes now would stand alone.
                with pytest.raises(StorageFull):
                    await add_blob(work, "one more")
        assert await count_blobs(database) == 0

    async def test_a_failed_commit_is_a_failed_transaction(self, database, path):
        seen = []

        async def effect() -> None:
            seen.append("ran")

        with pytest.raises(IntegrityError):  # noqa: PT012 - the block as a whole fails, at its end
            async with database.begin() as work:
                # The row is missing until the commit, which is the only moment that can refuse it.
                await work.blobs._statements.change(text("PRAGMA defer_foreign_keys = ON"))
                work.after_commit(effect)
                await add_blob(work)
                await add_image(work, 1, blob_id=404)
        assert seen == []
        assert await count_blobs(database) == 0
        async with database.begin() as work:
            await add_blob(work)

    @pytest.mark.parametrize("pool", ["_writer", "_readers"])
    async def test_a_broken_connection_is_replaced(self, database, pool):
        for thread in getattr(database._connections, pool)._threads:
            if thread._driver_connection is not None:
                thread._driver_connection.close()
        with pytest.raises(ServiceUnavailable):  # noqa: PT012 - the block as a whole fails, at its end
            if pool == "_writer":
                async with database.begin() as work:
                    await add_blob(work)
            else:
                await count_blobs(database)
        async with database.begin() as work:
            await add_blob(work)
        assert await count_blobs(database) == 1

    async def test_a_connection_that_breaks_within_a_transaction_is_replaced_after_it(self, database):
        with pytest.raises(ServiceUnavailable):  # noqa: PT012 - the block as a whole fails, at its end
            async with database.begin() as work:
                await add_blob(work)
                database._connections._writer._threads[0]._driver_connection.close()
                with pytest.raises(ServiceUnavailable):
                    await add_blob(work, "lost")
                # A fresh connection must not take up where the broken one left off.
                with pytest.raises(ServiceUnavailable):
                    await add_blob(work, "alone")
        assert await count_blobs(database) == 0
        async with database.begin() as work:
            await add_blob(work)
