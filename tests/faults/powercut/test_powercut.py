"""What was answered for survives a power cut, and without any one of the fsyncs it would not."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.counts import count
from tests.faults.small_disk import require_mounting
from tests.proofs import Proof

pytestmark = pytest.mark.soak

DRIVER = (sys.executable, "-m", "tests.faults.powercut.driver", "{disk}")


def power_cuts(
    directory: Path, *, rounds: int, seed: int, command: Sequence[str] = DRIVER, without: str = ""
) -> Mapping[str, int]:
    """Cut the power of a disk `rounds` times while `command` stores images on it; what was found afterwards.

    `command` gets the data directory for "{disk}" and prints "answered KEY SHA256", KEY below its directory `store`.
    """
    require_mounting()
    arguments = [str(directory), str(rounds), str(seed), "--", *command]
    finished = subprocess.run(
        ["unshare", "-m", "--propagation", "private", sys.executable, "-m", "tests.faults.powercut.rounds", *arguments],
        env={**os.environ, "CHITRAM_DRIVER_WITHOUT": without},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    found: Mapping[str, int] = json.loads(finished.stdout)
    return found


@pytest.mark.timeout(3600)
def test_what_was_answered_survives_a_power_cut(tmp_path: Path, proof: Proof):
    rounds = count(10, 200)
    found = power_cuts(tmp_path, rounds=rounds, seed=1)
    assert found["rounds"] == rounds
    assert found["answered"] >= rounds
    assert (found["missing"], found["damaged"], found["rows_lost"]) == (0, 0, 0)
    assert found["objects_damaged"] == 0
    assert found["thumbnails"] > 0
    assert found["thumbnails_broken"] == 0
    proof.record(
        "D1", "answered objects and rows after power cuts, none lost or changed", f"{found['answered']} in {rounds}"
    )


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("without", "what"),
    [
        ("file,directory,parents,thumbnails,database", ("missing", "rows_lost")),
        ("file", ("damaged",)),
        ("database", ("rows_lost",)),
        ("thumbnails", ("thumbnails_broken",)),
    ],
)
def test_without_care_something_would_be_lost(tmp_path: Path, without: str, what: tuple[str, ...]):
    # A missing fsync of a directory alone goes unseen here: ext4 writes its journal as a whole. The order of calls,
    # which tests/faults/test_fsync_order.py looks at, shows that one.
    found = power_cuts(tmp_path, rounds=5, seed=2, without=without)
    assert all(found[kind] > 0 for kind in what), found
