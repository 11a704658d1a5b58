"""The circuit breaker: when it opens, who may try, and what closes it again."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chitram.adapters.breaker import Breaker, BreakerState
from chitram.adapters.memory.clock import ManualClock

PAUSE = 10.0


class Watched:
    """A breaker that opens after three failures, its clock, and every state that it said it had taken."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.changes: list[str] = []
        self.breaker = Breaker(failures=3, pause=PAUSE, clock=self.clock, on_change=self.changes.append)

    def fail(self, times: int = 1) -> None:
        for _ in range(times):
            self.breaker.failed(self.admitted())

    def admitted(self) -> object:
        admitted = self.breaker.admit()
        assert admitted is not None
        return admitted

    def wait(self, seconds: float = PAUSE) -> None:
        self.clock.advance(timedelta(seconds=seconds))


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_it_opens_after_failures_in_a_row(watched: Watched):
    watched.fail(2)
    watched.breaker.succeeded(watched.admitted())
    watched.fail(2)
    assert (watched.breaker.state, watched.changes) == (BreakerState.CLOSED, [])
    watched.fail()
    assert (watched.breaker.state, watched.changes) == (BreakerState.OPEN, ["open"])
    assert watched.breaker.admit() is None


def test_after_the_pause_one_may_try(watched: Watched):
    watched.fail(3)
    watched.wait(PAUSE - 0.1)
    assert watched.breaker.admit() is None
    watched.wait(0.1)
    trial = watched.admitted()
    assert [watched.breaker.admit() for _ in range(3)] == [None] * 3
    watched.breaker.succeeded(trial)
    assert watched.changes == ["open", "half_open", "closed"]
    # It begins anew to count.
    watched.fail(2)
    assert watched.breaker.state is BreakerState.CLOSED


def test_a_trial_that_fails_begins_another_pause(watched: Watched):
    watched.fail(3)
    watched.wait()
    trial = watched.admitted()
    watched.wait(5)
    watched.breaker.failed(trial)
    watched.wait(PAUSE - 1)
    assert watched.breaker.admit() is None
    watched.wait(1)
    assert watched.breaker.admit() is not None


def test_after_a_trial_that_was_given_up_the_next_may_try_at_once(watched: Watched):
    watched.fail(3)
    watched.wait()
    watched.breaker.abandoned(watched.admitted())
    assert watched.breaker.state is BreakerState.OPEN
    watched.breaker.succeeded(watched.admitted())
    assert watched.breaker.state is BreakerState.CLOSED


def test_what_began_before_says_nothing_of_the_trial(watched: Watched):
    early = [watched.admitted() for _ in range(4)]
    watched.fail(3)
    watched.breaker.succeeded(early[0])
    assert watched.breaker.state is BreakerState.OPEN
    watched.wait()
    trial = watched.admitted()
    watched.breaker.failed(early[1])
    watched.breaker.succeeded(early[2])
    watched.breaker.abandoned(early[3])
    assert watched.breaker.state is BreakerState.HALF_OPEN
    watched.breaker.succeeded(trial)
    assert watched.breaker.state is BreakerState.CLOSED


def test_setting_the_clock_changes_nothing(watched: Watched):
    watched.fail(3)
    watched.clock.jump(timedelta(hours=1))
    assert watched.breaker.admit() is None
    watched.clock.jump(timedelta(hours=-5))
    watched.wait()
    assert watched.breaker.admit() is not None


@given(st.lists(st.sampled_from(["admit", "succeed", "fail", "abandon", "wait"]), max_size=80))
def test_while_it_is_not_closed_never_more_than_one_is_admitted(steps: list[str]):
    """Nobody is shut out for good either: whatever happened, somebody may try after a pause."""
    watched = Watched()
    out: list[tuple[object, BreakerState]] = []
    report = {
        "succeed": watched.breaker.succeeded, "fail": watched.breaker.failed, "abandon": watched.breaker.abandoned,
    }  # fmt: skip
    for step in steps:
        if step == "admit":
            admitted = watched.breaker.admit()
            if admitted is not None:
                out.append((admitted, watched.breaker.state))
        elif step == "wait":
            watched.wait()
        elif out:
            report[step](out.pop(0)[0])
        trials = [admitted for admitted, state in out if state is BreakerState.HALF_OPEN]
        if watched.breaker.state is BreakerState.HALF_OPEN:
            assert trials
    for admitted, _ in out:
        watched.breaker.abandoned(admitted)
    watched.wait()
    assert watched.breaker.admit() is not None
