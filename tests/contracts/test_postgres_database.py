"""What is PostgreSQL's own: connections that die, wait or are given up, transactions in each other's way."""

import asyncio
import contextlib
import random
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from chitram.adapters.db.patience import Patience, PoolSize
from chitram.adapters.db.postgresql.database import open_postgresql
from chitram.adapters.db.postgresql.reading import DirectReader
from chitram.adapters.db.unit_of_work import SqlDatabase
from chitram.domain.errors import InvalidRequest, ServiceUnavailable
from chitram.ports.patience import background, in_background
from tests.factories.databases import UNHURRIED, opened
from tests.factories.rows import NOW, add_blob, add_image, add_user, new_blob, new_image, user_id_of
from tests.services.postgres import Shelf

pytestmark = pytest.mark.slow

PERSON = "somebody@example.org"
HASTY = Patience(wait=5, connect=5, statement=0.3, lock=0.2, idle=0.5)


class Own:
    """A database of this test, and what its server says of it."""

    def __init__(self, shelf: Shelf) -> None:
        self.server = shelf.server
        self.name = shelf.take()
        self.url = self.server.url(self.name)

    def open(self, **options: object) -> contextlib.AbstractAsyncContextManager[SqlDatabase]:
        return opened(open_postgresql(url=self.url, **options))  # type: ignore[arg-type]

    def terminate(self) -> None:
        """End every connection from the other side."""
        self.server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self.name}'")

    async def until(self, is_so: Callable[[list[tuple[str, str]]], bool]) -> None:
        """Wait until what the server says of its connections is so."""
        async with asyncio.timeout(20):
            while not is_so(self.server.connections(database=self.name)):
                await asyncio.sleep(0.05)


@pytest.fixture
def own(shelf: Shelf) -> Iterator[Own]:
    made = Own(shelf)
    yield made
    shelf.give_back(made.name)


@pytest.fixture
async def database(own: Own) -> AsyncIterator[SqlDatabase]:
    async with own.open(patience=UNHURRIED) as made:
        yield made


async def count_blobs(database: SqlDatabase) -> int:
    async with database.read() as view:
        return (await view.blobs.counts()).live


async def sleep(database: SqlDatabase, seconds: float) -> None:
    async with database.begin() as work:
        await work.blobs._statements.first(text(f"SELECT pg_sleep({seconds})"))


class TestConnections:
    async def test_dead_ones_are_replaced_before_anybody_gets_them(self, own, database):
        async with database.begin() as work, database.begin() as other:
            await add_blob(work)
            await add_blob(other, "other")
        await count_blobs(database)
        own.terminate()
        await asyncio.sleep(0.1)
        for _ in range(3):
            assert await count_blobs(database) == 2
            async with database.begin() as work:
                assert (await work.blobs.counts()).live == 2

    async def test_one_that_dies_in_a_transaction_takes_it_along(self, own, database):
        with pytest.raises(ServiceUnavailable) as caught:  # noqa: PT012 - the block as a whole fails, at its end
            async with database.begin() as work:
                await add_blob(work)
                own.terminate()
                await add_blob(work, "other")
        assert caught.value.retry_after == 1
        assert await count_blobs(database) == 0

    async def test_whoever_finds_none_is_turned_away(self, own):
        async with own.open(patience=Patience(wait=0.2), size=PoolSize(kept=1, beyond=1)) as database:
            async with database.begin(), database.begin():
                with pytest.raises(ServiceUnavailable) as caught:
                    async with database.begin():
                        raise AssertionError
                assert caught.value.retry_after == 1
                assert await count_blobs(database) == 0
            async with database.begin() as work:
                await add_blob(work)

    async def test_they_have_names_and_there_are_no_more_than_may_be(self, own):
        async with own.open(patience=UNHURRIED, size=PoolSize(kept=1, beyond=2)) as database:
            await asyncio.gather(*(sleep(database, 0.2) for _ in range(9)))
            await own.until(lambda found: [name for name, _ in found] == ["chitram", "chitram reads"])

    async def test_closing_leaves_none_though_one_is_in_use(self, own):
        async with own.open(patience=UNHURRIED) as database:
            using = asyncio.create_task(sleep(database, 60))
            await own.until(lambda found: ("chitram", "active") in found)
            using.cancel()
            await asyncio.wait([using])
        await own.until(lambda found: not found)


class TestLookups:
    @pytest.fixture
    async def reader(self, own: Own) -> AsyncIterator[DirectReader]:
        made = DirectReader(url=own.url, patience=HASTY, size=PoolSize(kept=1, beyond=1))
        yield made
        await made.aclose()

    async def test_connections_that_are_gone_are_replaced(self, own, reader):
        for _ in range(3):
            assert list(await reader.row("SELECT $1::text", "a")) == ["a"]
            own.terminate()
            await asyncio.sleep(0.05)
        await own.until(lambda found: not found)

    async def test_one_that_does_not_answer_is_given_up_and_the_next_does(self, own, reader):
        with pytest.raises(ServiceUnavailable) as caught:
            await reader.row("SELECT $1::text, pg_sleep(60)", "a")
        assert caught.value.retry_after == 1
        assert list(await reader.row("SELECT $1::text", "b")) == ["b"]
        await own.until(lambda found: [state for _, state in found] == ["idle"])

    async def test_answers_are_not_mixed_when_callers_go_away(self, own, reader):
        async def ask(number: int) -> None:
            row = await reader.row("SELECT $1::text, pg_sleep(0.002)", str(number))
            assert row[0] == str(number)

        for wait in (0.0, 0.001, 0.003, 0.01):
            tasks = [asyncio.create_task(ask(number)) for number in range(12)]
            await asyncio.sleep(wait)
            for task in tasks[::2]:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(outcome is None or isinstance(outcome, asyncio.CancelledError) for outcome in outcomes), outcomes
        await own.until(lambda found: len(found) <= 1)

    async def test_there_are_no_more_than_may_be(self, own, reader):
        sleeping = [asyncio.create_task(reader.row("SELECT $1::text, pg_sleep(0.2)", "a")) for _ in range(6)]
        await own.until(lambda found: len(found) == 2)
        await asyncio.gather(*sleeping)
        await own.until(lambda found: len(found) == 1)


class TestPatience:
    async def test_a_statement_has_its_time(self, own):
        async with own.open(patience=HASTY) as database:
            with pytest.raises(ServiceUnavailable) as caught:
                await sleep(database, 60)
            assert caught.value.retry_after == 1
            assert await count_blobs(database) == 0
            await own.until(lambda found: all(state == "idle" for _, state in found))

    async def test_the_server_knows_how_long_each_may_take(self, own):
        names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        async with own.open(patience=HASTY) as database:
            for attempt in (database.begin, database.read):
                async with attempt() as work:
                    rows = [
                        await work.blobs._statements.first(text(f"SELECT current_setting('{name}')")) for name in names
                    ]
                    assert [row[0] for row in rows] == ["300ms", "200ms", "500ms"]

    async def test_a_lock_has_its_time(self, own, database):
        async with own.open(patience=replace(UNHURRIED, statement=60, lock=0.2)) as hasty, database.begin() as work:
            blob = await add_blob(work)
            with pytest.raises(ServiceUnavailable):
                async with asyncio.timeout(30), hasty.begin() as other:
                    await add_blob(other)
            assert await work.blobs.get(blob.id) == blob
        assert await count_blobs(database) == 1

    async def test_a_transaction_that_does_nothing_has_its_time(self, own):
        async with own.open(patience=HASTY) as database:
            with pytest.raises(ServiceUnavailable):  # noqa: PT012 - the block as a whole fails, at its end
                async with database.begin() as work:
                    await add_blob(work)
                    await own.until(lambda found: all(state != "idle in transaction" for _, state in found))
                    await add_blob(work, "other")
            assert await count_blobs(database) == 0

    async def test_work_that_nobody_waits_for_has_more_and_connections_of_its_own(self, own):
        async with own.open(patience=HASTY, size=PoolSize(kept=1, beyond=0)) as database:
            with background():
                asyncio_task = asyncio.create_task(sleep(database, 1))
                await own.until(lambda found: ("chitram background", "active") in found)
            assert not in_background()
            # The one connection of requests is not in its way, nor it in theirs.
            async with database.begin() as work:
                await add_blob(work)
            await asyncio_task
            with pytest.raises(ServiceUnavailable):
                await sleep(database, 1)


class TestFailure:
    async def test_a_swallowed_failure_is_not_committed_as_if_nothing_were(self, database):
        with pytest.raises(IntegrityError):  # noqa: PT012 - the block as a whole fails, at its end
            async with database.begin() as work:
                await add_blob(work)
                with contextlib.suppress(IntegrityError):
                    await work.images.add(new_image(1, blob_id=404))
        assert await count_blobs(database) == 0

    async def test_a_commit_that_fails_is_a_failed_transaction(self, own, database):
        own.server.execute(
            "ALTER TABLE images ALTER CONSTRAINT fk_images_owner_id_users DEFERRABLE INITIALLY DEFERRED",
            database=own.name,
        )
        try:
            with pytest.raises(IntegrityError):  # noqa: PT012 - the block as a whole fails, at its end
                async with database.begin() as work:
                    blob = await add_blob(work)
                    await add_image(work, 1, blob_id=blob.id, owner_id="x" * 11)
            assert await count_blobs(database) == 0
        finally:
            own.server.execute(
                "ALTER TABLE images ALTER CONSTRAINT fk_images_owner_id_users NOT DEFERRABLE", database=own.name
            )

    async def test_what_was_bound_to_a_statement_is_in_no_error(self, database):
        async with database.begin() as work:
            await add_user(work, 1, email_key=PERSON)
        wrong_kind = {"email_key": PERSON.encode()}
        for changes in ({"id": user_id_of(1)}, {"used_bytes": -1}, {"used_bytes": 2**80}, wrong_kind):
            with pytest.raises(Exception, match="INSERT INTO users") as caught:
                async with database.begin() as work:
                    await add_user(work, 2, **{"email_key": PERSON + "2", **changes})
            told = "".join(traceback.format_exception(caught.value))
            assert PERSON not in told, changes
            assert "$2b$" not in told, changes
            assert user_id_of(1) not in told, changes

    async def test_text_that_cannot_be_stored_is_the_requests_fault(self, database):
        with pytest.raises(InvalidRequest):  # noqa: PT012 - the block as a whole fails, at its end
            async with database.begin() as work:
                blob = await add_blob(work)
                await add_image(work, 1, blob_id=blob.id, filename="a\0b.png")
        with pytest.raises(InvalidRequest):
            async with database.read() as view:
                await view.images.get("\0")

    async def test_a_url_of_another_kind_is_not_shown(self):
        for url in (
            "mysql://u:hidden@h/d",
            "postgresql:hidden",
            "postgresql://u:hidden@h",
            "postgresql://u:hidden@[h/d",
        ):
            with pytest.raises(ValueError, match="DATABASE_URL") as caught:
                await open_postgresql(url=url)
            assert "hidden" not in str(caught.value)

    async def test_a_password_with_signs_that_end_it_is_not_shown(self):
        for url in ("postgresql://u:hid/den@127.0.0.1:1/d", "postgresql://u:hid?den@127.0.0.1:1/d"):
            with pytest.raises((ServiceUnavailable, ValueError)) as caught:
                await open_postgresql(url=url)
            shown = f"{caught.value} {getattr(caught.value, 'reason', '')}"
            assert "hid" not in shown


class TestRaces:
    async def test_of_two_that_stand_in_each_others_way_one_goes_on(self, own, database):
        async with own.open(patience=UNHURRIED) as other:
            async with database.begin() as work:
                ids = [(await add_blob(work, number)).id for number in range(2)]

            async def lock(database: SqlDatabase, order: list[int]) -> None:
                async with database.begin() as work:
                    for blob_id in order:
                        await work.blobs.lock(blob_id)
                        await asyncio.sleep(0.3)

            outcomes = await asyncio.gather(lock(database, ids), lock(other, ids[::-1]), return_exceptions=True)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", "ServiceUnavailable"]

    async def test_many_blobs_are_locked_in_one_order(self, own, database):
        async with own.open(patience=UNHURRIED) as other:
            async with database.begin() as work:
                ids = [(await add_blob(work, number)).id for number in range(60)]

            async def condemn(database: SqlDatabase, order: list[int]) -> int:
                async with database.begin() as work:
                    return await work.blobs.condemn_unnamed(order, at=NOW)

            generator = random.Random(5)
            orders = [generator.sample(ids, len(ids)) for _ in range(12)]
            condemned = await asyncio.gather(
                *(condemn((database, other)[number % 2], order) for number, order in enumerate(orders))
            )
        assert sum(condemned) == len(ids)

    async def test_the_same_bytes_at_once_are_recorded_once_and_both_find_them(self, own, database):
        async with own.open(patience=UNHURRIED) as other:

            async def record(database: SqlDatabase, generation: str) -> tuple[bool, int]:
                blob = new_blob(generation=generation)
                async with database.begin() as work:
                    assert await work.blobs.take(blob.sha256) is None
                    await asyncio.sleep(0.1)
                    made = await work.blobs.add(blob, pipeline_version=1)
                    found = await work.blobs.take(blob.sha256)
                    return made is not None, found.id

            outcomes = await asyncio.gather(record(database, "0" * 12), record(other, "1" * 12))
        assert sorted(made for made, _ in outcomes) == [False, True]
        assert len({blob_id for _, blob_id in outcomes}) == 1

    async def test_a_storm_of_cancellations_mixes_no_answers_and_leaks_nothing(self, own, database):
        generator = random.Random(7)

        async def ask(number: int) -> None:
            async with database.read() as view:
                for _ in range(3):
                    row = await view.blobs._statements.first(text(f"SELECT {number}, pg_sleep(0.002)"))
                    assert row[0] == number

        for _ in range(6):
            tasks = [asyncio.create_task(ask(number)) for number in range(30)]
            await asyncio.sleep(generator.random() * 0.05)
            for task in generator.sample(tasks, 20):
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                assert outcome is None or isinstance(outcome, asyncio.CancelledError | ServiceUnavailable), outcome
        await ask(404)
        await own.until(lambda found: len(found) <= 10 and all(state == "idle" for _, state in found))

    async def test_what_was_cancelled_holds_no_lock_any_more(self, own, database):
        async with database.begin() as work:
            blob = await add_blob(work)

        async def hold() -> None:
            async with database.begin() as work:
                await work.blobs.lock(blob.id)
                await work.blobs._statements.first(text("SELECT pg_sleep(60)"))

        holding = asyncio.create_task(hold())
        await own.until(lambda found: ("chitram", "active") in found)
        holding.cancel()
        await asyncio.wait([holding])
        started = time.monotonic()
        async with database.begin() as work:
            await work.blobs.lock(blob.id)
        assert time.monotonic() - started < UNHURRIED.lock, "only PostgreSQL's own time-out has ended it"
