"""Uploads end to end over HTTP, durable, three sizes and hashes: `python -m benchmarks upload [DIRECTORY]`.

Limit: the same bytes through the same pipeline in as many processes as there are cores, hashed, written and synced,
file and directory, without HTTP, database or sandbox. Peer: a small FastAPI service that makes one size and syncs
nothing. 16 clients on the same cores; every upload is a picture of its own. CPU is that of all processes of a server,
decoders included. DIRECTORY may hold photographs; otherwise one is generated. Rounds are interleaved; medians of rounds
and of their ratios.
"""

import argparse
import hashlib
import mmap
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.peers import framework
from benchmarks.rig.photographs import Variants, photographs
from benchmarks.rig.servers import asgi, chitram
from benchmarks.rig.tables import machine, ratio, spread, table, verdict
from benchmarks.rig.uploading import Burst, burst
from chitram.adapters.codec import decoding, pipeline
from chitram.domain.media import Budget

CPU_TARGET, PEER_TARGET = 1.4, 1.5
BUDGET = Budget(frozenset({"image/jpeg", "image/png"}), 100_000_000, 500, 500_000_000)


def keep_bare(directory: Path, data: bytes) -> float:
    """Do to one picture what no durable upload avoids; seconds of CPU."""
    started = time.process_time()
    path = directory / f"{os.getpid()}-{time.perf_counter_ns()}"
    with path.open("wb+") as file:
        file.write(data)
        file.flush()
        hashlib.sha256(data).hexdigest()
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view:
            pipeline.ingest(view, budget=BUDGET, strip_metadata=True)
        os.fsync(file.fileno())
    descriptor = os.open(directory, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    return time.process_time() - started


def burst_bare(pool: ProcessPoolExecutor, directory: Path, picture: Callable[[], bytes], *, uploads: int) -> Burst:
    """The limit."""
    pictures = [picture() for _ in range(uploads)]
    started = time.perf_counter()
    cpu = list(pool.map(partial(keep_bare, directory), pictures))
    return Burst(uploads / (time.perf_counter() - started), sum(cpu) / uploads, 0.0, 0)


def compare(root: Path, variants: Variants, *, rounds: int, uploads: int, clients: int) -> dict[str, list[Burst]]:
    """Rounds by name."""
    bare = root / "bare"
    bare.mkdir()
    with ExitStack() as stack:
        ours = stack.enter_context(chitram(root / "ours"))
        environment = {framework.DIRECTORY: str(root / "peer")}
        peer = stack.enter_context(asgi("benchmarks.peers.framework:application", environment=environment))
        pool = stack.enter_context(ProcessPoolExecutor(os.cpu_count(), initializer=decoding.preload))
        cases: dict[str, Callable[[], Burst]] = {
            "no HTTP (limit)": lambda: burst_bare(pool, bare, variants.next, uploads=uploads),
            "chitram": lambda: burst(ours, variants.next, uploads=uploads, clients=clients),
            "framework (peer)": lambda: burst(peer, variants.next, uploads=uploads, clients=clients),
        }
        for run in cases.values():
            run()  # the first round warms up
        found: dict[str, list[Burst]] = {name: [] for name in cases}
        for _ in range(rounds):
            for name, run in cases.items():
                found[name].append(run())
        return found


def report(found: dict[str, list[Burst]]) -> None:
    """Print the figures and their ratios."""
    rows = [
        [
            name,
            spread([burst.rate for burst in bursts]),
            spread([burst.cpu * 1e3 for burst in bursts]),
            f"{median(burst.median for burst in bursts) * 1e3:.0f}",
            str(sum(burst.failures for burst in bursts)),
        ]
        for name, bursts in found.items()
    ]
    print(table(["", "uploads/s", "CPU ms an upload", "median ms", "failures"], rows))
    rates = [[burst.rate for burst in bursts] for bursts in found.values()]
    cpu = [[burst.cpu for burst in bursts] for bursts in found.values()]
    print(f"CPU, of the limit's: {verdict(ratio(cpu[1], cpu[0]), at_most=CPU_TARGET)}")
    print(f"rate, of the limit's: {ratio(rates[1], rates[0]):.2f}")
    print(f"rate, of the peer's: {verdict(ratio(rates[1], rates[2]), at_least=PEER_TARGET)}")
    print(f"CPU, of the peer's: {ratio(cpu[1], cpu[2]):.2f}")


def main(argv: Sequence[str] = ()) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="upload", description=__doc__)
    parser.add_argument("photographs", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--uploads", type=int, default=96, help="of one server in one round")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--quick", action="store_true", help="one short round")
    options = parser.parse_args(argv)
    if options.quick:
        options.rounds, options.uploads = 1, 32
    variants = Variants(photographs(options.photographs))
    print(f"{machine()}; {options.clients} clients, files of {variants.mean_size:,.0f} bytes")
    with tempfile.TemporaryDirectory() as directory:
        report(
            compare(Path(directory), variants, rounds=options.rounds, uploads=options.uploads, clients=options.clients)
        )
