"""Rounds of power cuts; run in a mount namespace of its own by `power_cuts` of this package's test.

    python -m tests.faults.powercut.rounds DIRECTORY ROUNDS SEED -- COMMAND...

Each round makes an ext4 in an image file below DIRECTORY, starts COMMAND with "{disk}" replaced by its mount point,
reads "answered KEY SHA256" lines from it, cuts the power at a random moment after the first answer, mounts the image
again and compares every answered object with its hash. Prints one JSON line: rounds, answered, and what was lost.
"""

import contextlib
import hashlib
import json
import random
import shlex
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.powercut.godown import cut_power

#: How long the longest round writes after its first answer, in seconds.
LONGEST = 0.8


@dataclass(slots=True)
class Tally:
    """What all rounds together have shown. `thumbnails` were found afterwards, the broken ones with wrong bytes."""

    rounds: int = 0
    answered: int = 0
    missing: int = 0
    damaged: int = 0
    rows_lost: int = 0
    objects_damaged: int = 0
    thumbnails: int = 0
    thumbnails_broken: int = 0
    seeds: list[int] = field(default_factory=list)


def sh(command: str, *, directory: Path) -> None:
    subprocess.run(["sh", "-ec", command], cwd=directory, check=True, capture_output=True)


def collect(process: subprocess.Popen[str], answers: list[tuple[str, str]], first: threading.Event) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        # A line that was cut off was not an answer.
        if line.startswith("answered ") and line.endswith("\n"):
            _, key, sha256 = line.split()
            answers.append((key, sha256))
            first.set()
    first.set()


def run_until_cut(command: Sequence[str], *, disk: Path, seconds: float) -> list[tuple[str, str]]:
    """What `command` has answered for when the power went."""
    answers: list[tuple[str, str]] = []
    first = threading.Event()
    process = subprocess.Popen(
        [part.replace("{disk}", str(disk)) for part in command],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    reader = threading.Thread(target=collect, args=(process, answers, first))
    reader.start()
    first.wait(60)
    time.sleep(seconds)
    cut_power(str(disk))
    process.send_signal(signal.SIGKILL)
    reader.join()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
    return answers


def rows(database: Path) -> dict[str, str]:
    if not database.is_file():
        return {}
    with contextlib.closing(sqlite3.connect(database)) as connection:
        try:
            return dict(connection.execute("SELECT key, sha256 FROM images").fetchall())
        except sqlite3.Error:
            return {}


def look(disk: Path, answers: Sequence[tuple[str, str]], tally: Tally) -> None:
    store = disk / "store"
    recorded = rows(disk / "chitram.db")
    for key, sha256 in answers:
        path = store / key
        tally.answered += 1
        tally.missing += not path.is_file()
        tally.damaged += path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() != sha256
        tally.rows_lost += recorded.get(key) != sha256
    for path in (store / "blobs").rglob("*"):
        if path.is_file():
            whole = hashlib.sha256(path.read_bytes()).hexdigest() == path.name.partition(".")[0]
            tally.objects_damaged += not whole
    for path in (store / "thumbs").rglob("*"):
        if path.is_file():
            original = store / path.relative_to(store / "thumbs").parent.parent
            tally.thumbnails += 1
            expected = original.read_bytes()[:20_000] if original.is_file() else None
            tally.thumbnails_broken += expected is not None and path.read_bytes() != expected


def one_round(directory: Path, *, command: Sequence[str], seconds: float, tally: Tally) -> None:
    sh("mkdir -p disk; truncate -s 256M image; mkfs.ext4 -qF image; mount -o loop image disk", directory=directory)
    disk = directory / "disk"
    try:
        # Work goes on in a sub-directory that is on the disk for sure, so that only the command's own care counts.
        sh("mkdir -p disk/data; sync", directory=directory)
        answers = run_until_cut(command, disk=disk / "data", seconds=seconds)
    finally:
        sh("umount disk", directory=directory)
    sh("mount -o loop image disk", directory=directory)
    try:
        look(disk / "data", answers, tally)
    finally:
        sh("umount disk", directory=directory)
    tally.rounds += 1


def main() -> None:
    directory, rounds, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    command = sys.argv[sys.argv.index("--") + 1 :]
    assert command, f"no command in {shlex.join(sys.argv)}"
    tally = Tally()
    source = random.Random(seed)
    for _ in range(rounds):
        one_round(directory, command=command, seconds=source.uniform(0, LONGEST), tally=tally)
    tally.seeds.append(seed)
    print(json.dumps({name: getattr(tally, name) for name in Tally.__slots__}))


if __name__ == "__main__":
    main()
