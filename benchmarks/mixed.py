"""People who look and upload at the same time: `python -m benchmarks mixed [DIRECTORY]`.

1000 connections that are kept, each thinking 5 s: 70 % thumbnails, 20 % metadata, 5 % originals, 5 % uploads, about 200
requests a second; then the same people thinking 2 and 1 s, which is more uploads than the machine can decode: the rest
is to be turned away, and what is served must not become less. Peer: a FastAPI service, under the first load. The crowd
runs on the same cores as the server. DIRECTORY may hold photographs; otherwise one of 6 megapixels is generated.
"""

import argparse
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.peers import framework
from benchmarks.rig.photographs import Variants, generated, photographs
from benchmarks.rig.servers import Running, asgi, chitram
from benchmarks.rig.tables import machine, table, verdict
from benchmarks.rig.uploading import connect, upload
from benchmarks.rig.users import MIX, Crowd, Traffic, run

USERS, THINK, IMAGES = 1000, 5.0, 40
READ_TARGET, UPLOAD_TARGET, GOODPUT_TARGET = 20.0, 300.0, 0.90
READS = ("thumbnail", "metadata", "original")


def stock(server: Running, variants: Variants) -> tuple[str, ...]:
    """Paths of images that are there before."""
    paths = []
    with connect(server) as connection:
        for _ in range(IMAGES):
            status, answer = upload(connection, variants.next())
            assert status == 201, answer
            paths.append(f"/api/v1/images/{answer['id']}")
    return tuple(paths)


def report(name: str, traffic: Traffic) -> None:
    """Print the figures of one crowd."""
    rows = [
        [
            kind,
            f"{len(outcome.seconds) / traffic.seconds:.1f}",
            *(f"{traffic.p(share, kind):.1f}" for share in (0.5, 0.95, 0.99)),
            str(outcome.shed),
            str(outcome.errors),
        ]
        for kind, outcome in traffic.outcomes.items()
    ]
    print(f"\n{name}: {traffic.goodput:.0f} requests/s served, {traffic.cpu:.2f} cores")
    print(table(["", "served/s", "p50 ms", "p95 ms", "p99 ms", "turned away", "errors"], rows))


def judge(calm: Traffic, loads: Sequence[Traffic]) -> None:
    """Print what became of the targets."""
    reads, uploads = calm.p(0.95, *READS), calm.p(0.95, "upload")
    print(f"\nreads, p95 ms: {verdict(reads, at_most=READ_TARGET)}")
    print(f"uploads, p95 ms: {verdict(uploads, at_most=UPLOAD_TARGET)}")
    print(f"errors: {calm.errors}, turned away: {calm.shed}")
    peak = max(load.goodput for load in loads)
    kept = verdict(loads[-1].goodput / peak, at_least=GOODPUT_TARGET)
    print(f"served at five times the load, of the most at any: {kept}")


def main(argv: Sequence[str] = ()) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="mixed", description=__doc__)
    parser.add_argument("photographs", nargs="?", type=Path)
    parser.add_argument("--seconds", type=float, default=8, help="of each load")
    parser.add_argument("--users", type=int, default=USERS)
    parser.add_argument("--quick", action="store_true", help="fewer people, shorter")
    options = parser.parse_args(argv)
    if options.quick:
        options.seconds, options.users = 3, 200
    photos = photographs(options.photographs) if options.photographs else [generated(megapixels=6)]
    variants = Variants(photos)
    print(
        f"{machine()}; {options.users} users, uploads of {variants.mean_size:,.0f} bytes; "
        + ", ".join(f"{k} {v} %" for k, v in MIX.items())
    )
    per_address = {"MAX_CONNECTIONS_PER_ADDRESS": str(options.users + 50)}
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        root = Path(directory)
        slots = {
            "UPLOAD_CONCURRENCY_LIMIT": "10",
            "UPLOAD_CONCURRENCY_PER_ADDRESS": "10",
            "UPLOAD_CONCURRENCY_TIMEOUT": "2",
        }
        ours = stack.enter_context(chitram(root / "ours", **per_address, **slots))
        environment = {framework.DIRECTORY: str(root / "peer")}
        peer = stack.enter_context(asgi("benchmarks.peers.framework:application", environment=environment))
        paths, theirs = stock(ours, variants), stock(peer, variants)
        found = []
        for times, think in ((1, THINK), (2.5, THINK / 2.5), (5, THINK / 5)):
            crowd = Crowd(ours, paths, variants.next, options.users, think)
            found.append(run(crowd, warm_up=think * 1.2, seconds=options.seconds))
            report(f"chitram, {times:g} times the load", found[-1])
        crowd = Crowd(peer, theirs, variants.next, options.users, THINK)
        report("framework (peer)", run(crowd, warm_up=THINK * 1.2, seconds=options.seconds))
        judge(found[0], found)
