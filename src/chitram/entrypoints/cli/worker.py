"""`chitram worker`: jobs in processes of their own."""

import os
from typing import Annotated

import typer

from chitram.bootstrap import StartupError, check_start, prepare
from chitram.entrypoints.cli.loading import fail, settings_or_exit
from chitram.observability import configure_logging
from chitram.settings import Settings


def worker(
    concurrency: Annotated[
        int | None, typer.Option(help="Processes; 0: as many as cores. Default: CELERY_CONCURRENCY.", min=0)
    ] = None,
    beat: Annotated[
        bool, typer.Option("--beat/--no-beat", help="Also call for sweeps at their times; any number may do so.")
    ] = True,
    queues: Annotated[str, typer.Option(help="Comma-separated: jobs, sweeps. Default: both.")] = "",
    loglevel: Annotated[str | None, typer.Option(help="Log level. Default: LOG_LEVEL.")] = None,
    metrics_bind: Annotated[
        str,
        typer.Option(
            envvar="CHITRAM_WORKER_METRICS",
            help="host:port of the first process's metrics; each further process takes the port after.",
        ),
    ] = "",
) -> None:
    """Run the jobs and sweeps of servers that have the same CELERY_BROKER_URL, until SIGTERM or Ctrl-C."""
    settings = settings_or_exit()
    if settings.celery.broker_url is None:
        fail("CELERY_BROKER_URL: required by a worker; without it the server does its jobs itself")
    if settings.app.read_only:
        fail("READ_ONLY: nothing may be changed, so a worker has nothing to do")
    chosen, metrics = _queues(settings, queues), _address(metrics_bind)
    _configure_logging(settings, loglevel)
    try:
        prepare(settings)
        check_start(settings)
    except StartupError as error:
        fail(str(error), status=1)
    # Celery is loaded by workers alone.
    from chitram.entrypoints.worker.application import create_worker, run_worker  # noqa: PLC0415 - see above

    status = run_worker(
        create_worker(settings, metrics=metrics),
        concurrency=settings.celery.concurrency if concurrency is None else concurrency,
        beat=beat,
        queues=chosen,
        name=f"chitram-{os.getpid()}",
    )
    raise typer.Exit(status)


def _configure_logging(settings: Settings, loglevel: str | None) -> None:
    chosen = settings.app.log_format
    level = loglevel or ("debug" if settings.app.debug else settings.app.log_level)
    try:
        configure_logging(level=level, json=None if chosen == "auto" else chosen == "json")
    except ValueError as error:
        fail(f"--loglevel: {error}")


def _queues(settings: Settings, names: str) -> list[str]:
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if not set(wanted) <= {"jobs", "sweeps"}:
        fail("--queues: there are jobs and sweeps")
    return [f"{settings.cache.key_prefix}.{name}" for name in wanted]


def _address(text: str) -> tuple[str, int] | None:
    if not text:
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        fail("--metrics-bind: must be host:port")
    return host.strip("[]"), int(port)
