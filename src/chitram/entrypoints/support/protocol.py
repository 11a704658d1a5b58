"""HTTP/1.1 on a connection, with an eye on clients that take their time: what uvicorn itself does not limit.

Bodies are watched where they are read (`body.py`); this is about everything before a body, and about connections.
"""

import asyncio
import copyreg
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_network
from secrets import token_hex
from typing import Any, cast
from urllib.parse import unquote

import httptools
import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from chitram.domain.addresses import limit_subject, parse_address
from chitram.domain.errors import InvalidRequest
from chitram.entrypoints.support.answers import SEND_SECONDS, AnswerCycle
from chitram.entrypoints.support.asgi import ZERO_COPY
from chitram.entrypoints.support.exchange import security_headers
from chitram.entrypoints.support.targets import authority
from chitram.entrypoints.support.upgrades import parser_behind_head

#: All header fields of a request together, in bytes. Browsers send 1 to 2 KiB.
MAX_HEAD_BYTES = 32 * 1024
MAX_HEADER_FIELDS = 100


class Connections:
    """Open connections by address, or by network where one client has many addresses.

    Those of trusted proxies have no limit: everybody comes through them.
    """

    def __init__(self, *, per_address: int, exempt: Sequence[str]) -> None:
        self._per_address = per_address
        self._exempt = tuple(ip_network(network, strict=False) for network in exempt)
        self._open: Counter[str] = Counter()

    def admit(self, address: str) -> bool:
        """Count one more connection of `address`; False, and not counted, when it has its share already."""
        subject = limit_subject(address)
        if self._open[subject] >= self._per_address and not self._is_exempt(address):
            return False
        self._open[subject] += 1
        return True

    def release(self, address: str) -> None:
        """One that was admitted is gone."""
        subject = limit_subject(address)
        self._open[subject] -= 1
        if self._open[subject] <= 0:
            del self._open[subject]

    def _is_exempt(self, text: str) -> bool:
        address = parse_address(text)
        return address is not None and any(address in network for network in self._exempt)


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
        self._extensions: dict[str, dict[object, object]] = {ZERO_COPY: {}} if self.scheme == "http" else {}
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
        self._unset_keepalive_if_required()
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self.send_400_response("")
            return
        # Line ends between requests begin none, but they too have ended the wait for the next one.
        if self._head_timer is None and (self._head_begun or self.cycle is None or self.cycle.response_complete):
            self._await_head()

    def _parse(self, data: bytes) -> None:
        rest: bytes | memoryview = data
        while True:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as wanted:
                rest = memoryview(rest)[wanted.args[0] :]
                version = self.parser.get_http_version()
                self.parser, head = parser_behind_head(self, version=version, headers=self.headers)
                self.parser.feed_data(head)
            else:
                return

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
        if not self.url.startswith(b"/"):
            self._take_authority()
        scope, version, url = self.scope, self.parser.get_http_version(), httptools.parse_url(self.url)
        raw_path = url.path or b"/"
        path = raw_path.decode("ascii")
        scope["http_version"] = version
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = raw_path
        scope["query_string"] = url.query or b""
        scope["extensions"] = self._extensions
        before = self.cycle
        self.cycle = AnswerCycle(
            scope=scope,
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

    def on_message_complete(self) -> None:
        """The body is there; not so when the parser stops for an upgrade, for then it is still to come."""
        cycle = self.cycle
        if not cycle.response_complete and not self.parser.should_upgrade():
            cycle.more_body = False
            cycle.message_event.set()

    def on_response_complete(self) -> None:
        """An answer is out, or on its way into a connection that ends with it: not for ever."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._await_reader()
        elif self._head_timer is not None:
            # The next head came while nobody looked; its time begins now.
            self._await_head()

    def timeout_keep_alive_handler(self) -> None:
        """No further request: end the connection, whether or not the client took its last answer."""
        if not self.transport.is_closing():
            self.transport.close()
            self._await_reader()

    def pause_writing(self) -> None:
        """The reader does not keep up: it has so long to take what there is."""
        super().pause_writing()
        self._await_reader()

    def resume_writing(self) -> None:
        """The reader has taken it, or nearly: on a connection that ends here the rest has to go in time as well."""
        if not self.transport.is_closing():
            self._stop_waiting_for_reader()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # the base class calls it so
        """What cannot be parsed gets an answer in the shape of all our errors."""
        if self.transport.is_closing():
            return
        identity = token_hex(12)
        self.logger.warning("what a client sent is no HTTP request: answer %s", identity)
        error = InvalidRequest("This is not a well-formed HTTP request.")
        body = orjson.dumps({"detail": {"code": error.code, "message": error.message, "details": {}}})
        head = (
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncache-control: no-store\r\n"
            b"%bconnection: close\r\ncontent-length: %d\r\n\r\n"
        )
        fields = (
            *self.server_state.default_headers,
            *security_headers(self.scheme or "http"),
            (b"x-request-id", identity.encode("ascii")),
        )
        lines = b"".join(b"%b: %b\r\n" % field for field in fields)
        self.transport.write(head % (lines, len(body)) + body)
        self.transport.close()
        self._await_reader()

    def _take_authority(self) -> None:
        """The host in an absolute target counts before the field Host. ValueError for targets that are not answered."""
        host = authority(self.url)
        if host is not None:
            self.headers[:] = [(b"host", host), *(field for field in self.headers if field[0] != b"host")]

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
        if self.cycle is not None and not self.cycle.response_complete:
            # The request before has the server's attention; it does not even read on.
            self._await_head()
        elif not self.transport.is_closing():
            self.transport.abort()


class _Configured(type):
    """The kind of the classes that `guarded_protocol` makes."""

    settings: Mapping[str, Any]


def guarded_protocol(*, per_address: int, exempt: Sequence[str], head_timeout: float) -> type[GuardedProtocol]:
    """The protocol class for one server. `head_timeout` is in seconds."""
    allowance = Connections(per_address=per_address, exempt=exempt)
    made = {"per_address": per_address, "exempt": exempt, "head_timeout": head_timeout}
    members = {"allowance": allowance, "head_timeout": head_timeout, "settings": made}
    return cast("type[GuardedProtocol]", _Configured("ServerProtocol", (GuardedProtocol,), members))


def _made_anew(protocol: _Configured) -> tuple[Callable[..., type], tuple[Mapping[str, Any]]]:
    return _from_settings, (protocol.settings,)


def _from_settings(settings: Mapping[str, Any]) -> type[GuardedProtocol]:
    return guarded_protocol(**settings)


# Several server processes each make their own class: one that is not in a module by its name cannot be handed over.
copyreg.pickle(_Configured, _made_anew)  # type: ignore[arg-type]  # typeshed knows of no classes whose kind is not `type`
