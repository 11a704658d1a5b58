"""The outbox: jobs that were promised in the same transaction as the change that made them necessary."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Select, delete, exists, func, select, update

from chitram.adapters.db.dialects import insert_or_skip
from chitram.adapters.db.statements import Statements
from chitram.adapters.db.tables import HOLDS_KEY, IS_INVALIDATION, holds_key, jobs
from chitram.domain.jobs import Job, JobState, NewJob

_COLUMNS = tuple(jobs.c[name] for name in Job.__dataclass_fields__)


class SqlJobRepository:
    """ports.repositories.jobs.JobRepository on one transaction."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def add(self, job: NewJob) -> None:
        await self._statements.change(
            insert_or_skip(jobs, dialect=self._statements.dialect)
            .values(
                kind=job.kind,
                payload=dict(job.payload),
                state=JobState.READY,
                attempts=0,
                run_at=job.run_at,
                created_at=job.run_at,
                key=job.key,
            )
            .on_conflict_do_nothing(index_elements=[jobs.c.key], index_where=HOLDS_KEY)
        )

    async def claim(self, *, now: datetime, lease_until: datetime, limit: int) -> Sequence[Job]:
        ready = await self._due(JobState.READY, jobs.c.run_at, now=now, limit=limit)
        lost = await self._due(JobState.RUNNING, jobs.c.lease_until, now=now, limit=limit)
        due = sorted({*ready, *lost})[:limit]
        if not due:
            return []
        rows = await self._statements.rows(
            update(jobs)
            .where(jobs.c.id.in_([job_id for _, job_id in due]))
            .values(state=JobState.RUNNING, lease_until=lease_until, attempts=jobs.c.attempts + 1)
            .returning(*_COLUMNS)
        )
        return sorted((Job(*row) for row in rows), key=lambda job: (job.run_at, job.id))

    async def prolong(self, job: Job, *, lease_until: datetime) -> bool:
        # Each claim counts an attempt, so that the number tells claims apart.
        this = (jobs.c.id == job.id, jobs.c.state == JobState.RUNNING, jobs.c.attempts == job.attempts)
        return await self._statements.change(update(jobs).where(*this).values(lease_until=lease_until)) > 0

    async def finish(self, job_id: int) -> None:
        await self._statements.change(delete(jobs).where(jobs.c.id == job_id))

    async def retry(self, job_id: int, *, run_at: datetime, error: str, counts: bool = True) -> None:
        values = {"state": JobState.READY, "run_at": run_at, "last_error": error}
        await self._settle(job_id, JobState.RUNNING, values if counts else {**values, "attempts": jobs.c.attempts - 1})

    async def bury(self, job_id: int, *, error: str) -> None:
        await self._settle(job_id, JobState.RUNNING, {"state": JobState.DEAD, "last_error": error})

    async def list(self, *, state: JobState, limit: int) -> Sequence[Job]:
        statement = select(*_COLUMNS).where(jobs.c.state == state).order_by(jobs.c.run_at, jobs.c.id).limit(limit)
        return [Job(*row) for row in await self._statements.rows(statement)]

    async def revive(self, job_id: int, *, now: datetime) -> bool:
        return await self._settle(job_id, JobState.DEAD, {"state": JobState.READY, "run_at": now, "attempts": 0})

    async def counts(self) -> Mapping[JobState, int]:
        rows = await self._statements.rows(select(jobs.c.state, func.count()).group_by(jobs.c.state))
        return dict.fromkeys(JobState, 0) | {state: int(count) for state, count in rows}

    async def invalidations(self, *, limit: int) -> Sequence[Mapping[str, object]]:
        statement = select(jobs.c.payload).where(IS_INVALIDATION).order_by(jobs.c.id).limit(limit)
        return [row[0] for row in await self._statements.rows(statement)]

    async def next_run_at(self) -> datetime | None:
        moments = [
            await self._earliest(select(jobs.c.run_at).where(jobs.c.state == JobState.READY).order_by(jobs.c.run_at)),
            await self._earliest(
                select(jobs.c.lease_until).where(jobs.c.state == JobState.RUNNING).order_by(jobs.c.lease_until)
            ),
        ]
        return min((moment for moment in moments if moment is not None), default=None)

    async def _due(
        self, state: JobState, due: ColumnElement[datetime | None], *, now: datetime, limit: int
    ) -> Sequence[tuple[datetime, int]]:
        # Each state has an index in the order of its own moment, so that nothing is sorted however many wait.
        rows = await self._statements.rows(
            select(jobs.c.run_at, jobs.c.id)
            .where(jobs.c.state == state, due <= now)
            .order_by(due, jobs.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return [(row.run_at, row.id) for row in rows]

    async def _settle(self, job_id: int, state: JobState, values: Mapping[str, object]) -> bool:
        """Out of `state`; or away, when meanwhile another job took the same key: that one stands for the work now."""
        this = (jobs.c.id == job_id, jobs.c.state == state)
        same = jobs.alias("same")
        taken = exists().where(same.c.key == jobs.c.key, same.c.id != jobs.c.id, holds_key(same))
        if await self._statements.change(delete(jobs).where(*this, taken)):
            return True
        return await self._statements.change(update(jobs).where(*this).values({"lease_until": None, **values})) > 0

    async def _earliest(self, statement: Select[tuple[datetime]]) -> datetime | None:
        row = await self._statements.first(statement.limit(1))
        return None if row is None else row[0]
