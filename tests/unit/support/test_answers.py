"""What goes over the wire: heads, lengths, bodies, files. A real server on a real socket."""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvicorn

from chitram.entrypoints.support import answers, zero_copy
from chitram.entrypoints.support.asgi import ZERO_COPY
from chitram.entrypoints.support.protocol import guarded_protocol
from tests.factories.listening import listening


def start(status=200, *, headers=()):
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(data=b"", *, more=False):
    return {"type": "http.response.body", "body": data, "more_body": more}


def length(number: int) -> tuple[bytes, bytes]:
    return (b"content-length", b"%d" % number)


class Application:
    """Sends the messages it was given, to every request; keeps the scopes and what went wrong."""

    def __init__(self, *messages) -> None:
        self.messages = messages
        self.scopes: list = []
        self.errors: list[BaseException] = []
        self.done = asyncio.Event()

    async def __call__(self, scope, _receive, send) -> None:
        self.scopes.append(scope)
        try:
            for message in self.messages:
                await send(dict(message))
        except BaseException as error:
            self.errors.append(error)
            raise
        finally:
            self.done.set()


@contextlib.asynccontextmanager
async def served(app) -> AsyncIterator[int]:
    protocol = guarded_protocol(per_address=10, exempt=(), head_timeout=5)
    config = uvicorn.Config(app, http=protocol, loop="none", lifespan="off", log_config=None, ws="none")
    async with listening(config) as port:
        yield port


async def ask(app, *, method="GET", version="1.1", times=1) -> bytes:
    """Everything that the server sends for `times` requests at once, the last of which ends the connection."""
    async with served(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        request = f"{method} /a%20b?q=1 HTTP/{version}\r\nHost: h\r\n".encode()
        writer.write((request + b"\r\n") * (times - 1) + request + b"Connection: close\r\n\r\n")
        try:
            async with asyncio.timeout(10):
                return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()


def split(answer: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    head, _, rest = answer.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    fields = dict(line.split(b": ", 1) for line in lines)
    assert len(fields) == len(lines)
    return status, fields, rest


async def test_a_whole_answer():
    app = Application(start(headers=[length(5), (b"X-Mixed-Case", b"v\xe9")]), body(b"hello"))
    status, fields, rest = split(await ask(app))
    assert (status, rest) == (b"HTTP/1.1 200 OK", b"hello")
    assert fields.pop(b"date").endswith(b"GMT")
    fields.pop(b"server")
    assert fields == {b"content-length": b"5", b"x-mixed-case": b"v\xe9", b"connection": b"close"}
    scope = app.scopes[0]
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/a b", b"/a%20b", b"q=1")


async def test_answers_of_one_connection_do_not_share_their_fields():
    app = Application(start(headers=[length(2), (b"x-request-id", b"one")]), body(b"ok"))
    answer = await ask(app, times=3)
    assert answer.count(b"HTTP/1.1 200 OK") == answer.count(b"content-length: 2\r\n") == 3
    assert answer.count(b"x-request-id: one\r\n") == answer.count(b"\r\n\r\nok") == 3
    assert answer.count(b"connection: close") == 1


async def test_the_head_and_a_small_body_are_one_packet():
    async with served(Application(start(headers=[length(5)]), body(b"hello"))) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(20):
            writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            assert (await reader.read(65536)).endswith(b"\r\n\r\nhello")
        writer.close()
        await writer.wait_closed()


async def test_a_body_in_pieces():
    large = bytes(100_000)
    app = Application(start(headers=[length(200_003)]), body(b"abc", more=True), body(large, more=True), body(large))
    assert split(await ask(app))[2] == b"abc" + large * 2
    app = Application(start(headers=[length(200_000)]), body(large, more=True), body(large))
    assert split(await ask(app))[2] == large * 2


async def test_a_body_without_a_length_is_chunked():
    answer = await ask(Application(start(), body(b"abc", more=True), body(b"", more=True), body(b"de")))
    _, fields, rest = split(answer)
    assert fields[b"transfer-encoding"] == b"chunked"
    assert rest == b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    declared = Application(start(headers=[(b"Transfer-Encoding", b"chunked")]), body(b"abc"))
    assert (await ask(declared)).endswith(b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    ("method", "status", "headers"),
    [("HEAD", 200, [length(5)]), ("HEAD", 200, []), ("GET", 304, [length(5)]), ("GET", 304, []), ("GET", 204, [])],
)
async def test_answers_that_have_no_body(method, status, headers):
    sent = body(b"hello") if method == "HEAD" else body()
    _, fields, rest = split(await ask(Application(start(status, headers=headers), sent), method=method))
    assert rest == b""
    assert b"transfer-encoding" not in fields
    assert fields.get(b"content-length") == (b"5" if headers else None)


@pytest.mark.parametrize("pieces", [[body(b"toolong")], [body(b"abc")], [body(b"abc", more=True), body(b"def")]])
async def test_a_body_of_another_length_breaks_the_connection(pieces):
    app = Application(start(headers=[length(5)]), *pieces)
    rest = split(await ask(app))[2] if len(pieces) > 1 else await ask(app)
    assert len(rest) < 5
    assert isinstance(app.errors[0], RuntimeError)


@pytest.mark.parametrize(
    "field",
    [(b"x-a", b"1\r\nx-evil: 1"), (b"x-a", b"1\nx-evil: 1"), (b"x-a", b"\x00"), (b"x-a\r\nx-evil", b"1"), (b"", b"1")],
)
async def test_no_value_breaks_out_of_its_line(field):
    for _ in range(2):
        app = Application(start(headers=[length(2), field]), body(b"ok"))
        answer = await ask(app)
        assert answer.startswith(b"HTTP/1.1 500 ")
        assert b"evil" not in answer
        assert isinstance(app.errors[0], RuntimeError)


async def test_remembered_lines_are_few(monkeypatch):
    monkeypatch.setattr(answers, "_MAX_LINES", 3)
    monkeypatch.setattr(answers, "_lines", {})
    for number in range(8):
        value = b"%d" % number
        assert split(await ask(Application(start(headers=[length(0), (b"etag", value)]), body())))[1][b"etag"] == value
        assert len(answers._lines) <= 3


async def test_lines_of_one_client_are_not_remembered(monkeypatch):
    monkeypatch.setattr(answers, "_lines", {})
    values = {
        b"Set-Cookie": b"chitram_session=secret", b"location": b"/an/unlisted/one", b"link": b"</next?cursor=x>",
        b"ratelimit": b"r=3;t=17", b"x-request-id": b"once", b"content-length": b"0", b"x-frame-options": b"DENY",
    }  # fmt: skip
    answer = await ask(Application(start(headers=values.items()), body()))
    for name, value in values.items():
        assert b"\r\n%b: %b\r\n" % (name.lower(), value) in answer
    assert {name for name, _ in answers._lines} - {b"date", b"server"} == {b"x-frame-options"}


async def test_the_connection_ends_when_either_side_says_so():
    closing = Application(start(headers=[length(2), (b"connection", b"Keep-Alive, Close")]), body(b"ok"))
    answer = await ask(closing, times=2)
    assert answer.count(b"HTTP/1.1 200") == 1
    old = await ask(Application(start(headers=[length(2)]), body(b"ok")), version="1.0", times=2)
    assert old.count(b"HTTP/1.1 200") == 1


async def test_what_is_no_answer():
    for messages in ([body(b"x")], [start(headers=[length(0)]), body(), body()]):
        app = Application(*messages)
        await ask(app)
        assert isinstance(app.errors[0], RuntimeError)


class TestFiles:
    @staticmethod
    def parts(file: int, *parts: tuple[int, int]):
        for index, (offset, count) in enumerate(parts):
            more = index < len(parts) - 1
            yield {"type": ZERO_COPY, "file": file, "offset": offset, "count": count, "more_body": more}

    async def test_parts_of_a_file_in_order(self, tmp_path: Path):
        data = bytes(range(256)) * 8000
        (tmp_path / "f").write_bytes(data)
        with (tmp_path / "f").open("rb") as file:
            parts = [(0, 1_000_000), (1_000_000, 1_000_000), (2_000_000, 48_000)]
            app = Application(start(headers=[length(len(data))]), *self.parts(file.fileno(), *parts))
            assert split(await ask(app))[2] == data
        assert app.scopes[0]["extensions"] == {ZERO_COPY: {}}

    async def test_files_and_bytes_alternate(self, tmp_path: Path):
        (tmp_path / "f").write_bytes(b"0123456789")
        large = bytes(70_000)
        with (tmp_path / "f").open("rb") as file:
            part = {"type": ZERO_COPY, "file": file.fileno(), "offset": 2, "count": 3, "more_body": True}
            messages = body(large, more=True), part, body(b"abc", more=True), part, body(b"")
            app = Application(start(headers=[length(70_009)]), *messages)
            assert split(await ask(app))[2] == large + b"234abc234"

    async def test_more_than_was_promised(self, tmp_path: Path):
        (tmp_path / "f").write_bytes(b"0123456789")
        with (tmp_path / "f").open("rb") as file:
            app = Application(start(headers=[length(5)]), *self.parts(file.fileno(), (0, 6)))
            assert await ask(app) == b""
        assert isinstance(app.errors[0], RuntimeError)

    async def test_a_file_that_ends_early(self, tmp_path: Path):
        (tmp_path / "f").write_bytes(b"0123456789")
        with (tmp_path / "f").open("rb") as file:
            app = Application(start(headers=[length(20)]), *self.parts(file.fileno(), (0, 20)))
            assert split(await ask(app))[2] == b"0123456789"
        assert isinstance(app.errors[0], EOFError)

    async def serve_slowly(self, tmp_path: Path, *, read: int) -> Application:
        """Ask for 64 MB, read some of it at leisure, and go."""
        with (tmp_path / "f").open("wb+") as file:
            file.truncate(64_000_000)
            app = Application(start(headers=[length(64_000_000)]), *self.parts(file.fileno(), (0, 64_000_000)))
            async with served(app) as port:
                with socket.create_connection(("127.0.0.1", port)) as client:
                    client.setblocking(False)
                    loop = asyncio.get_running_loop()
                    await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                    received = 0
                    while received < read and (piece := await loop.sock_recv(client, 65536)):
                        received += len(piece)
                        await asyncio.sleep(0)
                    if read == 0:
                        await app.done.wait()
                async with asyncio.timeout(10):
                    await app.done.wait()
        return app

    async def test_a_client_that_takes_its_time_gets_everything(self, tmp_path: Path):
        head = len("HTTP/1.1 200 OK\r\n")
        assert (await self.serve_slowly(tmp_path, read=64_000_000 + head)).errors == []

    async def test_a_client_that_goes_away_does_no_harm(self, tmp_path: Path):
        assert (await self.serve_slowly(tmp_path, read=100_000)).errors == []

    async def test_a_client_that_does_not_read_is_given_up(self, tmp_path: Path, monkeypatch):
        monkeypatch.setattr(answers, "SEND_SECONDS", 0.2)
        assert (await self.serve_slowly(tmp_path, read=0)).errors == []

    async def test_what_was_written_before_goes_first(self):
        """A transport whose buffer is full keeps the file waiting."""
        left, right = socket.socketpair()
        with left, right, Path(__file__).open("rb") as file:
            left.setblocking(False)
            transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=left)
            transport.write(bytes(5_000_000))
            sending = zero_copy.send_file(transport, file.fileno(), offset=0, count=3, patience=10)
            task = asyncio.create_task(sending)
            received = b""
            while len(received) < 5_000_003:
                received += await asyncio.to_thread(right.recv, 1 << 20)
            await task
            transport.close()
            await zero_copy.send_file(transport, file.fileno(), offset=0, count=3, patience=10)
        assert received == bytes(5_000_000) + Path(__file__).read_bytes()[:3]


def test_patterns_agree_with_the_standard():
    assert re.fullmatch(rb"[a-z-]+", b"content-length")
    for name in (b"a b", b"a:b", b"a\n", b"\xe9", b"(x)"):
        assert answers._NAME.match(name) is None
    for value in (b"\r", b"\n", b"\x00", b"\x7f"):
        assert answers._FORBIDDEN.search(value)
    assert not answers._FORBIDDEN.search(b"tab\tand \xff")
