"""Servers as processes of their own, on loopback, ended with their context."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from tests.factories.servers import UNLIMITED, free_port, running_server

from benchmarks.rig.processes import cpu_seconds, family

PATIENCE = 20.0
_SERVE = """import sys, uvicorn
uvicorn.run(sys.argv[1], factory=True, port=int(sys.argv[2]), loop="uvloop", http="httptools", ws="none",
    access_log=False, log_level="error", server_header=False, proxy_headers=False, timeout_keep_alive=75)"""
_NGINX = """daemon off; master_process off; worker_processes 1; pid {root}/nginx.pid; error_log {root}/error.log;
events {{ worker_connections 2048; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; default_type image/jpeg;
  client_body_temp_path {root}/t1; proxy_temp_path {root}/t2; fastcgi_temp_path {root}/t3; uwsgi_temp_path {root}/t4;
  scgi_temp_path {root}/t5; server {{ listen 127.0.0.1:{port}; root {files}; }}
}}"""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers at `port` of the loopback address."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def processes(self) -> tuple[int, ...]:
        """The server's process and all below it."""
        return family(self.pid)

    def cpu_seconds(self) -> float:
        """What all its processes have used so far."""
        return cpu_seconds(self.processes)


@contextmanager
def chitram(directory: Path, **settings: str) -> Iterator[Running]:
    """Our server as `chitram serve` runs it, without the limits for strangers, its data below `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    with running_server(directory, **{**UNLIMITED, **settings}) as server:
        assert server.process is not None
        yield Running(server.port, server.process.pid)


@contextmanager
def asgi(factory: str, *, environment: Mapping[str, str] | None = None, path: str = "/") -> Iterator[Running]:
    """`module:function` that makes an ASGI application, under uvicorn as ours is; answers at `path` when it is up."""
    port = free_port()
    command = [sys.executable, "-c", _SERVE, factory, str(port)]
    with _process(command, port=port, environment=environment, path=path) as running:
        yield running


@contextmanager
def nginx(files: Path, *, path: str = "/") -> Iterator[Running]:
    """nginx with one worker, sending the files below `files` by sendfile."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise SystemExit("this case compares with nginx, which is not installed")
    port = free_port()
    root = files.parent / "nginx"
    root.mkdir()
    configuration = root / "nginx.conf"
    configuration.write_text(_NGINX.format(root=root, files=files, port=port), encoding="utf-8")
    command = [program, "-e", str(root / "error.log"), "-c", str(configuration)]
    with _process(command, port=port, environment=None, path=path) as running:
        yield running


@contextmanager
def _process(command: list[str], *, port: int, environment: Mapping[str, str] | None, path: str) -> Iterator[Running]:
    process = subprocess.Popen(command, env={**os.environ, **(environment or {})}, stdin=subprocess.DEVNULL)
    try:
        _await_answer(port, process, path=path)
        yield Running(port, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_answer(port: int, process: "subprocess.Popen[bytes]", *, path: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        connection = HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", path)
            connection.getresponse().read()
            return
        except OSError:
            time.sleep(0.02)
        finally:
            connection.close()
    raise RuntimeError(f"{process.args!r} does not answer")
