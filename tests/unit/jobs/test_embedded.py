"""The embedded runner: at-least-once, with retries that end, and sweeps that do not hinder each other."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from chitram.adapters.jobs import embedded, sweeping
from chitram.adapters.jobs.embedded import BATCH, EmbeddedRunner, EmbeddedSignal
from chitram.adapters.jobs.sweeping import SWEEP_LEASE, Sweep
from chitram.adapters.memory.clock import ManualClock, SystemClock, SystemIdentifiers
from chitram.domain.errors import ServiceUnavailable, StorageFull, StorageUnavailable, UploadBusy
from chitram.domain.jobs import BACKOFF_LIMIT, MAX_ATTEMPTS, Job, JobKind, JobState, NewJob, backoff
from tests.factories.databases import open_migrated
from tests.factories.interleaving import InterposedDatabase, failing

#: Of a batch of jobs that may take a minute each.
LEASE = timedelta(seconds=(BATCH + 1) * 60)


class Observer:
    def __init__(self) -> None:
        self.jobs: list[tuple[str, str]] = []
        self.sweeps: list[tuple[str, int | None]] = []

    def job_finished(self, kind: str, outcome: str) -> None:
        self.jobs.append((kind, outcome))

    def sweep_finished(self, name: str, found: int | None) -> None:
        self.sweeps.append((name, found))


class Workshop:
    """A database with a runner whose handler does as it is told."""

    def __init__(self, database) -> None:
        self.database = InterposedDatabase(database)
        self.clock = ManualClock()
        self.observer = Observer()
        self.signal = EmbeddedSignal()
        self.ran: list[int] = []
        self.changed = asyncio.Event()
        self.errors: defaultdict[int, list[BaseException]] = defaultdict(list)
        self.hold: asyncio.Event | None = None
        self.sweeps: list[Sweep] = []

    def runner(self, *, runners: int = 1, job_timeout: float = 60) -> EmbeddedRunner:
        return EmbeddedRunner(
            signal=self.signal,
            database=self.database,
            handlers={JobKind.RENDER: self.handle},
            sweeps=self.sweeps,
            runners=runners,
            job_timeout=job_timeout,
            clock=self.clock,
            identifiers=SystemIdentifiers(),
            observer=self.observer,
        )

    async def handle(self, *, number: int) -> None:
        self.ran.append(number)
        self.changed.set()
        if self.hold is not None:
            await self.hold.wait()
        if self.errors[number]:
            raise self.errors[number].pop(0)

    async def promise(self, *numbers: int, after: timedelta = timedelta(0)) -> None:
        async with self.database.real.begin() as work:
            for number in numbers:
                await work.jobs.add(NewJob(JobKind.RENDER, {"number": number}, run_at=self.clock.now() + after))

    async def jobs(self, state: JobState = JobState.READY) -> list[Job]:
        async with self.database.real.read() as view:
            return list(await view.jobs.list(state=state, limit=100))

    async def until(self, condition) -> None:
        """Wait for something that the running loops bring about."""
        async with asyncio.timeout(20):
            while not condition():  # what is waited for is a list, not an event
                await asyncio.sleep(0.005)

    @asynccontextmanager
    async def running(self, **options) -> AsyncIterator[EmbeddedRunner]:
        runner = self.runner(**options)
        await runner.start()
        try:
            yield runner
        finally:
            await runner.stop(patience=5)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    async with open_migrated(tmp_path / "chitram.db") as database:
        yield Workshop(database)


class TestRunning:
    async def test_due_jobs_run_once_and_are_gone(self, shop):
        await shop.promise(*range(10))
        await shop.promise(99, after=timedelta(seconds=1))
        runner = shop.runner()
        assert await runner.run_due() == 10
        assert shop.ran == list(range(10))
        assert [job.payload for job in await shop.jobs()] == [{"number": 99}]
        assert await runner.run_due() == 0
        shop.clock.advance(timedelta(seconds=1))
        assert await runner.run_due() == 1
        assert shop.observer.jobs == [("render", "done")] * 11

    async def test_a_failure_is_tried_again_later_and_the_others_are_not_held_up(self, shop, caplog):
        caplog.set_level(logging.WARNING)
        shop.errors[1] = [RuntimeError("secret" * 200)]
        await shop.promise(0, 1, 2)
        assert await shop.runner().run_due() == 3
        (job,) = await shop.jobs()
        wait = job.run_at - shop.clock.now()
        assert backoff(1, jitter=0.0) <= wait <= backoff(1, jitter=1.0)
        assert (job.attempts, job.last_error[:20]) == (1, "RuntimeError: secret")
        assert len(job.last_error) <= 500
        assert f"job {job.id} (render) failed" in caplog.text
        assert await shop.runner().run_due() == 0
        shop.clock.advance(wait)
        assert await shop.runner().run_due() == 1
        assert await shop.jobs() == []
        assert sorted(shop.observer.jobs) == [("render", "done")] * 3 + [("render", "retried")]

    async def test_after_the_last_attempt_it_is_buried(self, shop):
        shop.errors[1] = [RuntimeError("poison")] * MAX_ATTEMPTS
        await shop.promise(1)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            assert await shop.runner().run_due() == 1, attempt
            shop.clock.advance(BACKOFF_LIMIT)
        assert await shop.runner().run_due() == 0
        (dead,) = await shop.jobs(JobState.DEAD)
        assert (dead.attempts, dead.last_error) == (MAX_ATTEMPTS, "RuntimeError: poison")
        assert shop.observer.jobs == [("render", "retried")] * (MAX_ATTEMPTS - 1) + [("render", "dead")]

    async def test_a_kind_that_nobody_handles_ends_as_a_dead_letter_too(self, shop):
        async with shop.database.begin() as work:
            await work.jobs.add(NewJob(JobKind.INVALIDATE, {}, run_at=shop.clock.now()))
        assert await shop.runner().run_due() == 1
        (job,) = await shop.jobs()
        assert job.last_error.startswith("KeyError")

    async def test_a_job_that_hangs_is_given_up(self, shop):
        shop.hold = asyncio.Event()
        await shop.promise(1)
        await shop.runner(job_timeout=0.01).run_due()
        (job,) = await shop.jobs()
        assert job.last_error.startswith("TimeoutError")

    async def test_the_jobs_of_a_killed_runner_run_again_when_its_lease_is_over(self, shop):
        await shop.promise(1)
        assert len(await shop.runner()._claim()) == 1
        assert await shop.runner().run_due() == 0
        shop.clock.advance(LEASE - timedelta(seconds=1))
        assert await shop.runner().run_due() == 0
        shop.clock.advance(timedelta(seconds=1))
        assert await shop.runner().run_due() == 1
        assert shop.ran == [1]

    async def test_two_runners_share_the_work(self, shop):
        await shop.promise(*range(20))
        done = await asyncio.gather(shop.runner().run_due(), shop.runner().run_due())
        assert sum(done) == 20
        assert sorted(shop.ran) == list(range(20))

    @pytest.mark.parametrize("outage", [ServiceUnavailable(), StorageFull(), StorageUnavailable(), UploadBusy()])
    async def test_an_outage_is_waited_out_however_long_it_lasts(self, shop, outage):
        shop.errors[1] = [outage] * (2 * MAX_ATTEMPTS)
        await shop.promise(1)
        for _ in range(2 * MAX_ATTEMPTS):
            assert await shop.runner().run_due() == 1
            shop.clock.advance(BACKOFF_LIMIT)
        assert await shop.runner().run_due() == 1
        assert shop.observer.jobs == [("render", "retried")] * (2 * MAX_ATTEMPTS) + [("render", "done")]

    async def test_a_job_that_takes_its_runner_with_it_each_time_is_buried(self, shop):
        await shop.promise(1)
        for _ in range(MAX_ATTEMPTS):
            assert len(await shop.runner()._claim()) == 1
            shop.clock.advance(LEASE)
        await shop.runner().run_due()
        assert shop.ran == []
        (dead,) = await shop.jobs(JobState.DEAD)
        assert "did not survive" in dead.last_error


class TestLoops:
    async def test_a_wake_up_starts_the_work_at_once(self, shop):
        async with shop.running(runners=2) as runner:
            assert runner.alive()
            await shop.until(lambda: not shop.signal.woken.is_set())
            await shop.promise(1)
            await shop.signal.wake()
            await shop.until(lambda: shop.observer.jobs)
            assert shop.ran == [1]
        assert not runner.alive()

    async def test_a_wake_up_that_got_lost_costs_a_delay_only(self, shop, monkeypatch):
        monkeypatch.setattr(embedded, "IDLE_POLL", 0.02)
        async with shop.running():
            await shop.promise(1)
            await shop.until(lambda: shop.observer.jobs)

    async def test_a_database_that_is_away_is_waited_for(self, shop, monkeypatch, caplog):
        monkeypatch.setattr(embedded, "FAILURE_PAUSE", 0.01)
        await shop.promise(1)
        shop.database.before["read"].extend([failing(ServiceUnavailable()), failing(RuntimeError("a bug"))])
        async with shop.running() as runner:
            await shop.until(lambda: shop.observer.jobs)
            assert runner.alive()
        assert "cannot be reached" in caplog.text
        assert "goes on" in caplog.text

    async def test_stopping_waits_for_the_job_that_runs(self, shop):
        shop.hold = asyncio.Event()
        await shop.promise(1)
        runner = shop.runner()
        await runner.start()
        await shop.changed.wait()
        stopping = asyncio.create_task(runner.stop(patience=10))
        await asyncio.sleep(0)
        shop.hold.set()
        await stopping
        assert shop.observer.jobs == [("render", "done")]
        assert await shop.jobs() == await shop.jobs(JobState.RUNNING) == []

    async def test_stopping_cuts_short_what_takes_too_long_and_it_runs_again_elsewhere(self, shop):
        shop.hold = asyncio.Event()
        await shop.promise(1)
        runner = shop.runner()
        await runner.start()
        await shop.changed.wait()
        await runner.stop(patience=0.01)
        assert not runner.alive()
        (job,) = await shop.jobs(JobState.RUNNING)
        shop.hold.set()
        shop.clock.advance(LEASE)
        assert await shop.runner().run_due() == 1
        assert shop.ran == [1, 1]
        assert job.attempts == 1

    async def test_what_never_started_can_be_stopped(self, shop):
        runner = shop.runner()
        assert not runner.alive()
        await runner.stop(patience=1)


class TestSweeps:
    async def test_run_and_say_what_they_found(self, shop):
        shop.sweeps = [Sweep("one", 60, found(3)), Sweep("two", 60, found(0))]
        assert await shop.runner().sweep_once() == {"one": 3, "two": 0}
        assert shop.observer.sweeps == [("one", 3), ("two", 0)]

    async def test_one_that_fails_does_not_stop_the_others(self, shop, caplog):
        shop.sweeps = [Sweep("broken", 60, failing(RuntimeError("a bug"))), Sweep("whole", 60, found(1))]
        assert await shop.runner().sweep_once() == {"whole": 1}
        assert shop.observer.sweeps == [("broken", None), ("whole", 1)]
        assert "the sweep broken failed" in caplog.text

    async def test_one_that_failed_is_tried_again_by_the_same_runner(self, shop):
        runs = []

        async def fails_once() -> int:
            runs.append(1)
            if len(runs) == 1:
                raise RuntimeError("a bug")
            return 5

        shop.sweeps = [Sweep("moody", 60, fails_once)]
        runner = shop.runner()
        assert await runner.sweep_once() == {}
        assert await runner.sweep_once() == {"moody": 5}

    async def test_each_runs_in_one_process_at_a_time(self, shop):
        first_runs, go_on = asyncio.Event(), asyncio.Event()

        async def slow() -> int:
            first_runs.set()
            await go_on.wait()
            return 1

        shop.sweeps = [Sweep("slow", 60, slow)]
        first = asyncio.create_task(shop.runner().sweep_once())
        await first_runs.wait()
        assert await shop.runner().sweep_once() == {}
        go_on.set()
        assert await first == {"slow": 1}
        assert await shop.runner().sweep_once() == {"slow": 1}

    async def test_the_lease_of_a_killed_process_runs_out(self, shop):
        async with shop.database.begin() as work:
            now = shop.clock.now()
            assert await work.leases.acquire("sweep:one", holder="the dead", now=now, until=now + SWEEP_LEASE)
        shop.sweeps = [Sweep("one", 60, found(1))]
        assert await shop.runner().sweep_once() == {}
        shop.clock.advance(SWEEP_LEASE)
        assert await shop.runner().sweep_once() == {"one": 1}

    async def test_they_run_by_themselves_each_at_its_interval_and_long_ones_not_at_the_start(self, shop):
        shop.sweeps = [Sweep("often", 0.01, found(1)), Sweep("rarely", 3599, found(1)), Sweep("long", 3600, found(1))]
        shop.clock = SystemClock()
        async with shop.running() as runner:
            await shop.until(lambda: len([s for s in shop.observer.sweeps if s[0] == "often"]) >= 3)
            assert runner.alive()
        names = [name for name, _ in shop.observer.sweeps]
        assert (names.count("rarely"), names.count("long")) == (1, 0)

    async def test_they_go_on_after_a_defect_of_ours(self, shop, caplog, monkeypatch):
        monkeypatch.setattr(embedded, "SWEEP_LEASE", timedelta(seconds=0.01))
        shop.sweeps = [Sweep("first", 3599, found(1)), Sweep("second", 3599, found(2))]
        shop.clock = SystemClock()
        # What comes first is the lease of the first one.
        shop.database.before["begin"].append(failing(RuntimeError("a bug")))
        async with shop.running(runners=0) as runner:
            await shop.until(lambda: len(shop.observer.sweeps) == 2)
            assert runner.alive()
        assert shop.observer.sweeps == [("second", 2), ("first", 1)]
        assert "the sweep first could not be run" in caplog.text


def found(number: int):
    """A sweep that finds so many."""

    async def sweep() -> int:
        return number

    return sweep


async def test_a_long_sweep_keeps_its_lease(tmp_path, monkeypatch):
    monkeypatch.setattr(sweeping, "SWEEP_LEASE", timedelta(seconds=0.3))
    running = asyncio.Event()

    async def long() -> int:
        running.set()
        await asyncio.sleep(0.8)
        return 1

    async with open_migrated(tmp_path / "c.db") as database:
        clock = SystemClock()
        runner = EmbeddedRunner(
            signal=EmbeddedSignal(),
            database=database,
            handlers={},
            sweeps=(Sweep("long", 60, long),),
            runners=1,
            job_timeout=1,
            clock=clock,
            identifiers=SystemIdentifiers(),
            observer=Quiet(),
        )
        under_way = asyncio.create_task(runner.sweep_once())
        await running.wait()
        await asyncio.sleep(0.5)
        async with database.begin() as work:
            now = clock.now()
            assert not await work.leases.acquire("sweep:long", holder="another", now=now, until=now)
        assert await under_way == {"long": 1}


class Quiet:
    def job_finished(self, kind: str, outcome: str) -> None:
        pass

    def sweep_finished(self, name: str, found: int | None) -> None:
        pass
