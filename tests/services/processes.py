"""Starting a server as a direct child, waiting until it answers, and every way of taking it away again."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

#: A service that does not answer by then has failed, in seconds.
START_PATIENCE = 30.0
STOP_PATIENCE = 15.0

#: Process ids of services that the first test to want them starts, for all that come after it.
LASTING: set[int] = set()


def free_port(*, below: int = 65536) -> int:
    """A port on the loopback address that nobody listens on now."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port < below:
            return port


def accepts(port: int) -> bool:
    """Whether somebody accepts connections on `port` of the loopback address."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Service:
    """A program that serves. `start` may be called again after `stop` or `kill`, and then finds the data of before.

    `ready` says whether it answers. `command` may be a function where it depends on what `start` finds.
    """

    def __init__(
        self,
        name: str,
        *,
        command: Sequence[str],
        directory: Path,
        ready: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
        user: int | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self.directory = directory
        self.log = directory / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._command = tuple(command)
        self._ready = ready
        self._environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", **(environment or {})}
        self._user = user
        self._stop_signal = stop_signal

    def start(self) -> None:
        """Start and wait until it answers; AssertionError with the end of its log when it does not."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                cwd=self.directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self._user,
                group=self._user,
                extra_groups=None if self._user is None else (),
                # A group of its own: what it forks is paused and killed with it.
                process_group=0,
            )
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until it answers, after a start or a `resume`."""
        deadline = time.monotonic() + START_PATIENCE
        while not self._ready():
            if self.process is None or self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"{self.name} did not start:\n{self.log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Ask it to end, and see that it does."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(self._stop_signal)
            try:
                self.process.wait(STOP_PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()
        self._clear_group()

    def kill(self) -> None:
        """SIGKILL to it and to everything that it started."""
        if self.process is None:
            return
        self._signal_group(signal.SIGKILL)
        self.process.wait()
        self._clear_group()

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and answers nothing."""
        self._signal_group(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal_group(signal.SIGCONT)

    def _signal_group(self, number: signal.Signals) -> None:
        assert self.process is not None
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return

    def _clear_group(self) -> None:
        """Wait until nothing of its group is left: what it forked outlives it for a moment."""
        assert self.process is not None
        deadline = time.monotonic() + STOP_PATIENCE
        while time.monotonic() < deadline:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                return
            time.sleep(0.01)


@contextmanager
def running(service: Service) -> Iterator[Service]:
    """Start it, and stop it when the context ends, whatever was done to it meanwhile."""
    service.start()
    try:
        yield service
    finally:
        if service.process is not None and service.process.poll() is None:
            service.resume()
        service.stop()
