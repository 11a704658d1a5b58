"""Who runs jobs and sweeps: this process itself, or workers that are called through a broker."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chitram.adapters.jobs.embedded import EmbeddedRunner, EmbeddedSignal
from chitram.adapters.jobs.execution import JOB_LEASE, Handler, JobExecution
from chitram.adapters.jobs.sweeping import Sweep, Sweeper
from chitram.adapters.jobs.work import Republisher, Work
from chitram.bootstrap.foundation import Foundation
from chitram.bootstrap.preparation import StartupError
from chitram.domain.jobs import JobKind
from chitram.ports.jobs import JobSignal
from chitram.settings import Settings

if TYPE_CHECKING:
    # A process without a broker must not load Celery.
    from chitram.adapters.jobs.celery_broker import BrokerAddress, CeleryBroker

#: Not one of the long sweeps, which wait after a start: a process that dies again and again would fill the disk.
STAGING_INTERVAL = 1800.0
ORPHAN_INTERVAL = 6 * 3600.0
REPUBLISH_INTERVAL = 5.0
#: What each server does for itself: its own memory, its own metrics, its own disk.
OWN_SWEEPS = frozenset({"census", "staging", "uses"})


def job_timeout(settings: Settings) -> float:
    """Longest time that one job may take, in seconds: it may wait for a decoder as long as a decode itself may take."""
    return 30 + 2 * settings.decode.timeout


def sweep_intervals(settings: Settings) -> dict[str, float]:
    """Every sweep with the seconds from one round of it to the next, in the order of a round."""
    often = settings.housekeeping.sweep_interval
    usual = dict.fromkeys(("collect", "backfill", "scrub"), often)
    return usual | {
        "staging": STAGING_INTERVAL,
        "orphans": ORPHAN_INTERVAL,
        **dict.fromkeys(("census", "uses", "expired"), often),
    }


def worker_intervals(settings: Settings) -> dict[str, float]:
    """The same for workers: what no server does for itself, and calling for jobs that nobody was called for."""
    shared = {name: seconds for name, seconds in sweep_intervals(settings).items() if name not in OWN_SWEEPS}
    return {"republish": min(REPUBLISH_INTERVAL, settings.housekeeping.sweep_interval), **shared}


@dataclass(frozen=True, slots=True)
class Dispatch:
    """How new jobs get to whoever runs them. `here`: the runner of this process, woken by `woken`."""

    signal: JobSignal
    woken: EmbeddedSignal
    here: bool
    worker_answers: Callable[[], bool]


def embedded() -> Dispatch:
    """Jobs are run in this process."""
    signal = EmbeddedSignal()
    return Dispatch(signal, signal, here=True, worker_answers=lambda: True)


def open_dispatch(found: Foundation, stack: AsyncExitStack, *, watch: bool) -> Dispatch:
    """Jobs are run by workers if there is a broker, else here. `stack` closes it.

    `watch`: ask again and again whether a worker answers.
    """
    if found.settings.celery.broker_url is None:
        return embedded()
    from chitram.adapters.jobs.celery_signal import CelerySignal  # noqa: PLC0415 - see above

    # The thread of the signal uses this broker for itself.
    signal = CelerySignal(_broker(found.settings), clock=found.clock, observer=found.metrics, watch=watch)
    stack.push_async_callback(signal.aclose)
    if watch:
        signal.start()
    return Dispatch(signal, EmbeddedSignal(), here=False, worker_answers=signal.worker_answers)


def worker_app(settings: Settings) -> Any:  # noqa: ANN401 - Celery has no types
    """Celery for a worker, as yet without tasks. StartupError without a broker."""
    from chitram.adapters.jobs.celery_broker import WORKER_PATIENCE, celery_app  # noqa: PLC0415 - see above

    return celery_app(_address(settings), patience=WORKER_PATIENCE)


def ask_broker(settings: Settings) -> tuple[int, bool]:
    """How many calls wait, and whether a worker answers. Blocks for some seconds, and raises what the libraries do."""
    broker = _broker(settings)
    try:
        return broker.waiting(), broker.worker_answers()
    finally:
        broker.close()


def _broker(settings: Settings) -> "CeleryBroker":
    from chitram.adapters.jobs.celery_broker import CeleryBroker  # noqa: PLC0415 - see above

    return CeleryBroker(_address(settings))


def _address(settings: Settings) -> "BrokerAddress":
    from chitram.adapters.jobs.celery_broker import BrokerAddress  # noqa: PLC0415 - see above

    url = settings.celery.broker_url
    if url is None:
        raise StartupError("CELERY_BROKER_URL: required by a worker")
    return BrokerAddress(
        url.get_secret_value(),
        prefix=settings.cache.key_prefix,
        visibility_timeout=settings.celery.visibility_timeout,
    )


def make_sweeps(found: Foundation, runs: Mapping[str, Callable[[], Awaitable[int]]]) -> tuple[Sweep, ...]:
    """The sweeps, of what each of them runs."""
    return tuple(Sweep(name, seconds, runs[name]) for name, seconds in sweep_intervals(found.settings).items())


def make_runner(
    found: Foundation, dispatch: Dispatch, *, handlers: Mapping[JobKind, Handler], sweeps: tuple[Sweep, ...]
) -> EmbeddedRunner:
    """The runner of a server, which has only the server's own sweeps to do when there are workers."""
    return EmbeddedRunner(
        signal=dispatch.woken,
        database=found.database,
        handlers=handlers,
        sweeps=sweeps if dispatch.here else tuple(sweep for sweep in sweeps if sweep.name in OWN_SWEEPS),
        runners=found.settings.housekeeping.job_runners if dispatch.here else 0,
        job_timeout=job_timeout(found.settings),
        clock=found.clock,
        identifiers=found.identifiers,
        observer=found.metrics,
    )


def make_work(
    found: Foundation, stack: AsyncExitStack, *, handlers: Mapping[JobKind, Handler], sweeps: tuple[Sweep, ...]
) -> Work:
    """What one process of a worker does. `stack` closes what it opens."""
    broker = _broker(found.settings)
    stack.callback(broker.close)
    republisher = Republisher(database=found.database, calls=broker, clock=found.clock)
    execution = JobExecution(
        database=found.database,
        handlers=handlers,
        batch=1,  # what waits can be taken by others meanwhile
        job_timeout=job_timeout(found.settings),
        lease=JOB_LEASE,
        clock=found.clock,
        identifiers=found.identifiers,
        observer=found.metrics,
    )

    def sweeper() -> Sweeper:
        holder = found.identifiers.generation()
        return Sweeper(holder=holder, database=found.database, clock=found.clock, observer=found.metrics)

    shared = tuple(sweep for sweep in sweeps if sweep.name not in OWN_SWEEPS)
    republish = Sweep("republish", worker_intervals(found.settings)["republish"], republisher.republish)
    return Work(execution=execution, sweeper=sweeper, sweeps=(republish, *shared), clock=found.clock)
