"""Calling workers: nobody waits for the broker, and what it did not take is sent when it is back."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from chitram.adapters.jobs import celery_signal
from chitram.adapters.jobs.celery_signal import BURST, CelerySignal
from chitram.adapters.memory.clock import SystemClock


class Broker:
    """One that can be away, and one that can hang."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.tries = 0
        self.away = False
        self.answers = True
        self.go_on = threading.Event()
        self.go_on.set()
        self.resets = 0
        self.closed = False

    def send(self, count: int) -> None:
        if not count:  # as the real one, which then has nothing to say
            return
        self.tries += 1
        self.go_on.wait(20)
        if self.away:
            raise ConnectionError("refused")
        self.sent.append(count)

    def worker_answers(self) -> bool:
        if self.away:
            raise ConnectionError("refused")
        return self.answers

    def reset(self) -> None:
        self.resets += 1

    def close(self) -> None:
        self.closed = True


class Observer:
    def __init__(self) -> None:
        self.announced = 0
        self.failed = 0
        self.answered: list[bool] = []

    def jobs_announced(self, count: int) -> None:
        self.announced += count

    def announcement_failed(self) -> None:
        self.failed += 1

    def worker_asked(self, *, answered: bool) -> None:
        self.answered.append(answered)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(celery_signal, "FAILURE_PAUSE", 0.01)
    monkeypatch.setattr(celery_signal, "LONGEST_PAUSE", 0.05)
    monkeypatch.setattr(celery_signal, "UNANSWERED_INTERVAL", 0.02)
    monkeypatch.setattr(celery_signal, "QUESTION_INTERVAL", 0.05)


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def observer() -> Observer:
    return Observer()


@asynccontextmanager
async def opened(broker: Broker, observer: Observer, *, watch: bool = False) -> AsyncIterator[CelerySignal]:
    signal = CelerySignal(broker, clock=SystemClock(), observer=observer, watch=watch)
    if watch:
        signal.start()
    try:
        yield signal
    finally:
        broker.go_on.set()
        await signal.aclose()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_call_is_sent_soon(broker, observer):
    async with opened(broker, observer) as signal:
        await signal.wake()
        await until(lambda: broker.sent == [1])
        await signal.wake()
        await until(lambda: sum(broker.sent) == 2)
    assert (observer.announced, observer.failed) == (2, 0)
    assert broker.closed


async def test_nobody_waits_for_a_broker_that_hangs(broker, observer):
    broker.go_on.clear()
    async with opened(broker, observer) as signal:
        await signal.wake()
        await until(lambda: broker.tries)
        for _ in range(50):
            await signal.wake()
        assert broker.sent == []
        broker.go_on.set()
        await until(lambda: sum(broker.sent) == 51)


async def test_what_a_broker_that_was_away_did_not_take_is_sent_when_it_is_back(broker, observer, caplog):
    caplog.set_level("INFO")
    broker.away = True
    async with opened(broker, observer) as signal:
        for _ in range(3):
            await signal.wake()
        await until(lambda: broker.tries >= 3)
        broker.away = False
        await until(lambda: sum(broker.sent) == 3)
    assert observer.failed == broker.resets >= 3
    assert caplog.text.count("the job broker is away") == 1
    assert caplog.text.count("the job broker is back") == 1


async def test_one_that_watches_a_broker_that_is_away_says_so_once(broker, observer, caplog):
    caplog.set_level("INFO")
    broker.away = True
    async with opened(broker, observer, watch=True):
        await until(lambda: observer.failed >= 5)
        broker.away = False
        await until(lambda: observer.answered[-1])
    assert caplog.text.count("the job broker is away") == 1
    assert caplog.text.count("the job broker is back") == 1


async def test_of_very_many_calls_a_burst_is_sent(broker, observer):
    broker.go_on.clear()
    async with opened(broker, observer) as signal:
        await signal.wake()
        await until(lambda: broker.tries)
        for _ in range(3 * BURST):
            await signal.wake()
        broker.go_on.set()
        await until(lambda: sum(broker.sent) > BURST)
        await signal.wake()
        await until(lambda: len(broker.sent) == 3)
    assert broker.sent == [1, BURST, 1]


async def test_at_the_end_what_was_promised_is_sent_and_a_broker_that_hangs_holds_nobody(broker, observer, monkeypatch):
    monkeypatch.setattr(celery_signal, "CLOSING_PATIENCE", 0.05)
    broker.go_on.clear()
    signal = CelerySignal(broker, clock=SystemClock(), observer=observer, watch=False)
    await signal.wake()
    await until(lambda: broker.tries)
    await signal.wake()
    await signal.aclose()
    assert broker.sent == []
    broker.go_on.set()
    await until(lambda: sum(broker.sent) == 2 and broker.closed)


async def test_one_that_was_never_used_ends_at_once(broker, observer):
    async with opened(broker, observer):
        pass
    assert (broker.tries, broker.closed) == (0, False)


async def test_watching_tells_whether_a_worker_answers(broker, observer):
    broker.answers = False
    async with opened(broker, observer, watch=True) as signal:
        await until(lambda: len(observer.answered) >= 3)
        assert not signal.worker_answers()
        broker.answers = True
        await until(signal.worker_answers)
        broker.away = True
        await until(lambda: not signal.worker_answers())
        broker.away = False
        await until(signal.worker_answers)
    assert set(observer.answered[:3]) == {False}
    assert observer.answered[-1] is True


async def test_questions_are_not_asked_with_every_call(broker, observer, monkeypatch):
    monkeypatch.setattr(celery_signal, "QUESTION_INTERVAL", 60.0)
    async with opened(broker, observer, watch=True) as signal:
        await until(signal.worker_answers)
        for number in range(20):
            await signal.wake()
            await until(lambda wanted=number + 1: sum(broker.sent) == wanted)
    assert observer.answered == [False, True]
