"""Other people's requests while 200 sign in at once: `python -m benchmarks login_burst`.

Passwords are hashed at cost 12 on threads that give way to everything else, and the rate limits are off. Meanwhile
metadata and small thumbnails are asked for one after the other on a few connections, as before the burst: the ratio of
the two says what signing in costs those who only look. Limit: the same requests without any burst.
"""

import argparse
import json
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from benchmarks.rig.photographs import generated
from benchmarks.rig.servers import Running, chitram
from benchmarks.rig.tables import machine, percentile, table, verdict
from benchmarks.rig.uploading import connect, upload

TARGET_MS = 100.0
KINDS = {"metadata": "", "thumbnail": "/thumbnail?size=150"}
#: Readers that ask without pause would measure their own queue, so each waits this long between two requests.
PAUSE = 0.01
PASSWORD = "correct horse battery"


@dataclass(slots=True)
class Readings:
    """Seconds that requests took, by kind; how many were not answered with 200."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    failures: int = 0

    def p(self, share: float, kind: str) -> float:
        """Milliseconds that `share` of the requests did not exceed."""
        return percentile(self.seconds[kind], share) * 1e3

    @property
    def worst(self) -> float:
        """The larger p99, in milliseconds."""
        return max(self.p(0.99, kind) for kind in KINDS)


@dataclass(slots=True)
class Burst:
    """What became of the sign-ins: status → number; how long until all were answered."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0


@contextmanager
def reading(server: Running, path: str, *, readers: int) -> Iterator[Readings]:
    """Ask for the image at `path` on `readers` connections until the block ends."""
    readings, stop = Readings(), threading.Event()

    def read(number: int) -> None:
        kind = list(KINDS)[number % len(KINDS)]
        connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while not stop.wait(PAUSE):
            started = time.perf_counter()
            connection.request("GET", path + KINDS[kind])
            answer = connection.getresponse()
            answer.read()
            readings.seconds[kind].append(time.perf_counter() - started)
            readings.failures += answer.status != 200
        connection.close()

    threads = [threading.Thread(target=read, args=(number,)) for number in range(readers)]
    for thread in threads:
        thread.start()
    try:
        yield readings
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def post(server: Running, path: str, body: dict[str, str]) -> int:
    """The status of one request on a connection of its own; 0 when there was no answer."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=300)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except (OSError, HTTPException):
        return 0
    finally:
        connection.close()


def sign_in(server: Running, emails: Sequence[str]) -> Burst:
    """All at the same moment, half of them with a password that is wrong."""
    burst, gate = Burst(), threading.Barrier(len(emails) + 1)

    def one(number: int) -> None:
        gate.wait()
        password = PASSWORD if number % 2 else f"wrong {number}"
        burst.statuses[post(server, "/api/v1/auth/login", {"email": emails[number], "password": password})] += 1

    threads = [threading.Thread(target=one, args=(number,)) for number in range(len(emails))]
    for thread in threads:
        thread.start()
    gate.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    burst.seconds = time.perf_counter() - started
    return burst


def report(rounds: Sequence[tuple[Readings, Readings, Burst]]) -> None:
    """Print the figures of every round, and what became of the target."""
    rows = []
    for number, (calm, busy, burst) in enumerate(rounds, 1):
        for name, readings in (("calm", calm), ("during the burst", busy)):
            cells = [f"{readings.p(share, kind):.1f}" for kind in KINDS for share in (0.5, 0.99)]
            asked = sum(map(len, readings.seconds.values()))
            rows.append([f"{number}, {name}", *cells, str(asked), str(readings.failures)])
        statuses = ", ".join(f"{number} x {status or 'no answer'}" for status, number in sorted(burst.statuses.items()))
        print(f"burst {number}: {statuses}, all answered after {burst.seconds:.1f} s")
    head = ["", *(f"{kind} p{share} ms" for kind in KINDS for share in (50, 99)), "requests", "failures"]
    print(table(head, rows))
    worst = max(busy.worst for _, busy, _ in rounds)
    ratios = [busy.worst / calm.worst for calm, busy, _ in rounds if calm.worst]
    print(f"p99 during the burst, of what it is without: {percentile(ratios, 0.5):.1f} times")
    print(f"p99 during the burst, ms: {verdict(worst, at_most=TARGET_MS)}")


def main(argv: Sequence[str] = ()) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="login_burst", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--logins", type=int, default=200)
    parser.add_argument("--readers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=8, help="of reading without a burst")
    parser.add_argument("--quick", action="store_true", help="one short round")
    options = parser.parse_args(argv)
    if options.quick:
        options.rounds, options.seconds = 1, 3
    print(f"{machine()}; {options.logins} sign-ins at once, {options.readers} readers")
    with tempfile.TemporaryDirectory() as directory:
        settings = {"BCRYPT_ROUNDS": "12", "MAX_CONNECTIONS_PER_ADDRESS": str(options.logins + 100)}
        with chitram(Path(directory), **settings) as server:
            with connect(server) as connection:
                status, image = upload(connection, generated(megapixels=1))
            assert status == 201, image
            path = f"/api/v1/images/{image['id']}"
            # Some of them exist, the others take as long.
            emails = [f"somebody{number % 10}@example.org" for number in range(options.logins)]
            for email in sorted(set(emails))[:5]:
                assert post(server, "/api/v1/auth/register", {"email": email, "password": PASSWORD}) == 201
            rounds = []
            for _ in range(options.rounds):
                with reading(server, path, readers=options.readers) as calm:
                    time.sleep(options.seconds)
                with reading(server, path, readers=options.readers) as busy:
                    burst = sign_in(server, emails)
                rounds.append((calm, busy, burst))
            report(rounds)
