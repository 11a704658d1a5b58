"""Early answers against the real server, over real sockets."""

import asyncio
import contextlib

import pytest
import uvicorn

from chitram.domain.errors import FileTooLarge
from chitram.entrypoints.support.asgi import HEADER_MAP
from chitram.entrypoints.support.body import Pace, RequestBody
from chitram.entrypoints.support.edge import Edge
from chitram.observability import Metrics
from tests.factories.listening import listening

MIB = 1024 * 1024
LIMIT = 5 * MIB

pytestmark = pytest.mark.slow


async def app(scope, receive, send):
    """Takes bodies up to LIMIT; `/unread` refuses without reading."""
    if scope["method"] == "POST":
        assert scope[HEADER_MAP]
        size = LIMIT + 1 if scope["path"] == "/unread" else 0
        if not size:
            async for piece in RequestBody(receive, pace=Pace()):
                size += len(piece)
                if size > LIMIT:
                    break
        if size > LIMIT:
            raise FileTooLarge
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@contextlib.asynccontextmanager
async def served():
    edge = Edge(app, metrics=Metrics(), access_log=None)
    config = uvicorn.Config(edge, lifespan="off", log_config=None, access_log=False, server_header=False, ws="none")
    async with listening(config) as port:
        yield port


async def read_answer(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    length = int(head.lower().partition("content-length:")[2].partition("\r\n")[0])
    return head, await reader.readexactly(length)


async def post(writer, length, path="/", *, extra=""):
    writer.write(f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n{extra}\r\n".encode())
    await writer.drain()


@contextlib.asynccontextmanager
async def connected(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.parametrize("path", ["/", "/unread"])
async def test_a_client_that_sends_everything_first_gets_its_answer(path):
    async with served() as port, connected(port) as (reader, writer):
        await post(writer, 20 * MIB, path)
        for _ in range(20):
            writer.write(bytes(MIB))
            await writer.drain()
        head, body = await read_answer(reader)
        assert head.startswith("HTTP/1.1 413")
        assert "connection: close" in head
        assert b"FILE_TOO_LARGE" in body
        assert await reader.read() == b""


async def test_a_chunked_body_gets_its_answer_too():
    async with served() as port, connected(port) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(12):
            writer.write(b"100000\r\n" + bytes(MIB) + b"\r\n")
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        head, _ = await read_answer(reader)
        assert head.startswith("HTTP/1.1 413")


async def test_a_client_that_waits_for_continue_is_answered_and_closed_at_once():
    async with served() as port, connected(port) as (reader, writer):
        await post(writer, 20 * MIB, "/unread", extra="Expect: 100-continue\r\n")
        head, _ = await read_answer(reader)
        assert head.startswith("HTTP/1.1 413")
        assert await reader.read() == b""


async def test_a_connection_with_a_small_rest_is_kept():
    async with served() as port, connected(port) as (reader, writer):
        await post(writer, 10_000, "/unread")
        writer.write(bytes(10_000))
        head, _ = await read_answer(reader)
        assert head.startswith("HTTP/1.1 413")
        assert "connection: close" not in head
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        head, body = await read_answer(reader)
        assert head.startswith("HTTP/1.1 200")
        assert body == b"ok"


async def test_requests_in_a_row_are_not_confused_by_bodies():
    async with served() as port, connected(port) as (reader, writer):
        for size in (0, 10, LIMIT, 70_000):
            await post(writer, size)
            writer.write(bytes(size))
            head, body = await read_answer(reader)
            assert head.startswith("HTTP/1.1 200")
            assert body == b"ok"
            assert "server:" not in head.lower()


async def test_curl_shows_the_refusal(tmp_path):
    big = tmp_path / "big"
    big.write_bytes(bytes(20 * MIB))
    async with served() as port:
        process = await asyncio.create_subprocess_exec(
            *("curl", "-s", "-o", "-", "-w", " %{http_code}", "-F", f"file=@{big}", f"http://127.0.0.1:{port}/"),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
    assert process.returncode == 0
    assert b"FILE_TOO_LARGE" in output
    assert output.endswith(b" 413")
