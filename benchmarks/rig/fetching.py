"""Single requests."""

import time
from collections.abc import Sequence
from http.client import HTTPConnection
from urllib.parse import urlsplit

from benchmarks.rig.servers import Running


def fetch(url: str) -> bytes:
    """The body of a 200; RuntimeError for anything else."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}" if parts.query else parts.path)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{url}: {answer.status} {body[:200]!r}")
        return body
    finally:
        connection.close()


def fetch_all(server: Running, paths: Sequence[str]) -> None:
    """Ask for every one of `paths` once, over one connection."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
    for path in paths:
        connection.request("GET", path)
        connection.getresponse().read()
    connection.close()


def seconds_until_answer(url: str, *, patience: float = 30.0) -> float:
    """How long from now until the first 200; RuntimeError when there is none in time."""
    started = time.perf_counter()
    while time.perf_counter() - started < patience:
        try:
            fetch(url)
            return time.perf_counter() - started
        except (OSError, RuntimeError):
            time.sleep(0.005)
    raise RuntimeError(f"{url} does not answer")
