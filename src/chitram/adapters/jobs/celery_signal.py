"""Calling workers after a commit, without ever waiting for the broker."""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Protocol

from chitram.ports.clock import Clock

logger = logging.getLogger(__name__)

#: A worker is called at most so often at a time; beyond that, whoever sweeps calls for the rest.
BURST = 100
#: The broker is left alone for so long after a failure, in seconds, and for twice as long after each further one.
FAILURE_PAUSE, LONGEST_PAUSE = 2.0, 30.0
#: A worker is asked for an answer this often, in seconds, and sooner when none has answered.
QUESTION_INTERVAL, UNANSWERED_INTERVAL = 15.0, 3.0
#: What was not sent yet has so long at the end, in seconds; after that it is for the sweep.
CLOSING_PATIENCE = 3.0


class Broker(Protocol):
    """What carries messages. Its methods block, and raise whatever its libraries raise when it is away."""

    def send(self, count: int) -> None:
        """Call workers to look at the outbox, `count` times."""
        ...

    def worker_answers(self) -> bool:
        """Whether any worker answers now."""
        ...

    def reset(self) -> None:
        """Start anew, after a failure."""
        ...

    def close(self) -> None: ...


class MessageObserver(Protocol):
    """Hears of messages to workers, and whether there are any."""

    def jobs_announced(self, count: int) -> None: ...

    def announcement_failed(self) -> None: ...

    def worker_asked(self, *, answered: bool) -> None: ...


class CelerySignal:
    """ports.jobs.JobSignal. A thread sends what was asked for, so that a request waits for no broker.

    While the broker is away, calls are counted and sent when it is back. They may be lost with the process: the rows
    are in the outbox, and the workers' own sweep calls for rows that nobody was called for. `watch`: also ask now and
    then whether a worker is there at all.
    """

    def __init__(self, broker: Broker, *, clock: Clock, observer: MessageObserver, watch: bool) -> None:
        self._broker = broker
        self._clock = clock
        self._observer = observer
        self._watch = watch
        self._lock = threading.Lock()
        self._promised = 0
        self._called = threading.Event()
        self._stopped = threading.Event()
        self._failures = 0
        self._answered = False
        self._question_at = float("-inf")
        self._thread: threading.Thread | None = None

    async def wake(self) -> None:
        """Have a worker called. Returns at once."""
        with self._lock:
            self._promised += 1
        self._called.set()
        self.start()

    def start(self) -> None:
        """Start the thread unless it runs: whoever watches does so before there is anything to send."""
        if self._thread is None:
            self._hear(answered=False)  # so that there is a figure before the first answer
            # A daemon: a broker that hangs must not keep the process.
            self._thread = threading.Thread(target=self._run, name="job-messages", daemon=True)
            self._thread.start()

    def worker_answers(self) -> bool:
        """Whether a worker answered when one was last asked."""
        return self._answered

    async def aclose(self) -> None:
        """Send what was promised, if the broker takes it at once, and end the thread."""
        self._stopped.set()
        self._called.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, CLOSING_PATIENCE)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._called.clear()
            if self._attempt(self._send) and self._attempt(self._ask):
                self._called.wait(self._patience())
            else:
                self._stopped.wait(min(FAILURE_PAUSE * 2.0 ** (self._failures - 1), LONGEST_PAUSE))
        self._attempt(self._send)
        self._broker.close()

    def _attempt(self, act: Callable[[], bool]) -> bool:
        """Do `act`, which says whether the broker was needed for it; False when it is away, which is logged once."""
        try:
            if not act():
                return True
        except Exception as error:  # noqa: BLE001  # kombu, redis and the socket below them each have errors of their own
            self._observer.announcement_failed()
            self._hear(answered=False)
            self._question_at = float("-inf")
            if not self._failures:
                logger.warning("the job broker is away, jobs wait: %s: %s", type(error).__name__, error)
            self._failures = min(self._failures + 1, 20)  # more make no difference
            self._broker.reset()
            return False
        if self._failures:
            logger.info("the job broker is back")
        self._failures = 0
        return True

    def _send(self) -> bool:
        with self._lock:
            count = min(self._promised, BURST)
        if not count:
            return False
        self._broker.send(count)
        with self._lock:
            # Of more than a burst the rest need not be called for: whoever comes looks for more, and a sweep does.
            self._promised = 0 if count == BURST else self._promised - count
        self._observer.jobs_announced(count)
        return True

    def _ask(self) -> bool:
        if not self._watch or self._clock.monotonic() < self._question_at:
            return False
        self._hear(answered=self._broker.worker_answers())
        interval = QUESTION_INTERVAL if self._answered else UNANSWERED_INTERVAL
        self._question_at = self._clock.monotonic() + interval
        return True

    def _patience(self) -> float | None:
        """How long there is nothing to do unless somebody calls; None: for ever."""
        return max(0.0, self._question_at - self._clock.monotonic()) if self._watch else None

    def _hear(self, *, answered: bool) -> None:
        self._answered = answered
        if self._watch:
            self._observer.worker_asked(answered=answered)
