"""Jobs as an operator sees them."""

from chitram.domain.jobs import JobKind, JobState, NewJob


async def bury(home) -> int:
    async with home.foundation.database.begin() as work:
        await work.jobs.add(NewJob(JobKind.INVALIDATE, {"image_ids": []}, run_at=home.clock.now()))
        (job,) = await work.jobs.claim(now=home.clock.now(), lease_until=home.clock.now(), limit=1)
        await work.jobs.bury(job.id, error="worn out")
    return job.id


async def test_a_dead_job_gets_another_chance_and_wakes_the_runner(home):
    job_id = await bury(home)
    jobs = home.application.jobs
    assert (await jobs.counts())[JobState.DEAD] == 1
    (job,) = await jobs.list(state=JobState.DEAD, limit=10)
    assert (job.id, job.last_error) == (job_id, "worn out")
    home.application.runner._woken.clear()
    assert await jobs.retry(job_id)
    assert home.application.runner._woken.is_set()
    assert (await jobs.counts())[JobState.READY] == 1
    assert await home.application.runner.run_due() == 1
    assert await jobs.list(state=JobState.READY, limit=10) == []


async def test_only_dead_ones_do(home):
    job_id = await bury(home)
    assert await home.application.jobs.retry(job_id)
    assert not await home.application.jobs.retry(job_id)
    assert not await home.application.jobs.retry(987654)
