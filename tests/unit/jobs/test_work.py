"""What workers do: leases that hold while a job runs, sweeps in their turn, calls for what nobody was called for."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from chitram.adapters.jobs import sweeping, work
from chitram.adapters.jobs.execution import JobExecution
from chitram.adapters.jobs.sweeping import SWEEP_LEASE, Sweep, Sweeper
from chitram.adapters.jobs.work import ON_ITS_WAY, Republisher, Work
from chitram.adapters.memory.clock import ManualClock, SystemClock, SystemIdentifiers
from chitram.domain.errors import ServiceUnavailable
from chitram.domain.jobs import BACKOFF_LIMIT, JobKind, JobState, NewJob
from tests.factories.databases import open_migrated
from tests.factories.interleaving import InterposedDatabase, failing


class Observer:
    def __init__(self) -> None:
        self.jobs: list[tuple[str, str]] = []
        self.sweeps: list[tuple[str, int | None]] = []

    def job_finished(self, kind: str, outcome: str) -> None:
        self.jobs.append((kind, outcome))

    def sweep_finished(self, name: str, found: int | None) -> None:
        self.sweeps.append((name, found))


class Calls:
    """The queue of a broker, in memory."""

    def __init__(self, waiting: int = 0) -> None:
        self.queued = waiting

    def send(self, count: int) -> None:
        self.queued += count

    def waiting(self) -> int:
        return self.queued


class Shop:
    """A database, and what one process of a worker has."""

    def __init__(self, database) -> None:
        self.database = InterposedDatabase(database)
        self.clock = ManualClock()
        self.observer = Observer()
        self.ran: list[int] = []
        self.sweeps: list[Sweep] = []
        self.hold: asyncio.Event | None = None
        self.begun = asyncio.Event()

    async def handle(self, *, number: int) -> None:
        self.ran.append(number)
        self.begun.set()
        if self.hold is not None:
            await self.hold.wait()
        if number < 0:
            raise RuntimeError("poison")
        self.clock.advance(timedelta(seconds=1))

    def execution(self, *, lease: timedelta | None = None, clock=None) -> JobExecution:
        return JobExecution(
            database=self.database,
            handlers={JobKind.RENDER: self.handle},
            batch=1,
            job_timeout=60,
            lease=lease,
            clock=clock or self.clock,
            identifiers=SystemIdentifiers(),
            observer=self.observer,
        )

    def sweeper(self) -> Sweeper:
        holder = SystemIdentifiers().generation()
        return Sweeper(holder=holder, database=self.database, clock=self.clock, observer=self.observer)

    def work(self) -> Work:
        return Work(execution=self.execution(), sweeper=self.sweeper, sweeps=self.sweeps, clock=self.clock)

    async def promise(self, *numbers: int, after: timedelta = timedelta(0)) -> None:
        async with self.database.real.begin() as work:
            for number in numbers:
                await work.jobs.add(NewJob(JobKind.RENDER, {"number": number}, run_at=self.clock.now() + after))

    async def count(self, state: JobState) -> int:
        async with self.database.real.read() as view:
            return (await view.jobs.counts())[state]

    def republisher(self, calls: Calls) -> Republisher:
        return Republisher(database=self.database, calls=calls, clock=self.clock)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_migrated(tmp_path / "chitram.db") as database:
        yield Shop(database)


def finds(number: int):
    async def sweep() -> int:
        return number

    return sweep


class TestOneCall:
    async def test_takes_what_is_due_until_its_time_is_over(self, shop):
        await shop.promise(*range(5))
        assert await shop.work().work() == 2
        assert shop.ran == [0, 1]
        assert await shop.work().work() == 2
        assert await shop.work().work() == 1
        assert await shop.work().work() == 0

    async def test_poison_is_given_up_and_stops_nobody(self, shop):
        await shop.promise(-1, 1)
        while await shop.count(JobState.READY):
            await shop.work().work()
            shop.clock.advance(BACKOFF_LIMIT)
        assert await shop.count(JobState.DEAD) == 1
        assert sorted(set(shop.observer.jobs)) == [("render", "dead"), ("render", "done"), ("render", "retried")]

    async def test_a_database_that_is_away_leaves_the_rows_to_another_call(self, shop, caplog):
        await shop.promise(1)
        shop.database.before["read"].append(failing(ServiceUnavailable()))
        assert await shop.work().work() == 0
        assert "cannot be reached" in caplog.text
        assert await shop.work().work() == 1

    async def test_many_at_a_time_do_each_job_once(self, shop):
        await shop.promise(*range(12))
        await asyncio.gather(*(shop.work().work() for _ in range(4)))
        while await shop.work().work():
            pass
        assert sorted(shop.ran) == list(range(12))


class TestShortLeases:
    async def test_hold_as_long_as_the_job_runs(self, shop):
        await shop.promise(1)
        shop.hold = asyncio.Event()
        clock = SystemClock()
        execution = shop.execution(lease=timedelta(seconds=0.3), clock=clock)
        running = asyncio.create_task(execution.run(await execution.claim()))
        await shop.begun.wait()
        await asyncio.sleep(0.8)
        assert await shop.execution(clock=clock).claim() == ()
        shop.hold.set()
        await running
        assert await shop.count(JobState.RUNNING) == 0

    async def test_run_out_when_the_process_is_gone(self, shop):
        await shop.promise(1)
        execution = shop.execution(lease=timedelta(seconds=30))
        assert len(await execution.claim()) == 1
        shop.clock.advance(timedelta(seconds=29))
        assert await execution.claim() == ()
        shop.clock.advance(timedelta(seconds=1))
        assert len(await execution.claim()) == 1

    async def test_a_database_that_is_away_meanwhile_does_not_end_the_job(self, shop):
        await shop.promise(1)
        shop.hold = asyncio.Event()
        execution = shop.execution(lease=timedelta(seconds=0.06), clock=SystemClock())
        jobs = await execution.claim()
        shop.database.before["begin"].append(failing(ServiceUnavailable()))
        running = asyncio.create_task(execution.run(jobs))
        async with asyncio.timeout(20):
            while shop.database.before["begin"]:
                await asyncio.sleep(0.01)
        shop.hold.set()
        await running
        assert shop.observer.jobs == [("render", "done")]


class TestTurns:
    async def test_a_sweep_runs_once_in_its_interval_whoever_calls(self, shop):
        shop.sweeps = [Sweep("one", 100, finds(3))]
        assert [await shop.work().sweep("one") for _ in range(3)] == [3, None, None]
        shop.clock.advance(timedelta(seconds=89))
        assert await shop.work().sweep("one") is None
        shop.clock.advance(timedelta(seconds=1))
        assert await shop.work().sweep("one") == 3

    async def test_called_at_its_interval_it_never_misses_a_turn(self, shop):
        shop.sweeps = [Sweep("often", 5, finds(1))]
        for _ in range(5):
            assert await shop.work().sweep("often") == 1
            shop.clock.advance(timedelta(seconds=5))

    async def test_one_that_took_longer_than_its_interval_may_run_again_at_once(self, shop):
        async def long() -> int:
            shop.clock.advance(timedelta(seconds=10))
            return 1

        shop.sweeps = [Sweep("long", 5, long)]
        assert await shop.work().sweep("long") == 1
        assert await shop.work().sweep("long") == 1

    async def test_two_calls_at_a_time_are_one_run(self, shop):
        first, go_on = asyncio.Event(), asyncio.Event()

        async def slow() -> int:
            first.set()
            await go_on.wait()
            return 1

        shop.sweeps = [Sweep("slow", 60, slow)]
        running = asyncio.create_task(shop.work().sweep("slow"))
        await first.wait()
        assert await shop.work().sweep("slow") is None
        go_on.set()
        assert await running == 1
        assert shop.observer.sweeps == [("slow", 1)]

    async def test_one_that_failed_has_its_turn_again_when_the_lease_is_over(self, shop, caplog):
        shop.sweeps = [Sweep("broken", 3600, failing(RuntimeError("a bug")))]
        assert await shop.work().sweep("broken") is None
        assert shop.observer.sweeps == [("broken", None)]
        shop.sweeps = [Sweep("broken", 3600, finds(2))]
        shop.clock.advance(SWEEP_LEASE)
        assert await shop.work().sweep("broken") == 2

    async def test_a_name_that_is_none_is_refused(self, shop):
        with pytest.raises(KeyError):
            await shop.work().sweep("rm -rf")

    async def test_a_sweep_that_never_ends_is_given_up(self, shop, monkeypatch, caplog):
        monkeypatch.setattr(sweeping, "SWEEP_TIMEOUT", 0.05)

        async def forever() -> int:
            await asyncio.Event().wait()
            return 1

        shop.sweeps = [Sweep("forever", 60, forever)]
        assert await shop.work().sweep("forever") is None
        assert shop.observer.sweeps == [("forever", None)]


class TestRepublishing:
    async def test_calls_for_jobs_that_nobody_was_called_for(self, shop):
        await shop.promise(1, 2, 3)
        await shop.promise(4, after=timedelta(hours=1))
        shop.clock.advance(ON_ITS_WAY)
        calls = Calls()
        assert await shop.republisher(calls).republish() == 3
        assert calls.queued == 3
        assert await shop.republisher(calls).republish() == 0
        assert calls.queued == 3

    async def test_what_was_just_promised_is_on_its_way(self, shop):
        await shop.promise(1)
        assert await shop.republisher(Calls()).republish() == 0

    async def test_a_job_whose_worker_died_is_called_for_when_its_lease_is_over(self, shop):
        await shop.promise(1)
        await shop.execution(lease=timedelta(seconds=30)).claim()
        shop.clock.advance(timedelta(seconds=30))
        assert await shop.republisher(Calls()).republish() == 0
        shop.clock.advance(ON_ITS_WAY)
        assert await shop.republisher(Calls()).republish() == 1

    async def test_a_long_backlog_is_called_for_in_bounded_steps(self, shop, monkeypatch):
        monkeypatch.setattr(work, "MAX_CALLS", 3)
        await shop.promise(*range(10))
        shop.clock.advance(ON_ITS_WAY)
        calls = Calls(waiting=1)
        assert await shop.republisher(calls).republish() == 2
        assert await shop.republisher(calls).republish() == 0
