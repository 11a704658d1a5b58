"""Metadata of images, cached and not: `python -m benchmarks metadata`.

10,000 images, asked for by Zipf's law once each has been. Limits: a constant answer, and the row alone from the driver,
in plain ASGI on the same server. Peer: FastAPI and an ORM, one row. Load: wrk, one thread, 32 connections, on the same
cores. Rounds are interleaved; medians of rounds and of their ratios.
"""

import argparse
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.peers import framework, plain
from benchmarks.rig.fetching import fetch, fetch_all
from benchmarks.rig.photographs import generated
from benchmarks.rig.rows import image_id, prepare_data
from benchmarks.rig.servers import Running, asgi, chitram
from benchmarks.rig.tables import machine, ratio, verdict
from benchmarks.rig.uploading import connect, upload
from benchmarks.rig.wrk import Load, load_table, wrk, zipf_script

TARGET = 0.60
ROWS = 10_000
PATH = "/api/v1/images/"

#: Name → server, path, script that draws other paths.
Cases = dict[str, tuple[Running, str, Path | None]]


def prepare(stack: ExitStack, root: Path) -> Cases:
    """Start every server."""
    prepare_data(root / "ours", rows=ROWS)
    data = root / "ours" / "data"
    environment = {
        plain.BODY: os.fspath(root / "body.json"),
        plain.DATABASE: os.fspath(root / "chitram.db"),
        framework.DIRECTORY: os.fspath(root / "peer"),
    }
    shutil.copyfile(data / "chitram.db", root / "chitram.db")
    uncached = stack.enter_context(chitram(root / "ours", CACHE_ENABLED="false"))
    shutil.copytree(root / "ours", root / "twin")
    cached = stack.enter_context(chitram(root / "twin"))
    path = PATH + image_id(1)
    (root / "body.json").write_bytes(fetch(cached.url + path))
    constant = stack.enter_context(asgi("benchmarks.peers.plain:constant", environment=environment))
    driver = stack.enter_context(asgi("benchmarks.peers.plain:driver", environment=environment))
    peer = stack.enter_context(asgi("benchmarks.peers.framework:application", environment=environment))
    script = zipf_script(root / "zipf.lua", [PATH + image_id(number) for number in range(1, ROWS + 1)])
    return {
        "constant answer (limit)": (constant, path, script),
        "chitram, cached": (cached, path, script),
        "driver alone (limit)": (driver, path, script),
        "chitram, uncached": (uncached, path, script),
        "framework, ORM (peer)": (peer, upload_one(peer), None),
    }


def upload_one(server: Running) -> str:
    """The path of the metadata of a new image."""
    with connect(server) as connection:
        status, answer = upload(connection, generated(megapixels=1))
    assert status == 201, answer
    return f"{PATH}{answer['id']}"


def report(loads: dict[str, list[Load]]) -> None:
    """Print the figures and their ratios."""
    print(load_table(loads))
    constant, cached, driver, uncached, peer = ([load.rate for load in found] for found in loads.values())
    print(f"cached, of the limit: {verdict(ratio(cached, constant), at_least=TARGET)}")
    print(f"uncached, of the limit: {verdict(ratio(uncached, driver), at_least=TARGET)}")
    print(f"cached {ratio(cached, peer):.0f} times the peer, uncached {ratio(uncached, peer):.0f} times")


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
        cases = prepare(stack, Path(directory))
        for name, (server, _, _) in cases.items():
            if "chitram" in name:
                fetch_all(server, [PATH + image_id(number) for number in range(1, ROWS + 1)])
        loads: dict[str, list[Load]] = {name: [] for name in cases}
        for _ in range(options.rounds):
            for name, (server, path, script) in cases.items():
                loads[name].append(wrk(server, path, seconds=options.seconds, script=script))
        report(loads)
