"""Real servers as child processes: `chitram serve` on a free loopback port."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

#: A server that has not answered by then has failed, in seconds.
START_PATIENCE = 30.0
STOP_PATIENCE = 40.0
#: Exit statuses of an orderly end: uvicorn finishes its work, then lets the signal that asked for it have its way.
ENDED = (0, -signal.SIGTERM)

#: Limits that would get in the way of tests that upload much from one address.
UNLIMITED = {
    "RATE_LIMIT_ENABLED": "false",
    "UPLOAD_CONCURRENCY_LIMIT": "64",
    "UPLOAD_CONCURRENCY_PER_ADDRESS": "64",
}


def free_port() -> int:
    """A port on the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def clean_environment(**settings: str) -> dict[str, str]:
    """The environment of a fresh machine, with `settings`."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    return {**kept, "APP_ENV": "test", **settings}


def command(*arguments: str) -> list[str]:
    """The command line of `chitram`."""
    return [sys.executable, "-c", "from chitram.entrypoints.cli.main import app; app()", *arguments]


class Server:
    """A server over a data directory. `start` may be called again after `stop` or `kill`.

    `launcher` comes before the command, to start it in a namespace, say; `data` is the directory as the server sees it.
    """

    def __init__(
        self,
        directory: Path,
        *,
        settings: Mapping[str, str],
        data: Path | None = None,
        launcher: Sequence[str] = (),
    ) -> None:
        self.directory = directory
        self.data = data or directory / "data"
        self._launcher = launcher
        self.log = directory / "server.log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.environment = clean_environment(**{"DATA_DIR": str(self.data), **settings})

    def start(self) -> None:
        """Start and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._launcher, *command("serve", "--port", str(self.port))],
                env=self.environment,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_PATIENCE
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"the server did not start:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.05)

    def stop(self) -> int:
        """SIGTERM; its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_PATIENCE)
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL, as when the machine loses the process."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        if self.process is not None:
            self.process.wait()

    def chitram(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another command over the same data."""
        return subprocess.run(
            [*self._launcher, *command(*arguments)],
            env=self.environment, cwd=self.directory, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health/live", timeout=2).status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def running_server(directory: Path, **settings: str) -> Iterator[Server]:
    """A server that runs until the context ends."""
    server = Server(directory, settings=settings)
    server.start()
    try:
        yield server
    finally:
        server.kill()
