"""Connections and request heads: what is admitted, what is given up, what is answered when nothing can be parsed."""

import asyncio
import contextlib
import json
import pickle
import re
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime

import pytest
import uvicorn

from chitram.entrypoints.support.protocol import (
    MAX_HEAD_BYTES,
    MAX_HEADER_FIELDS,
    Connections,
    GuardedProtocol,
    guarded_protocol,
)
from tests.factories.listening import listening

HEAD = b"GET /%s HTTP/1.1\r\nHost: h\r\n"


async def app(scope, receive, send):
    """Answers with its path and what it read; `/slow` takes its time, `/host` answers with the host."""
    if scope["path"] == "/slow":
        await asyncio.sleep(0.6)
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    text = f"{scope['method']} {scope['path']} {len(body)}".encode()
    if scope["path"] == "/host":
        text = b"|".join(value for name, value in scope["headers"] if name == b"host")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(text))]})
    await send({"type": "http.response.body", "body": text})


@contextlib.asynccontextmanager
async def served(*, per_address: int = 10, exempt: tuple[str, ...] = (), head_timeout: float = 5) -> AsyncIterator[int]:
    protocol = guarded_protocol(per_address=per_address, exempt=exempt, head_timeout=head_timeout)
    config = uvicorn.Config(app, http=protocol, loop="none", lifespan="off", log_config=None, ws="none")
    async with listening(config) as port:
        yield port


class Connection:
    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> "Connection":
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        return int(head[0].split()[1]), fields, await self._reader.readexactly(int(fields["content-length"]))

    async def is_closed(self) -> bool:
        """Whether the server ended it without another byte."""
        try:
            return await asyncio.wait_for(self._reader.read(1), 10) == b""
        except ConnectionResetError:
            return True


class TestConnections:
    def test_an_address_has_its_share(self):
        allowance = Connections(per_address=2, exempt=())
        assert [allowance.admit("192.0.2.1") for _ in range(3)] == [True, True, False]
        assert allowance.admit("192.0.2.2")
        allowance.release("192.0.2.1")
        assert allowance.admit("192.0.2.1")
        assert not allowance.admit("192.0.2.1")

    def test_proxies_have_no_limit_and_names_are_no_proxies(self):
        allowance = Connections(per_address=1, exempt=("10.0.0.0/8", "::1"))
        for address, more in (
            ("10.1.2.3", True),
            ("::ffff:10.1.2.3", True),
            ("::1", True),
            ("192.0.2.1", False),
            ("", False),
            ("unix", False),
        ):
            assert allowance.admit(address)
            assert allowance.admit(address) is more

    def test_a_network_of_ipv6_has_one_share(self):
        allowance = Connections(per_address=2, exempt=())
        admitted = [allowance.admit(f"2001:db8::{number}") for number in range(1, 5)]
        assert admitted == [True, True, False, False]
        assert allowance.admit("2001:db8:0:1::1")
        allowance.release("2001:db8::1")
        assert allowance.admit("2001:db8::9")

    def test_who_is_gone_is_forgotten(self):
        allowance = Connections(per_address=1, exempt=())
        for number in range(100):
            allowance.admit(str(number))
            allowance.release(str(number))
        assert not allowance._open


class TestRequests:
    async def test_several_on_one_connection_and_in_one_packet(self):
        async with served() as port, Connection(port) as connection:
            await connection.send(HEAD % b"a" + b"\r\n")
            assert (await connection.answer())[2] == b"GET /a 0"
            await connection.send(HEAD % b"b" + b"\r\n" + HEAD % b"c%20d?e=f" + b"\r\n")
            assert (await connection.answer())[2] == b"GET /b 0"
            assert (await connection.answer())[2] == b"GET /c d 0"
            await connection.send(
                b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello" + HEAD % b"q" + b"\r\n"
            )
            assert (await connection.answer())[2] == b"POST /p 5"
            assert (await connection.answer())[2] == b"GET /q 0"

    async def test_http_1_0_and_close_end_the_connection(self):
        for head in (b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"):
            async with served() as port, Connection(port) as connection:
                await connection.send(head)
                status, fields, _ = await connection.answer()
                assert (status, fields["connection"]) == (200, "close")
                assert await connection.is_closed()

    async def test_a_client_that_waits_is_told_to_go_on(self):
        async with served() as port, Connection(port) as connection:
            await connection.send(b"PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
            assert await connection._reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            await connection.send(b"abc")
            assert (await connection.answer())[2] == b"PUT /x 3"


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        HEAD % b"" + b"X: " + b"x" * (MAX_HEAD_BYTES + 1) + b"\r\n\r\n",
        HEAD % b"" + b"X: y\r\n" * (MAX_HEADER_FIELDS + 1) + b"\r\n",
    ],
)
async def test_what_cannot_be_parsed_gets_the_shape_of_all_errors(data):
    async with served() as port, Connection(port) as connection:
        await connection.send(data)
        status, fields, body = await connection.answer()
        assert (status, fields["connection"], fields["cache-control"]) == (400, "close", "no-store")
        assert json.loads(body)["detail"]["code"] == "INVALID_REQUEST"
        assert parsedate_to_datetime(fields["date"])
        assert re.fullmatch("[0-9a-f]{24}", fields["x-request-id"])
        assert await connection.is_closed()


async def test_what_cannot_be_parsed_is_logged_under_the_id_that_it_is_answered(caplog):
    async with served() as port, Connection(port) as connection:
        await connection.send(b"hello\r\n\r\n")
        _, fields, _ = await connection.answer()
    assert [record.getMessage() for record in caplog.records if fields["x-request-id"] in record.getMessage()]


class TestHeads:
    @pytest.mark.parametrize("sent", [b"", b"GET / HT", HEAD % b""])
    async def test_late_ones_are_given_up(self, sent):
        async with served(head_timeout=0.1) as port, Connection(port) as connection:
            await connection.send(sent)
            assert await connection.is_closed()

    @staticmethod
    async def trickle(connection: Connection) -> None:
        for byte in HEAD % b"":
            await connection.send(bytes((byte,)))
            await asyncio.sleep(0.02)

    async def test_trickling_does_not_help(self):
        async with served(head_timeout=0.15) as port, Connection(port) as connection:
            trickle = asyncio.create_task(self.trickle(connection))
            assert await connection.is_closed()
            trickle.cancel()

    async def test_a_second_late_one_on_the_same_connection_is_given_up_too(self):
        async with served(head_timeout=0.1) as port, Connection(port) as connection:
            await connection.send(HEAD % b"a" + b"\r\n")
            assert (await connection.answer())[0] == 200
            await connection.send(HEAD % b"b")
            assert await connection.is_closed()

    async def test_line_ends_keep_no_connection_open(self):
        async with served(head_timeout=0.1) as port, Connection(port) as connection:
            await connection.send(HEAD % b"a" + b"\r\n")
            assert (await connection.answer())[0] == 200
            await connection.send(b"\r\n")
            assert await connection.is_closed()

    async def test_a_head_behind_a_request_that_takes_long_is_not_late(self):
        async with served(head_timeout=0.4) as port, Connection(port) as connection:
            await connection.send(HEAD % b"slow" + b"\r\n" + HEAD % b"b")
            assert (await connection.answer())[2] == b"GET /slow 0"
            await connection.send(b"\r\n")
            assert (await connection.answer())[2] == b"GET /b 0"

    async def test_an_idle_connection_between_requests_is_kept(self):
        async with served(head_timeout=0.05) as port, Connection(port) as connection:
            for _ in range(2):
                await connection.send(HEAD % b"a" + b"\r\n")
                assert (await connection.answer())[0] == 200
                await asyncio.sleep(0.1)


async def test_more_connections_than_an_address_may_have_are_ended_and_room_comes_back():
    async with served(per_address=2) as port:
        async with Connection(port), Connection(port), Connection(port) as third:
            assert await third.is_closed()
        async with Connection(port) as again:
            await again.send(HEAD % b"a" + b"\r\n")
            assert (await again.answer())[0] == 200
    async with (
        served(per_address=1, exempt=("127.0.0.0/8",)) as port,
        Connection(port) as first,
        Connection(port) as second,
    ):
        for connection in (first, second):
            await connection.send(HEAD % b"a" + b"\r\n")
            assert (await connection.answer())[0] == 200


UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
HIDDEN = HEAD % b"hidden" + b"\r\n"
WITH_LENGTH = b"POST /a HTTP/1.1\r\nHost: h\r\n" + UPGRADE + b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN
CHUNKED = b"POST /a HTTP/1.1\r\nHost: h\r\n%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
WITH_CHUNKS = CHUNKED % (UPGRADE, len(HIDDEN), HIDDEN)
WITHOUT_BODY = b"POST /a HTTP/1.1\r\nHost: h\r\n" + UPGRADE + b"\r\n"
NEXT = HEAD % b"next" + b"\r\n"


class TestUpgrades:
    """No other protocol is spoken here. Whoever asks for one gets its answer in this one, body and all."""

    @pytest.mark.parametrize(
        ("sent", "length"), [(WITH_LENGTH, len(HIDDEN)), (WITH_CHUNKS, len(HIDDEN)), (WITHOUT_BODY, 0)]
    )
    async def test_a_body_is_no_request_wherever_segments_end(self, sent, length):
        async with served() as port:
            for cut in range(0, len(sent), 3):
                async with Connection(port) as connection:
                    await connection.send(sent[:cut])
                    await asyncio.sleep(0.001)
                    await connection.send(sent[cut:] + NEXT)
                    assert (await connection.answer())[2] == b"POST /a %d" % length, cut
                    assert (await connection.answer())[2] == b"GET /next 0", cut

    async def test_byte_by_byte(self):
        async with served() as port, Connection(port) as connection:
            for byte in WITH_CHUNKS + NEXT:
                await connection.send(bytes((byte,)))
                await asyncio.sleep(0.0005)
            assert (await connection.answer())[2] == b"POST /a %d" % len(HIDDEN)
            assert (await connection.answer())[2] == b"GET /next 0"

    async def test_a_thousand_in_one_segment(self, caplog):
        async with served() as port, Connection(port) as connection:
            await connection.send(WITHOUT_BODY * 500 + WITH_LENGTH * 500 + NEXT)
            for number in range(1000):
                assert (await connection.answer())[2] == b"POST /a %d" % (len(HIDDEN) if number >= 500 else 0)
            assert (await connection.answer())[2] == b"GET /next 0"
        assert caplog.text == ""

    async def test_a_length_that_cannot_be_is_refused_as_ever(self):
        head = b"POST /a HTTP/1.1\r\nHost: h\r\n" + UPGRADE + b"Transfer-Encoding: gzip\r\n\r\n"
        async with served() as port, Connection(port) as connection:
            await connection.send(head + HIDDEN)
            assert (await connection.answer())[0] == 400
            assert await connection.is_closed()

    async def test_closing_and_waiting_go_with_it(self):
        head = b"POST /a HTTP/1.1\r\nConnection: close, upgrade\r\nUpgrade: x\r\nContent-Length: 3\r\n"
        async with served() as port, Connection(port) as connection:
            await connection.send(head + b"Expect: 100-continue\r\n\r\n")
            assert await connection._reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            await connection.send(b"abc")
            _, fields, body = await connection.answer()
            assert (body, fields["connection"]) == (b"POST /a 3", "close")
            assert await connection.is_closed()


class TestTargets:
    @pytest.mark.parametrize(
        ("target", "host"),
        [
            (b"/host", b"h"),
            (b"http://img.example.org/host", b"img.example.org"),
            (b"HTTP://img.example.org:8000/host?a=b", b"img.example.org:8000"),
            (b"https://[2001:db8::1]:8000/host", b"[2001:db8::1]:8000"),
        ],
    )
    async def test_the_authority_counts_before_the_field(self, target, host):
        async with served() as port, Connection(port) as connection:
            await connection.send(b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n" % target)
            assert (await connection.answer())[2] == host

    @pytest.mark.parametrize(
        ("target", "path"), [(b"http://h", b"/"), (b"http://h?a=b", b"/"), (b"http://h/a%20b", b"/a b"), (b"*", b"*")]
    )
    async def test_an_authority_without_a_path_means_the_root(self, target, path):
        async with served() as port, Connection(port) as connection:
            await connection.send(b"OPTIONS %s HTTP/1.1\r\nHost: h\r\n\r\n" % target)
            assert (await connection.answer())[2] == b"OPTIONS %s 0" % path

    @pytest.mark.parametrize(
        "line",
        [
            b"CONNECT h:443",
            b"GET ftp://h/",
            b"GET h:443",
            b"GET http://user:secret@h/",
            b"GET http:///a",
            b"GET a",
        ],
    )
    async def test_others_are_refused_in_the_shape_of_all_errors(self, line):
        async with served() as port, Connection(port) as connection:
            await connection.send(line + b" HTTP/1.1\r\nHost: h\r\n\r\n" + NEXT)
            status, _, body = await connection.answer()
            assert (status, json.loads(body)["detail"]["code"]) == (400, "INVALID_REQUEST")
            assert await connection.is_closed()


def test_another_process_gets_one_with_the_same_limits():
    protocol = guarded_protocol(per_address=7, exempt=("192.0.2.1",), head_timeout=3.5)
    handed_over = pickle.loads(pickle.dumps(protocol))
    assert handed_over is not protocol
    assert handed_over.head_timeout == 3.5
    assert handed_over.settings == {"per_address": 7, "exempt": ("192.0.2.1",), "head_timeout": 3.5}
    assert issubclass(handed_over, GuardedProtocol)
