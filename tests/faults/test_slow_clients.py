"""Clients that take their time: they hold nothing that others need, and are given up in the end."""

import asyncio
import contextlib
import random
import resource
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
import uvicorn

from chitram.entrypoints.cli.serve import OPEN_FILES
from chitram.entrypoints.support.protocol import guarded_protocol
from tests.counts import count
from tests.factories import pictures
from tests.factories.servers import Server, running_server
from tests.faults.onlookers import onlooker
from tests.faults.raw import STATUS, request
from tests.faults.traffic import UPLOAD, form, heavy_picture

pytestmark = pytest.mark.slow

HEAD_TIMEOUT = 2
DEADLINE = 3
#: An idle server has some 85 MiB; a slow client may cost a piece in hand and a piece on its way.
BASE_MEMORY = 120
MEMORY_A_READER = 0.75
SETTINGS = {
    "RATE_LIMIT_ENABLED": "false",
    "HEADER_TIMEOUT_SECONDS": str(HEAD_TIMEOUT),
    "UPLOAD_DEADLINE_SECONDS": str(DEADLINE),
    "LOG_LEVEL": "warning",
}
BODY = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + pictures.png()[:50]
SLOW_UPLOAD = (
    request(
        "POST", UPLOAD, "Content-Type: multipart/form-data; boundary=b", "Content-Length: 100000", "Connection: close"
    )
    + BODY
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("slow"), **SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def large(server: Server) -> str:
    """The path of a picture of some megabytes."""
    data = heavy_picture(random.Random(1), size=4_500_000)
    answer = httpx.post(f"{server.url}{UPLOAD}", files=form(data), timeout=60)
    assert answer.status_code == 201, answer.text
    return f"/api/v1/images/{answer.json()['id']}/file"


@contextmanager
def connections(server: Server, number: int, *, address: str, sending: bytes) -> Iterator[list[socket.socket]]:
    """Connections from a loopback address of their own that send something and then nothing."""
    with ExitStack() as stack:
        opened = []
        for _ in range(number):
            connection = socket.create_connection(("127.0.0.1", server.port), source_address=(address, 0), timeout=30)
            stack.enter_context(connection)
            connection.sendall(sending)
            opened.append(connection)
        yield opened


def endings(opened: Sequence[socket.socket]) -> list[int]:
    """What each connection is answered before the server closes it; 0 for nothing."""
    statuses = []
    for connection in opened:
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while data := connection.recv(65_536):
                received += data
        statuses.append(int(found.group(1)) if (found := STATUS.match(received)) else 0)
    return statuses


def answered(connection: socket.socket) -> bool:
    """Whether `/health/live` is answered on a connection that stays open."""
    received = b""
    while not received.endswith(b"}") and (data := connection.recv(65_536)):
        received += data
    return received.startswith(b"HTTP/1.1 200") and received.endswith(b'{"status":"alive"}')


def upload_ok(server: Server) -> None:
    answer = httpx.post(f"{server.url}{UPLOAD}", files=form(pictures.jpeg()), timeout=60)
    assert answer.status_code == 201, answer.text


@contextmanager
def others(server: Server) -> Iterator[None]:
    """Normal clients, who must not notice anything."""
    assert server.process is not None
    with onlooker(server.url, server.process.pid, path="/health") as seen:
        yield
    assert seen.failures == []
    assert seen.answered


def active_uploads(server: Server) -> str:
    text: str = httpx.get(f"{server.url}/health", timeout=30).json()["upload_concurrency"]
    return text


@pytest.mark.parametrize(
    "sending",
    [b"", b"GET /health HT", b"GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: "],
    ids=["nothing", "half a line", "half a head"],
)
def test_late_heads_are_given_up(server: Server, sending: bytes):
    with others(server), connections(server, count(100, 400), address="127.0.0.2", sending=sending) as opened:
        upload_ok(server)
        assert set(endings(opened)) == {0}


def test_a_head_that_trickles_is_given_up_too(server: Server):
    """Each byte is in time, the whole is not."""
    with others(server), connections(server, 1, address="127.0.0.2", sending=b"GET / HTTP/1.1\r\n") as (opened,):
        with pytest.raises((BrokenPipeError, ConnectionResetError)):  # noqa: PT012 - which byte it is does not matter
            for _ in range(40 * HEAD_TIMEOUT):
                opened.sendall(b"X: y\r\n")
                time.sleep(0.1)
        upload_ok(server)


def test_slow_bodies_of_one_address_leave_slots_to_others(server: Server):
    with others(server), connections(server, 40, address="127.0.0.2", sending=SLOW_UPLOAD) as opened:
        assert active_uploads(server) == "3/10 active"
        for _ in range(3):
            upload_ok(server)
        for connection in opened[3:]:
            connection.close()
        assert sorted(endings(opened[:3])) == [408] * 3
    assert active_uploads(server) == "0/10 active"


def test_slow_bodies_of_many_addresses_are_given_up(server: Server):
    """They may take every slot, but not for long: an upload waits and is served."""
    with others(server), ExitStack() as stack:
        slow = [
            connection
            for n in range(4)
            for connection in stack.enter_context(
                connections(server, 3, address=f"127.0.0.{n + 2}", sending=SLOW_UPLOAD)
            )
        ]
        deadline = time.monotonic() + DEADLINE / 2
        while active_uploads(server) != "10/10 active" and time.monotonic() < deadline:
            time.sleep(0.02)
        assert active_uploads(server) == "10/10 active"
        upload_ok(server)
        assert set(endings(slow)) == {408}
    assert active_uploads(server) == "0/10 active"


def test_clients_that_leave_give_their_slots_back(server: Server):
    for _ in range(5):
        with connections(server, 3, address="127.0.0.2", sending=SLOW_UPLOAD):
            upload_ok(server)
    deadline = time.monotonic() + 5
    while active_uploads(server) != "0/10 active" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert active_uploads(server) == "0/10 active"
    assert [path for path in (server.data / "storage/.staging").rglob("*") if path.is_file()] == []


def test_slow_readers_cost_little_and_others_are_served(server: Server, large: str, proof):
    number = count(60, 400)
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    with (
        others(server),
        onlooker(server.url, server.process.pid, path="/health/live") as seen,
        connections(server, number, address="127.0.0.2", sending=request("GET", large)) as opened,
    ):
        for _ in range(5):
            upload_ok(server)
            assert httpx.get(f"{server.url}{large}", timeout=60).status_code == 200
        assert seen.server < BASE_MEMORY + number * MEMORY_A_READER
        # The connection, its duplicate that waits for room, and the file.
        assert process.num_fds() < 100 + 3 * number
        # They are slow, not cut off: one that reads on gets everything.
        assert STATUS.match(opened[0].recv(100))
    deadline = time.monotonic() + 10
    while process.num_fds() > 100 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.num_fds() <= 100
    proof.record(
        "A slow client holds little", "readers that stopped; memory of the server, MiB", f"{number}; {seen.server:.0f}"
    )


def test_a_low_limit_of_open_files_is_raised(tmp_path: Path):
    """Most systems start programs with 1024, though they would allow more."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = min(before[1], OPEN_FILES) if before[1] != resource.RLIM_INFINITY else OPEN_FILES
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, before[0]), before[1]))
    try:
        with running_server(tmp_path) as server:
            assert server.process is not None
            assert psutil.Process(server.process.pid).rlimit(psutil.RLIMIT_NOFILE)[0] == allowed
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_too_many_connections_of_one_address_are_refused(tmp_path: Path):
    with (
        running_server(tmp_path, **SETTINGS, MAX_CONNECTIONS_PER_ADDRESS="20") as server,
        others(server),
        connections(server, 20, address="127.0.0.2", sending=request("GET", "/health/live")) as kept,
    ):
        for connection in kept:
            assert answered(connection)
        with connections(server, 5, address="127.0.0.2", sending=b"") as refused:
            assert set(endings(refused)) == {0}
        # Those that were there first still have theirs.
        for connection in kept:
            connection.sendall(request("GET", "/health/live"))
            assert answered(connection)
        upload_ok(server)


@pytest.mark.parametrize("last", [False, True], ids=["kept", "closed"])
@pytest.mark.parametrize(
    "size", [40_000, 100_000, 50_000_000], ids=["below the mark", "at the end of the answer", "in the middle of it"]
)
async def test_a_reader_that_stops_is_given_up(size: int, last: bool):
    """The protocol alone, with seconds in place of a minute, under an application that answers with zeros."""
    sent = asyncio.Event()

    async def zeros(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]})
        for offset in range(0, size, 50_000):
            piece = bytes(min(50_000, size - offset))
            await send({"type": "http.response.body", "body": piece, "more_body": offset + len(piece) < size})
        sent.set()

    protocol = guarded_protocol(per_address=10, exempt=(), head_timeout=5)
    protocol.send_timeout = 0.5
    config = uvicorn.Config(zeros, http=protocol, loop="none", lifespan="off", log_config=None, timeout_keep_alive=1)
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    # A small window, so that even the short answer does not fit into the kernel's buffers.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        with socket.socket() as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect(listener.getsockname())
            reader.sendall(request("GET", "/", *(["Connection: close"] if last else [])))
            await asyncio.wait_for(until(lambda: server.server_state.connections), 5)
            await asyncio.wait_for(until(lambda: not server.server_state.connections), 10)
            await asyncio.wait_for(sent.wait(), 5)
    finally:
        server.should_exit = True
        await serving
        listener.close()


async def until(condition) -> None:
    while not condition():
        await asyncio.sleep(0.02)
