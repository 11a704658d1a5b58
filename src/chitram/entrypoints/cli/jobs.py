"""`chitram jobs`: the outbox."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from chitram.bootstrap import StartupError, operating
from chitram.domain.errors import ChitramError
from chitram.domain.jobs import Job, JobState
from chitram.entrypoints.cli.loading import fail, settings_or_exit
from chitram.settings import Settings

#: The largest number that a database counts up to.
LAST_ID = 2**63 - 1

app = typer.Typer(no_args_is_help=True, help="Look at background jobs and give dead ones another chance.")


@app.command("list")
def list_jobs(
    state: Annotated[JobState, typer.Option(help="Which jobs to list.")] = JobState.DEAD,
    limit: Annotated[int, typer.Option(help="Most jobs to list.", min=1, max=10_000)] = 100,
) -> None:
    """List jobs, oldest first."""
    settings = settings_or_exit()
    try:
        jobs, counts = asyncio.run(_list(settings, state, limit))
    except (StartupError, ChitramError) as error:
        fail(str(error), status=1)
    for job in jobs:
        made = f"{job.created_at:%Y-%m-%dT%H:%M:%SZ}"
        typer.echo("\t".join((str(job.id), job.kind, f"attempts {job.attempts}", made, job.last_error or "")))
    typer.echo(", ".join(f"{counts.get(s, 0)} {s}" for s in JobState))


@app.command("retry")
def retry_jobs(
    job_ids: Annotated[
        list[int], typer.Argument(help="Ids of dead jobs, as `chitram jobs list` prints them.", min=1, max=LAST_ID)
    ],
) -> None:
    """Let dead jobs run again. Exit status 1 when one of them is not there."""
    settings = settings_or_exit()
    try:
        missing = asyncio.run(_retry(settings, job_ids))
    except (StartupError, ChitramError) as error:
        fail(str(error), status=1)
    if missing:
        fail(f"no such dead job: {', '.join(map(str, missing))}", status=1)


async def _list(settings: Settings, state: JobState, limit: int) -> tuple[Sequence[Job], Mapping[JobState, int]]:
    async with operating(settings) as application:
        return await application.jobs.list(state=state, limit=limit), await application.jobs.counts()


async def _retry(settings: Settings, job_ids: Sequence[int]) -> list[int]:
    async with operating(settings) as application:
        return [job_id for job_id in job_ids if not await application.jobs.retry(job_id)]
