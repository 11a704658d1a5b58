"""The broker between servers and workers, as Celery sees it.

A message says nothing but "look at the outbox", or which sweep's turn it is. What is to be done is in the database, so
that a message which is lost, late, delivered twice or made up changes nothing but the moment.
"""

from contextlib import suppress
from dataclasses import dataclass

from celery import Celery

#: The tasks by name. The first has no arguments, the second the name of a sweep.
WORK, SWEEP = "chitram.work", "chitram.sweep"
#: A sender waits at most so long for the broker at each step, in seconds.
SENDER_PATIENCE = 1.0
#: A worker has to notice that a connection is dead, but may wait for it; in seconds.
WORKER_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """`url` of Redis. Queues are named `prefix`.jobs and `prefix`.sweeps.

    `visibility_timeout`: after so many seconds a message whose worker vanished goes to another one.
    """

    url: str
    prefix: str
    visibility_timeout: int

    @property
    def jobs(self) -> str:
        """The queue of calls to look at the outbox."""
        return f"{self.prefix}.jobs"

    @property
    def sweeps(self) -> str:
        """The queue of sweeps."""
        return f"{self.prefix}.sweeps"


def celery_app(address: BrokerAddress, *, patience: float) -> Celery:
    """Celery for `address`; a sender and a worker differ in their `patience` alone. Connects to nothing yet."""
    app = Celery("chitram", broker=address.url, set_as_current=False)
    app.conf.update(
        # JSON is data; pickle is a program that the receiver runs.
        accept_content=["json"],
        task_serializer="json",
        event_serializer="json",
        result_serializer="json",
        task_ignore_result=True,
        task_queues={address.jobs: {}, address.sweeps: {}},
        task_default_queue=address.jobs,
        task_create_missing_queues=False,
        task_routes={SWEEP: {"queue": address.sweeps}},
        # Taken off the queue when it is done, and given to somebody else when the process died over it.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        broker_connection_timeout=patience,
        broker_connection_retry=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": address.visibility_timeout,
            "socket_timeout": patience,
            "socket_connect_timeout": patience,
            "socket_keepalive": True,
            # Otherwise a sender tries for ever to connect.
            **({"max_retries": 0, "interval_start": 0} if patience <= SENDER_PATIENCE else {}),
        },
    )
    return app


class CeleryBroker:
    """Sends messages and asks questions, each within a few times SENDER_PATIENCE. Blocks; for one thread at a time.

    Every method raises what the broker's libraries raise when it is away, and works again when it is back.
    """

    def __init__(self, address: BrokerAddress) -> None:
        self._address = address
        self._app = celery_app(address, patience=SENDER_PATIENCE)

    def send(self, count: int) -> None:
        """Call workers to look at the outbox, `count` times."""
        for _ in range(count):
            self._app.send_task(WORK, retry=False)

    def waiting(self) -> int:
        """How many calls wait in the queue."""
        with self._app.connection_for_write() as connection:
            try:
                found = connection.default_channel.queue_declare(queue=self._address.jobs, passive=True)
            except connection.channel_errors:  # an empty queue is none in Redis
                return 0
            return int(found.message_count)

    def worker_answers(self) -> bool:
        """Whether any worker answers now."""
        return bool(self._app.control.ping(timeout=SENDER_PATIENCE, limit=1))

    def reset(self) -> None:
        """Drop all connections, after a failure; the next call makes new ones."""
        broken, self._app = self._app, celery_app(self._address, patience=SENDER_PATIENCE)
        with suppress(Exception):  # closing what is broken may fail in as many ways as using it
            broken.close()

    def close(self) -> None:
        """Drop all connections."""
        with suppress(Exception):
            self._app.close()
