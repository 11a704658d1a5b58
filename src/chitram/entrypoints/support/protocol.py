"""HTTP/1.1 on a connection, with an eye on clients that take their time: what uvicorn itself does not limit.

Bodies are watched where they are read (`body.py`); this is about everything before a body, and about connections.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from urllib.parse import unquote

import httptools
import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from chitram.domain.errors import InvalidRequest
from chitram.entrypoints.support.answers import AnswerCycle

#: All header fields of a request together, in bytes. Browsers send 1 to 2 KiB.
MAX_HEAD_BYTES = 32 * 1024
MAX_HEADER_FIELDS = 100
#: How long an answer may wait for its reader. The bytes door hands over 256 KiB at a time, so this is 4 KiB a second, the
#: pace that uploads have to keep too. Who takes less would hold a file and half a megabyte of memory for ever.
SEND_SECONDS = 64.0


class Connections:
    """Open connections by address. Addresses of trusted proxies are not counted: everybody comes through those."""

    def __init__(self, *, per_address: int, exempt: Sequence[str]) -> None:
        self._per_address = per_address
        self._exempt = tuple(ip_network(network, strict=False) for network in exempt)
        self._open: Counter[str] = Counter()

    def admit(self, address: str) -> bool:
        """Count one more connection of `address`; False, and not counted, when it has its share already."""
        if self._open[address] >= self._per_address and not self._is_exempt(address):
            return False
        self._open[address] += 1
        return True

    def release(self, address: str) -> None:
        """One that was admitted is gone."""
        self._open[address] -= 1
        if self._open[address] <= 0:
            del self._open[address]

    def _is_exempt(self, address: str) -> bool:
        try:
            return any(ip_address(address) in network for network in self._exempt)
        except ValueError:
            return False


class GuardedProtocol(HttpToolsProtocol):
    """Ends connections whose request head is late or too large, whose answers nobody reads, and those that are too many
    of one address.
    """

    allowance: Connections
    head_timeout: float
    send_timeout: float = SEND_SECONDS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the base class
        super().connection_made(transport)
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_begun = False
        self._send_timer: asyncio.TimerHandle | None = None
        self._address = self.client[0] if self.client else ""
        self._admitted = self.allowance.admit(self._address)
        if self._admitted:
            self._await_head()
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._admitted:
            self._admitted = False
            self.allowance.release(self._address)
        self._stop_waiting()
        self._stop_waiting_for_reader()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of requests. Only a head that does not come in one piece is waited for: a timer costs more than it."""
        super().data_received(data)
        if self._head_begun and self._head_timer is None:
            self._await_head()

    def on_message_begin(self) -> None:
        """A request begins: its head has to be complete in time, however it trickles in."""
        super().on_message_begin()
        self._head_bytes = 0
        self._head_begun = True
        self._stop_waiting()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Stop reading a head that has no end; the parser then answers 400."""
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MAX_HEAD_BYTES or len(self.headers) >= MAX_HEADER_FIELDS:
            raise ValueError("the request head is too large")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there: answer, or queue behind the request before. No upgrades, no root path, no ceiling here."""
        self._head_begun = False
        self._stop_waiting()
        version, url = self.parser.get_http_version(), httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        self.scope.update(
            http_version=version,
            method=self.parser.get_method().decode("ascii"),
            path=unquote(path) if "%" in path else path,
            raw_path=url.path,
            query_string=url.query or b"",
        )
        before = self.cycle
        self.cycle = AnswerCycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # the base class calls it so
        """What cannot be parsed gets an answer in the shape of all our errors."""
        if self.transport.is_closing():
            return
        error = InvalidRequest("This is not a well-formed HTTP request.")
        body = orjson.dumps({"detail": {"code": error.code, "message": error.message, "details": {}}})
        head = (
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncache-control: no-store\r\n"
            b"x-content-type-options: nosniff\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        )
        self.transport.write(head % len(body) + body)
        self.transport.close()

    def _await_head(self) -> None:
        self._stop_waiting()
        self._head_timer = self.loop.call_later(self.head_timeout, self._give_up)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _await_reader(self) -> None:
        self._stop_waiting_for_reader()
        self._send_timer = self.loop.call_later(self.send_timeout, self.transport.abort)

    def _stop_waiting_for_reader(self) -> None:
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()


def guarded_protocol(*, per_address: int, exempt: Sequence[str], head_timeout: float) -> type[GuardedProtocol]:
    """The protocol class for one server. `head_timeout` is in seconds."""
    allowance = Connections(per_address=per_address, exempt=exempt)
    return type("ServerProtocol", (GuardedProtocol,), {"allowance": allowance, "head_timeout": head_timeout})
