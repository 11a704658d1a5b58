"""From the start of the process to the first answer, and memory at rest: `python -m benchmarks start`.

Limit: uvicorn with a constant answer, the same way. First starts make the database, later ones find it. Memory is the
proportional share (PSS) of all processes, decoders included, once they are all up and quiet.
"""

import argparse
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from tests.factories.servers import clean_environment, command, free_port

from benchmarks.peers import plain
from benchmarks.rig.fetching import fetch, seconds_until_answer
from benchmarks.rig.processes import cpu_seconds, family, pss
from benchmarks.rig.servers import asgi
from benchmarks.rig.tables import machine, spread, table, verdict

START_TARGET, MEMORY_TARGET = 1.5, 120.0
MIB = 1024 * 1024


@contextmanager
def started(directory: Path) -> Iterator[tuple[float, int]]:
    """A server of ours: seconds until it answered, and its process id."""
    port = free_port()
    with (directory / "server.log").open("ab") as log:
        begun = time.perf_counter()
        process = subprocess.Popen(
            command("serve", "--port", str(port)),
            env=clean_environment(DATA_DIR=str(directory / "data")),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        seconds_until_answer(f"http://127.0.0.1:{port}/health")
        yield time.perf_counter() - begun, process.pid
    finally:
        process.terminate()
        process.wait()


def settle(pid: int) -> None:
    """Wait until the processes have stopped working."""
    before = -1.0
    while (now := cpu_seconds(family(pid))) != before:
        before = now
        time.sleep(0.5)


def measure(directory: Path, *, memory: bool) -> tuple[float, list[tuple[int, int]]]:
    """Seconds to the answer; and, with `memory`, each process with its bytes."""
    with started(directory) as (seconds, pid):
        if not memory:
            return seconds, []
        settle(pid)
        return seconds, [(member, pss([member])) for member in family(pid)]


def limit(root: Path) -> float:
    """Seconds until a server with nothing behind it answers."""
    body = root / "body"
    body.write_bytes(b"{}")
    begun = time.perf_counter()
    with asgi("benchmarks.peers.plain:constant", environment={plain.BODY: str(body)}) as server:
        fetch(server.url + "/")
        return time.perf_counter() - begun


def main(argv: Sequence[str] = ()) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round")
    options = parser.parse_args(argv)
    rounds = 1 if options.quick else options.rounds
    print(machine())
    first, later, bare, memory = [], [], [], []
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as directory:
            root = Path(directory)
            bare.append(limit(root))
            first.append(measure(root, memory=False)[0])
            seconds, members = measure(root, memory=number < 3)
            later.append(seconds)
            if members:
                memory.append(members)
    print(
        table(
            ["", "seconds"],
            [
                ["nothing behind it (limit)", spread(bare)],
                ["first start", spread(first)],
                ["later start", spread(later)],
            ],
        )
    )
    print(f"first start: {verdict(median(first), at_most=START_TARGET)} s")
    print(f"later start: {verdict(median(later), at_most=START_TARGET)} s")
    totals = [sum(size for _, size in members) / MIB for members in memory]
    names = ("server", "fork server", *("decoder" for _ in memory[0][2:]))
    print(", ".join(f"{name} {size / MIB:.1f} MiB" for name, (_, size) in zip(names, memory[0], strict=True)))
    print(f"at rest, all processes: {verdict(median(totals), at_most=MEMORY_TARGET)} MiB")
