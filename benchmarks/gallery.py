"""Pages of lists with very many images: `python -m benchmarks gallery`.

100,000 public images, all of one account: the gallery's first page, one from its middle, the part of it that htmx asks
for, and the pages of the account. 8 clients ask all the time, compressed, as browsers do. Limit: the same page out of a
constant list, in plain ASGI. Peer: FastAPI, an ORM and OFFSET on the same rows. Then the first and a middle page by the
number of images, which should be flat. Load: wrk on the same cores. Rounds are interleaved; medians of rounds.
"""

import argparse
import html
import json
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from statistics import median

from benchmarks.peers import gallery as peers
from benchmarks.rig.photographs import generated
from benchmarks.rig.rows import prepare_data
from benchmarks.rig.servers import Running, asgi, chitram
from benchmarks.rig.tables import machine, ratio, spread, table, verdict
from benchmarks.rig.uploading import connect, upload
from benchmarks.rig.wrk import Load, wrk

ROWS, GROWTH = 100_000, (1_000, 1_000_000)
CLIENTS, PAGE_SIZE, DEPTH = 8, 24, 12
#: Milliseconds, for every page that people turn; and of the last figure of a curve to its first.
P95_TARGET, FLAT = 150.0, 1.2
EMAIL, PASSWORD = "owner@example.org", "correct horse battery"
_NEXT = re.compile(rb'href="([^"]+)"[^>]* rel="next"')


@dataclass(frozen=True, slots=True)
class Case:
    """A page of a server. `judged`: whether it is to keep to the target."""

    server: Running
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    judged: bool = False

    def load(self, *, seconds: float) -> Load:
        """8 clients that ask all the time."""
        headers = {"Accept-Encoding": "gzip", **self.headers}
        return wrk(self.server, self.path, seconds=seconds, connections=CLIENTS, headers=headers)


def ask(
    server: Running, path: str, *, headers: Mapping[str, str] | None = None, body: object = None
) -> tuple[str, bytes]:
    """The cookie that is set, if any, and the body of an answer; RuntimeError for what is not good."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
    sent = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/json"} | dict(headers or {})
    connection.request("GET" if body is None else "POST", path, json.dumps(body) if body else None, sent)
    answer = connection.getresponse()
    found = answer.read()
    connection.close()
    if answer.status not in (200, 201):
        raise RuntimeError(f"{path}: {answer.status} {found[:300]!r}")
    return (answer.getheader("Set-Cookie") or "").partition(";")[0], found


def deep(server: Running, path: str, *, headers: Mapping[str, str] | None = None, pages: int = DEPTH) -> str:
    """Where so many `Load more` lead."""
    for _ in range(pages):
        found = _NEXT.search(ask(server, path, headers=headers)[1])
        if found is None:
            raise RuntimeError(f"{path} is the last page")
        path = html.unescape(found[1].decode())
    return path


def stocked(directory: Path, *, rows: int) -> None:
    """The data of an account with `rows` public images."""
    with chitram(directory) as server:
        account = json.loads(ask(server, "/api/v1/auth/register", body={"email": EMAIL, "password": PASSWORD})[1])
    prepare_data(directory, rows=rows, owner_id=account["user"]["id"])


def add_pictures(server: Running) -> None:
    """Real pictures, newer than all others, for the first page."""
    with connect(server) as connection:
        for seed in range(PAGE_SIZE):
            status, answer = upload(connection, generated(megapixels=0.5, seed=seed), visibility="public")
            assert status == 201, answer


def prepare(stack: ExitStack, root: Path, *, rows: int) -> dict[str, Case]:
    """Start every server."""
    stocked(root / "ours", rows=rows)
    shutil.copyfile(root / "ours" / "data" / "chitram.db", root / "peer.db")
    ours = stack.enter_context(chitram(root / "ours"))
    add_pictures(ours)
    environment = {peers.DATABASE: str(root / "peer.db")}
    constant = stack.enter_context(asgi("benchmarks.peers.gallery:constant_list", environment=environment))
    peer = stack.enter_context(asgi("benchmarks.peers.gallery:offset_paging", environment=environment))
    credentials = {"email": EMAIL, "password": PASSWORD}
    cookie, _ = ask(ours, "/api/v1/auth/session", body=credentials)
    member, htmx = {"Cookie": cookie}, {"HX-Request": "true"}
    further, mine = deep(ours, "/"), deep(ours, "/my-images", headers=member)
    return {
        "constant list (limit)": Case(constant, "/"),
        "first page": Case(ours, "/", judged=True),
        "further page": Case(ours, further, judged=True),
        "its part for htmx": Case(ours, further, htmx, judged=True),
        "my images": Case(ours, "/my-images", member, judged=True),
        "my images, further": Case(ours, mine, member, judged=True),
        "my images, by name": Case(ours, "/my-images?sort=name", member, judged=True),
        "first page (peer)": Case(peer, "/"),
        "page 2000 (peer)": Case(peer, f"/?page={min(2000, rows // PAGE_SIZE)}"),
    }


def report(cases: dict[str, Case], loads: dict[str, list[Load]]) -> None:
    """Print the figures, and what became of the target."""
    limit = [load.cpu for load in next(iter(loads.values()))]
    rows = [
        [
            name,
            spread([load.rate for load in found]),
            f"{median(load.cpu for load in found) * 1e3:.2f}",
            f"{median(load.median for load in found) * 1e3:.1f}",
            f"{median(load.p95 for load in found) * 1e3:.1f}",
            f"{median(load.p99 for load in found) * 1e3:.1f}",
            str(sum(load.failures for load in found)),
            f"{ratio([load.cpu for load in found], limit):.2f}",
        ]
        for name, found in loads.items()
    ]
    head = ["", "requests/s", "CPU ms", "median ms", "p95 ms", "p99 ms", "failures", "CPU of limit"]
    print(table(head, rows))
    for name, case in cases.items():
        if case.judged:
            p95 = median(load.p95 for load in loads[name]) * 1e3
            print(f"{name}, p95 ms: {verdict(p95, at_most=P95_TARGET)}")


def growth(root: Path, *, rows: Sequence[int], seconds: float) -> None:
    """Print the CPU of the first and of a middle page by the number of images."""
    curves: dict[str, list[float]] = {"first page": [], "further page": []}
    for number in rows:
        directory = root / f"rows-{number}"
        prepare_data(directory, rows=number)
        with chitram(directory) as server:
            for name, path in (("first page", "/"), ("further page", deep(server, "/"))):
                case = Case(server, path)
                curves[name].append(median(case.load(seconds=seconds).cpu for _ in range(3)) * 1e3)
        shutil.rmtree(directory)
    for name, curve in curves.items():
        figures = ", ".join(f"{number:,}: {value:.2f} ms" for number, value in zip(rows, curve, strict=True))
        print(f"{name} by images, {figures}; last of first: {verdict(curve[-1] / curve[0], at_most=FLAT)}")


def main(argv: Sequence[str] = ()) -> None:
    """Print the table and the curves."""
    parser = argparse.ArgumentParser(prog="gallery", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of one page in one round")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--quick", action="store_true", help="one short round, fewer images in the curves")
    options = parser.parse_args(argv)
    curves = (1_000, 100_000) if options.quick else GROWTH
    if options.quick:
        options.rounds, options.seconds = 1, 2
    print(f"{machine()}; {options.rows:,} images, {CLIENTS} clients")
    with tempfile.TemporaryDirectory() as directory:
        with ExitStack() as stack:
            cases = prepare(stack, Path(directory), rows=options.rows)
            loads: dict[str, list[Load]] = {name: [] for name in cases}
            for _ in range(options.rounds):
                for name, case in cases.items():
                    loads[name].append(case.load(seconds=options.seconds))
        report(cases, loads)
        growth(Path(directory), rows=curves, seconds=1)
