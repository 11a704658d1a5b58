"""Metadata of one image, cached and not: `python -m benchmarks metadata`.

Limits: a constant answer of the same length, and the row alone from the driver, in plain ASGI on the same server. Peer:
FastAPI and an ORM, one row. Load: wrk, one thread, 32 connections, on the same cores. Rounds are interleaved; medians.
"""

import argparse
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from benchmarks.peers import framework, plain
from benchmarks.rig.fetching import fetch
from benchmarks.rig.photographs import generated
from benchmarks.rig.servers import Running, asgi, chitram
from benchmarks.rig.tables import machine, spread, table, verdict
from benchmarks.rig.uploading import connect, upload
from benchmarks.rig.wrk import Load, wrk

TARGET = 0.60


def upload_one(server: Running, photo: bytes) -> str:
    """The path of the metadata of a new image."""
    with connect(server) as connection:
        status, answer = upload(connection, photo)
    assert status == 201, answer
    return f"/api/v1/images/{answer['id']}"


def prepare(stack: ExitStack, root: Path) -> dict[str, str]:
    """Start every server; the addresses by name."""
    photo = generated(megapixels=1)
    cached = stack.enter_context(chitram(root / "cached"))
    uncached = stack.enter_context(chitram(root / "uncached", CACHE_ENABLED="false"))
    paths = upload_one(cached, photo), upload_one(uncached, photo)
    body = root / "body.json"
    body.write_bytes(fetch(f"{cached.url}{paths[0]}"))
    # The driver reads a copy, so that no lock of the server's is in its way.
    for name in ("chitram.db", "chitram.db-wal"):
        shutil.copyfile(root / "uncached" / "data" / name, root / name)
    environment = {
        plain.BODY: os.fspath(body),
        plain.DATABASE: os.fspath(root / "chitram.db"),
        framework.DIRECTORY: os.fspath(root / "peer"),
    }
    constant = stack.enter_context(asgi("benchmarks.peers.plain:constant", environment=environment))
    driver = stack.enter_context(asgi("benchmarks.peers.plain:driver", environment=environment))
    peer = stack.enter_context(asgi("benchmarks.peers.framework:application", environment=environment))
    return {
        "constant answer (limit)": f"{constant.url}{paths[0]}",
        "chitram, cached": f"{cached.url}{paths[0]}",
        "driver alone (limit)": f"{driver.url}{paths[1]}",
        "chitram, uncached": f"{uncached.url}{paths[1]}",
        "framework, ORM (peer)": f"{peer.url}{upload_one(peer, photo)}",
    }


def report(loads: dict[str, list[Load]]) -> None:
    """Print the figures and their ratios."""
    rows = [
        [name, spread([load.rate for load in found]), f"{median(load.median for load in found) * 1e3:.2f}",
         f"{median(load.p99 for load in found) * 1e3:.1f}", str(sum(load.failures for load in found))]
        for name, found in loads.items()
    ]  # fmt: skip
    print(table(["", "requests/s", "median ms", "p99 ms", "failures"], rows))
    constant, cached, driver, uncached, peer = (median(load.rate for load in found) for found in loads.values())
    print(f"cached, of the limit: {verdict(cached / constant, target=TARGET, at_least=True)}; {cached / peer:.0f} times the peer")
    print(f"uncached, of the limit: {verdict(uncached / driver, target=TARGET, at_least=True)}; {uncached / peer:.0f} times the peer")


def main(argv: Sequence[str] = ()) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="metadata", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2, help="of one server in one round")
    parser.add_argument("--quick", action="store_true", help="one short round")
    options = parser.parse_args(argv)
    if options.quick:
        options.rounds, options.seconds = 1, 1
    print(machine())
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        urls = prepare(stack, Path(directory))
        loads: dict[str, list[Load]] = {name: [] for name in urls}
        for _ in range(options.rounds):
            for name, url in urls.items():
                loads[name].append(wrk(url, seconds=options.seconds))
        report(loads)
