"""Thumbnails and originals from the bare server: `python -m benchmarks serving [DIRECTORY]`.

Limit: nginx, one worker, the same bytes by sendfile. Peer: FastAPI's FileResponse, without any access check. Load: wrk,
one thread, 32 connections, on the same cores as the servers: the fewer there are, the more they all wait for it.
DIRECTORY may hold photographs; otherwise one is generated. Rounds are interleaved; medians of rounds and of their
ratios.
"""

import argparse
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import framework
from benchmarks.rig.fetching import fetch
from benchmarks.rig.photographs import photographs
from benchmarks.rig.servers import Running, asgi, chitram, nginx
from benchmarks.rig.tables import machine, ratio, verdict
from benchmarks.rig.uploading import connect, upload
from benchmarks.rig.wrk import Load, load_table, wrk

#: Bytes of the thumbnail that is asked for, about.
TYPICAL = 20_000
#: Of nginx's rate.
TARGETS = {"thumbnail": 0.20, "original": 0.90}


@dataclass(frozen=True, slots=True)
class Contest:
    """The same bytes from three servers, each with the path there."""

    name: str
    size: int
    servers: dict[str, tuple[Running, str]]


def prepare(stack: ExitStack, root: Path, *, photo: bytes) -> list[Contest]:
    """Start all servers with the same photograph behind each."""
    ours = stack.enter_context(chitram(root / "ours"))
    peer = stack.enter_context(
        asgi("benchmarks.peers.framework:application", environment={framework.DIRECTORY: str(root / "peer")})
    )
    paths = {name: f"/api/v1/images/{image_id(server, photo)}" for name, server in (("ours", ours), ("peer", peer))}
    sizes = {size: fetch(f"{ours.url}{paths['ours']}/thumbnail?size={size}") for size in (150, 300, 600)}
    size, thumbnail = min(sizes.items(), key=lambda item: abs(len(item[1]) - TYPICAL))
    files = root / "files"
    files.mkdir()
    (files / "thumbnail").write_bytes(thumbnail)
    (files / "file").write_bytes(photo)
    next((root / "peer").glob("*.thumbnail.jpg")).write_bytes(thumbnail)
    limit = stack.enter_context(nginx(files, path="/thumbnail"))
    contests = []
    for name, path, query, body in (
        ("thumbnail", "/thumbnail", f"?size={size}", thumbnail),
        ("original", "/file", "", photo),
    ):
        servers = {
            "nginx (limit)": (limit, path),
            "chitram": (ours, f"{paths['ours']}{path}{query}"),
            "FileResponse (peer)": (peer, f"{paths['peer']}{path}"),
        }
        contests.append(Contest(name, len(body), servers))
    return contests


def image_id(server: Running, photo: bytes) -> str:
    """The id of the uploaded photograph."""
    with connect(server) as connection:
        status, answer = upload(connection, photo)
    assert status == 201, answer
    return str(answer["id"])


def run(contest: Contest, *, rounds: int, seconds: float) -> dict[str, list[Load]]:
    """Rounds of load by name of the server."""
    loads: dict[str, list[Load]] = {name: [] for name in contest.servers}
    for _ in range(rounds):
        for name, (server, path) in contest.servers.items():
            loads[name].append(wrk(server, path, seconds=seconds))
    return loads


def report(contest: Contest, loads: dict[str, list[Load]]) -> None:
    """Print the figures and their ratios."""
    limit, ours, peer = ([load.rate for load in found] for found in loads.values())
    print(f"\n{contest.name}, {contest.size:,} bytes")
    print(load_table(loads, limit=next(iter(loads))))
    print(f"{ratio(ours, peer):.1f} times the peer")
    print(f"of the limit: {verdict(ratio(ours, limit), at_least=TARGETS[contest.name])}")


def main(argv: Sequence[str] = ()) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="serving", description=__doc__)
    parser.add_argument("photographs", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2, help="of one server in one round")
    parser.add_argument("--quick", action="store_true", help="one short round")
    options = parser.parse_args(argv)
    if options.quick:
        options.rounds, options.seconds = 1, 1
    photos = photographs(options.photographs)
    photo = min(photos, key=lambda data: abs(len(data) - 3_000_000))
    print(machine())
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        for contest in prepare(stack, Path(directory), photo=photo):
            report(contest, run(contest, rounds=options.rounds, seconds=options.seconds))
