"""Whatever is done in whatever order, crashes included: nothing reachable is lost, nobody gets at what is another's."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.counts import count
from tests.properties.account_machine import AccountMachine
from tests.properties.store_machine import StoreMachine

#: Of a failure the shortest sequence is looked for, which takes minutes; in seconds.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(count(1800, 14_400))]


class BackgroundMachine(StoreMachine):
    """The same where thumbnails are made by jobs."""

    mode = "background"


def play(machine: type[StoreMachine], *, examples: int) -> None:
    """Random sequences of what the machine can do."""
    machine.steps = machine.crashes = 0
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=count(30, 60),
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.explicit, Phase.generate, Phase.shrink),
        ),
    )
    assert machine.crashes


@pytest.mark.parametrize("machine", [StoreMachine, BackgroundMachine])
def test_no_sequence_of_events_loses_bytes(machine, proof):
    play(machine, examples=count(3, 400))
    proof.record(
        "No row without its bytes",
        f"random sequences of events, {machine.mode} thumbnails: checked states, crashes among them",
        f"{machine.steps}, {machine.crashes}",
    )


def test_no_sequence_of_events_gives_away_what_is_somebodys(proof):
    AccountMachine.refusals = 0
    play(AccountMachine, examples=count(4, 500))
    assert AccountMachine.refusals
    proof.record(
        "Everyone sees and keeps what is theirs, and no more than their quota",
        "random sequences of events with accounts: checked states, crashes among them, refusals",
        f"{AccountMachine.steps}, {AccountMachine.crashes}, {AccountMachine.refusals}",
    )
