"""Clients that upload: threads with sockets, which cost next to no CPU beside the servers that they keep busy."""

import json
import socket
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.rig.servers import Running

PATH = "/api/v1/images/upload"
_BOUNDARY = b"----figures-of-chitram"
_PART = (
    b"--" + _BOUNDARY + b'\r\nContent-Disposition: form-data; name="file"; filename="photo.jpg"\r\n'
    b"Content-Type: image/jpeg\r\n\r\n"
)
_FIELD = b"--" + _BOUNDARY + b'\r\nContent-Disposition: form-data; name="visibility"\r\n\r\n%s\r\n'
_END = b"\r\n--" + _BOUNDARY + b"--\r\n"


def upload_head(size: int, *, visibility: str | None = None) -> bytes:
    """The head of a request whose file has `size` bytes, with all that comes before the file."""
    before = _PART if visibility is None else _FIELD % visibility.encode() + _PART
    length = len(before) + size + len(_END)
    return (
        b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=%s\r\n"
        b"Content-Length: %d\r\n\r\n" % (PATH.encode(), _BOUNDARY, length)
    ) + before


def upload_end() -> bytes:
    """What comes after the file."""
    return _END


def connect(server: Running) -> socket.socket:
    """A connection to `server`."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=120)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def read_answer(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    """Status and JSON body of one answer that has a length."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _some(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
    length = int(fields[b"content-length"])
    while len(body) < length:
        body += _some(connection)
    return int(head.split(b" ", 2)[1]), json.loads(body)


def _some(connection: socket.socket) -> bytes:
    piece = connection.recv(65536)
    if not piece:
        raise ConnectionError("the server closed the connection")
    return piece


def upload(connection: socket.socket, data: bytes, *, visibility: str | None = None) -> tuple[int, dict[str, Any]]:
    """Upload `data`, as the server sees fit or for those whom `visibility` names; status and body of the answer."""
    connection.sendall(upload_head(len(data), visibility=visibility))
    connection.sendall(data)
    connection.sendall(_END)
    return read_answer(connection)


@dataclass(frozen=True, slots=True)
class Burst:
    """Figures of a number of uploads: `rate` a second, CPU seconds an upload of all the server's processes."""

    rate: float
    cpu: float
    median: float
    failures: int


@dataclass(slots=True)
class _Crowd:
    server: Running
    picture: Callable[[], bytes]
    left: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    times: list[float] = field(default_factory=list)
    failures: int = 0

    def work(self) -> None:
        with connect(self.server) as connection:
            while (data := self._take()) is not None:
                started = time.perf_counter()
                status, _ = upload(connection, data)
                with self.lock:
                    self.times.append(time.perf_counter() - started)
                    self.failures += status != 201

    def _take(self) -> bytes | None:
        with self.lock:
            if not self.left:
                return None
            self.left -= 1
            return self.picture()


def burst(server: Running, picture: Callable[[], bytes], *, uploads: int, clients: int) -> Burst:
    """Upload `uploads` pictures with `clients` connections at a time."""
    crowd = _Crowd(server, picture, uploads)
    threads = [threading.Thread(target=crowd.work) for _ in range(clients)]
    cpu, started = server.cpu_seconds(), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    done = len(crowd.times)
    return Burst(
        done / seconds,
        (server.cpu_seconds() - cpu) / done,
        statistics.median(crowd.times),
        crowd.failures + uploads - done,
    )
