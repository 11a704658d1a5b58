"""The outbox: due jobs are leased to one runner each, and come back when it dies."""

import asyncio

from chitram.adapters.db.unit_of_work import SqlDatabase
from chitram.domain.jobs import Job, JobKind, JobState, NewJob
from tests.factories.databases import open_twice
from tests.factories.rows import NOW, later


def new_job(number: int = 1, *, at: float = 0, key: str | None = None) -> NewJob:
    return NewJob(kind=JobKind.RENDER, payload={"blob_id": number, "names": ["చి", None]}, run_at=later(at), key=key)


async def claim(database: SqlDatabase, *, at: float = 100, lease: float = 60, limit: int = 10) -> list[Job]:
    async with database.begin() as work:
        return list(await work.jobs.claim(now=later(at), lease_until=later(at + lease), limit=limit))


async def add(database: SqlDatabase, *jobs: NewJob) -> None:
    async with database.begin() as work:
        for job in jobs:
            await work.jobs.add(job)


async def ready(database: SqlDatabase) -> list[int]:
    async with database.read() as view:
        return [job.payload["blob_id"] for job in await view.jobs.list(state=JobState.READY, limit=100)]


async def test_a_job_is_kept_as_it_was_promised(database):
    await add(database, new_job(7))
    async with database.read() as view:
        (job,) = await view.jobs.list(state=JobState.READY, limit=10)
    assert job == Job(
        id=job.id,
        kind=JobKind.RENDER,
        payload={"blob_id": 7, "names": ["చి", None]},
        state=JobState.READY,
        attempts=0,
        run_at=NOW,
        created_at=NOW,
        lease_until=None,
        last_error=None,
    )


async def test_a_lease_can_be_prolonged_by_who_has_it(database):
    await add(database, new_job(1))
    (job,) = await claim(database, at=100, lease=60)
    async with database.begin() as work:
        assert await work.jobs.prolong(job, lease_until=later(300))
    assert await claim(database, at=299) == []
    (again,) = await claim(database, at=300)
    async with database.begin() as work:
        assert not await work.jobs.prolong(job, lease_until=later(900))  # it is another's now
        await work.jobs.finish(again.id)
        assert not await work.jobs.prolong(again, lease_until=later(900))


async def test_due_jobs_are_leased_oldest_first(database):
    await add(database, new_job(1, at=30), new_job(2, at=10), new_job(3, at=20), new_job(4, at=101))
    assert [job.payload["blob_id"] for job in await claim(database, limit=2)] == [2, 3]
    (last,) = await claim(database)
    assert (last.payload["blob_id"], last.state, last.attempts) == (1, JobState.RUNNING, 1)
    assert last.lease_until == later(160)
    assert await claim(database) == []
    assert await ready(database) == [4]


async def test_a_job_whose_runner_died_comes_back(database):
    await add(database, new_job(1, at=50), new_job(2, at=60))
    first, second = await claim(database, lease=10)
    async with database.begin() as work:
        await work.jobs.finish(second.id)
    await add(database, new_job(3, at=40))
    again = await claim(database, at=110)
    assert [(job.payload["blob_id"], job.attempts) for job in again] == [(3, 1), (1, 2)]
    assert again[1].id == first.id


async def test_a_lost_job_and_ready_ones_share_the_limit(database):
    await add(database, new_job(1, at=50))
    await claim(database, lease=10)
    await add(database, new_job(2, at=60), new_job(3, at=70))
    assert [job.payload["blob_id"] for job in await claim(database, at=110, limit=2)] == [1, 2]


async def test_two_runners_never_get_the_same_job(databases):
    taken: list[int] = []

    async def run(own: SqlDatabase) -> None:
        while jobs := await claim(own, limit=3):
            taken.extend(job.id for job in jobs)

    async with open_twice(databases) as (one, two):
        await add(one, *(new_job(number) for number in range(40)))
        await asyncio.gather(run(one), run(two), run(one), run(two))
    assert len(taken) == len(set(taken)) == 40


async def test_a_failed_job_waits_for_its_next_turn(database):
    await add(database, new_job())
    (job,) = await claim(database)
    async with database.begin() as work:
        await work.jobs.retry(job.id, run_at=later(200), error="no luck")
    assert await claim(database, at=199) == []
    (again,) = await claim(database, at=200)
    assert (again.id, again.attempts, again.last_error) == (job.id, 2, "no luck")


async def test_a_buried_job_stays_until_it_is_revived(database):
    await add(database, new_job())
    (job,) = await claim(database)
    async with database.begin() as work:
        await work.jobs.bury(job.id, error="hopeless")
        (dead,) = await work.jobs.list(state=JobState.DEAD, limit=10)
        assert (dead.last_error, dead.lease_until, dead.attempts) == ("hopeless", None, 1)
    assert await claim(database, at=10_000) == []
    async with database.begin() as work:
        assert await work.jobs.revive(job.id, now=later(300)) is True
        assert await work.jobs.revive(job.id, now=later(300)) is False
        assert await work.jobs.revive(404, now=later(300)) is False
    (again,) = await claim(database, at=300)
    assert (again.id, again.attempts) == (job.id, 1)


async def test_a_key_waits_once(database):
    await add(database, new_job(1, key="render:1"), new_job(2, key="render:1"), new_job(3, key="render:3"), new_job(4))
    assert await ready(database) == [1, 3, 4]
    await claim(database, limit=1)
    # The one that runs may have read what was before: the same key waits anew.
    await add(database, new_job(5, key="render:1"))
    assert sorted(await ready(database)) == [3, 4, 5]


async def test_a_job_that_comes_back_makes_room_for_the_one_that_waits(database):
    await add(database, new_job(1, key="k"))
    (first,) = await claim(database)
    await add(database, new_job(2, key="k"))
    async with database.begin() as work:
        await work.jobs.retry(first.id, run_at=later(200), error="x")
    assert await ready(database) == [2]
    (second,) = await claim(database)
    async with database.begin() as work:
        await work.jobs.add(new_job(3, key="k"))
        await work.jobs.bury(second.id, error="x")
        assert await work.jobs.counts() == {JobState.READY: 1, JobState.RUNNING: 0, JobState.DEAD: 0}
    assert await ready(database) == [3]


async def test_a_dead_job_keeps_others_with_its_key_away_until_it_is_revived(database):
    await add(database, new_job(1, key="k"))
    (job,) = await claim(database)
    async with database.begin() as work:
        await work.jobs.bury(job.id, error="x")
        await work.jobs.add(new_job(2, key="k"))
        assert await work.jobs.counts() == {JobState.READY: 0, JobState.RUNNING: 0, JobState.DEAD: 1}
        assert await work.jobs.revive(job.id, now=later(1)) is True
    assert await ready(database) == [1]


async def test_an_attempt_that_does_not_count_is_forgotten(database):
    await add(database, new_job(1))
    (job,) = await claim(database)
    async with database.begin() as work:
        await work.jobs.retry(job.id, run_at=later(1), error="x", counts=False)
    (again,) = await claim(database)
    assert (job.attempts, again.attempts) == (1, 1)


async def test_counts_and_the_next_moment(database):
    async with database.begin() as work:
        assert await work.jobs.counts() == dict.fromkeys(JobState, 0)
        assert await work.jobs.next_run_at() is None
    await add(database, new_job(1, at=50), new_job(2, at=500), new_job(3, at=60))
    async with database.read() as view:
        assert await view.jobs.next_run_at() == later(50)
    first, second = await claim(database, lease=60)
    async with database.begin() as work:
        assert await work.jobs.next_run_at() == later(160)
        await work.jobs.finish(first.id)
        await work.jobs.bury(second.id, error="x")
        assert await work.jobs.next_run_at() == later(500)
        assert await work.jobs.counts() == {JobState.READY: 1, JobState.RUNNING: 0, JobState.DEAD: 1}


async def test_invalidations_are_told_until_they_are_finished(database):
    def invalidation(number: int) -> NewJob:
        return NewJob(JobKind.INVALIDATE, {"image_ids": [f"image{number:06d}"]}, run_at=later(number))

    await add(database, invalidation(3), new_job(4, at=50), invalidation(1), invalidation(2))
    first, second, *_ = await claim(database)
    async with database.begin() as work:
        await work.jobs.bury(first.id, error="x")
        # Waiting, running or given up: none of them is done, and the oldest come first.
        told = [job["image_ids"] for job in await work.jobs.invalidations(limit=10)]
        assert told == [["image000003"], ["image000001"], ["image000002"]]
        assert len(await work.jobs.invalidations(limit=2)) == 2
        await work.jobs.finish(second.id)
        assert [job["image_ids"] for job in await work.jobs.invalidations(limit=10)] == [
            ["image000003"],
            ["image000001"],
        ]
