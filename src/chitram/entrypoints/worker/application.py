"""Celery's application with our tasks, and what its processes do at their beginning and end."""

import logging
import socket

from celery import Celery, platforms, signals
from celery.utils.log import current_process_index

from chitram.bootstrap import SWEEP_TIMEOUT, WORK_SLICE, job_timeout, worker_app, worker_intervals
from chitram.entrypoints.worker.processes import WorkerProcess
from chitram.settings import Settings

#: A process that is not done then is killed, in seconds beyond what its task allows itself.
KILL_AFTER = 60.0
#: A process may take so long to begin, in seconds.
BEGINNING = 60.0
#: Sweeps with longer intervals are called for this often, in seconds; whether it is their turn, the database knows.
LONGEST_CALL = 300.0
#: Loggers that have several lines for every call.
CHATTY = ("celery.app.trace", "celery.beat", "celery.worker.strategy")


def create_worker(settings: Settings, *, metrics: tuple[str, int] | None) -> Celery:
    """Celery with our tasks and schedule. `metrics`: host and port of the first process's, the others' come after it.

    StartupError without a broker.
    """
    logging.captureWarnings(True)  # the way in which Celery says that it is run by root
    app = worker_app(settings)
    process = WorkerProcess(settings)
    _register(app, process, settings)
    _schedule(app, settings)
    app.conf.update(
        beat_scheduler="celery.beat:Scheduler",  # in memory: what has to be remembered is in the database
        worker_proc_alive_timeout=BEGINNING,
        worker_send_task_events=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,  # they end well without the broker
    )
    _connect(process, metrics)
    return app


def _register(app: Celery, process: WorkerProcess, settings: Settings) -> None:
    def work() -> int:
        """Run jobs that are due; how many."""
        return process.run(lambda work: work.work())

    def sweep(name: str) -> int | None:
        """Run a sweep if it is its turn; how much it found."""
        return process.run(lambda work: work.sweep(name))

    app.task(name="chitram.work", time_limit=WORK_SLICE + job_timeout(settings) + KILL_AFTER)(work)
    app.task(name="chitram.sweep", time_limit=SWEEP_TIMEOUT + KILL_AFTER)(sweep)


def _schedule(app: Celery, settings: Settings) -> None:
    app.conf.beat_schedule = {
        name: {
            "task": "chitram.sweep",
            "args": (name,),
            "schedule": min(seconds, LONGEST_CALL),
            # A call that nobody took in time is followed by another one.
            "options": {"expires": min(seconds, LONGEST_CALL)},
        }
        for name, seconds in worker_intervals(settings).items()
    }


def _connect(process: WorkerProcess, metrics: tuple[str, int] | None) -> None:
    """Have Celery tell us of its processes. It keeps no reference to these functions unless it is asked to."""

    def begin(**_: object) -> None:
        if metrics is not None:
            process.metrics_address = (metrics[0], metrics[1] + int(current_process_index(base=0)))
        process.open()

    def end(**_: object) -> None:
        process.close()

    def follow(**_: object) -> None:
        # Otherwise the process that keeps the schedule outlives a worker that is killed.
        platforms.set_pdeathsig("SIGKILL")

    signals.worker_process_init.connect(begin, weak=False)
    signals.worker_process_shutdown.connect(end, weak=False)
    signals.beat_embedded_init.connect(follow, weak=False)
    # A receiver keeps Celery from setting up logs of its own; ours are set up already.
    signals.setup_logging.connect(_keep_logging, weak=False)


def _keep_logging(**_: object) -> None:
    """Leave the logs as they are, but for what Celery says of every single call."""
    level = logging.getLogger().level
    for name in CHATTY:
        logging.getLogger(name).setLevel(level if level <= logging.DEBUG else max(level, logging.WARNING))


def run_worker(app: Celery, *, concurrency: int, beat: bool, queues: list[str], name: str) -> int:
    """Work until SIGTERM; what runs then ends, what was only taken goes back. Returns the exit status."""
    worker = app.Worker(
        hostname=f"{name}@{socket.gethostname()}",
        pool="prefork",
        concurrency=concurrency or None,
        beat=beat,
        queues=queues or None,
        quiet=True,
        loglevel=None,
        redirect_stdouts=False,
        # Workers need to know nothing of each other: the database tells them apart.
        without_mingle=True,
        without_gossip=True,
    )
    worker.start()
    return int(worker.exitcode or 0)
