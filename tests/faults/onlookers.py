"""Looks at a server under attack from the side: how much memory it takes, and whether it still answers others."""

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import psutil

MEBIBYTE = 1024 * 1024


@dataclass
class Onlooker:
    """Peaks in MiB: of the server, and of the largest process below it. `slowest` in seconds."""

    server: float = 0.0
    decoder: float = 0.0
    answered: int = 0
    slowest: float = 0.0
    failures: list[str] = field(default_factory=list)

    def measure(self, process: psutil.Process) -> None:
        with contextlib.suppress(psutil.Error):
            self.server = max(self.server, process.memory_info().rss / MEBIBYTE)
            for child in process.children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    self.decoder = max(self.decoder, child.memory_info().rss / MEBIBYTE)

    def ask(self, client: httpx.Client, path: str) -> None:
        started = time.monotonic()
        try:
            answer = client.get(path)
        except httpx.HTTPError as error:
            self.failures.append(f"{path}: {error!r}")
            return
        self.slowest = max(self.slowest, time.monotonic() - started)
        self.answered += 1
        if answer.status_code != 200:
            self.failures.append(f"{path}: {answer.status_code}")


@contextmanager
def onlooker(url: str, pid: int, *, path: str, patience: float = 10.0) -> Iterator[Onlooker]:
    """Asks for `path` and measures memory until the block ends. No answer in `patience` seconds is a failure."""
    seen = Onlooker()
    stop = threading.Event()
    process = psutil.Process(pid)

    def look() -> None:
        with httpx.Client(base_url=url, timeout=patience) as client:
            while not stop.wait(0.02):
                seen.ask(client, path)

    def measure() -> None:
        while not stop.wait(0.01):
            seen.measure(process)

    threads = [threading.Thread(target=look), threading.Thread(target=measure)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join()
