"""Workers for tests: `chitram worker` as a direct child, over the data of a server."""

import os
import random
import re
import signal
import sqlite3
import sys
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path

import httpx
import psutil

from tests.factories.servers import clean_environment
from tests.services.processes import START_PATIENCE, STOP_PATIENCE, Service, accepts

_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


class Worker(Service):
    """`settings` are those of its server; `processes` run jobs."""

    def __init__(
        self, directory: Path, *, settings: Mapping[str, str], processes: int = 1, arguments: tuple[str, ...] = ()
    ) -> None:
        self.processes = processes
        self.ports = _ports(processes)
        directory.mkdir(parents=True, exist_ok=True)
        super().__init__(
            "worker",
            command=[
                sys.executable, "-c", "from chitram.entrypoints.cli.main import app; app()", "worker",
                "--concurrency", str(processes), "--metrics-bind", f"127.0.0.1:{self.ports[0]}", *arguments,
            ],
            directory=directory,
            ready=lambda: all(accepts(port) for port in self.ports),
            environment=clean_environment(**settings),
        )  # fmt: skip

    def count(self, metric: str, **labels: str) -> int:
        """The sum of a counter over the worker's processes."""
        wanted = {f'{name}="{value}"' for name, value in labels.items()}
        samples = [
            float(value)
            for port in self.ports
            for name, found, value in _SAMPLE.findall(httpx.get(f"http://127.0.0.1:{port}/metrics").text)
            if name == metric and wanted <= set(found.split(","))
        ]
        return round(sum(samples))

    def pool(self) -> list[psutil.Process]:
        """The processes that run tasks: those that have a decode sandbox below them."""
        assert self.process is not None
        return [child for child in _children(psutil.Process(self.process.pid)) if _children(child)]

    def decoders(self) -> list[psutil.Process]:
        """The processes that look at pictures: below each process of the pool a fork server, below that the decoder."""
        return [decoder for child in self.pool() for server in _children(child) for decoder in _children(server)]

    def freeze_decoders(self) -> None:
        """SIGSTOP to every decoding process: a decode that begins now does not end."""
        deadline = time.monotonic() + START_PATIENCE
        while len(found := self.decoders()) < self.processes:
            assert time.monotonic() < deadline, "the decoders did not come up"
            time.sleep(0.02)
        for process in found:
            process.send_signal(signal.SIGSTOP)

    def ended(self) -> int:
        """SIGTERM, and the exit status."""
        self.stop()
        assert self.process is not None
        return int(self.process.returncode)

    def _clear_group(self) -> None:
        # What a killed worker leaves behind is dead at once, but init takes its time to say so.
        assert self.process is not None
        deadline = time.monotonic() + STOP_PATIENCE
        while _lives(self.process.pid) and time.monotonic() < deadline:
            self._signal_group(signal.SIGKILL)
            time.sleep(0.01)


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children()
    except psutil.NoSuchProcess:
        return []


def _lives(group: int) -> bool:
    """Whether any process of `group` is more than a zombie."""
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                return True
    return False


def _ports(count: int) -> list[int]:
    """So many free ports, one after the other; below those that the kernel gives to others of its own accord."""
    while True:
        first = random.randrange(20_000, 32_000)
        ports = list(range(first, first + count))
        if not any(accepts(port) for port in ports):
            return ports


class Outbox:
    """The rows of jobs, as the database has them."""

    def __init__(self, data: Path) -> None:
        self._path = data / "chitram.db"

    def states(self) -> list[str]:
        """The state of every job that is not finished."""
        return [str(state) for (state,) in self.execute("SELECT state FROM jobs")]

    def end_leases(self) -> None:
        """Let the time of every lease be over."""
        self.execute("UPDATE jobs SET lease_until = '2020-01-01 00:00:00.000000' WHERE lease_until IS NOT NULL")

    def execute(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """The rows that `statement` gives, committed."""
        with closing(sqlite3.connect(self._path, timeout=10)) as connection, connection:
            return list(connection.execute(statement, values))
