"""Answers on the wire: as uvicorn writes them, but with the lines that come again and again made and checked once."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from chitram.entrypoints.support.asgi import ZERO_COPY, Message
from chitram.entrypoints.support.zero_copy import send_file

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

#: How long an answer may wait for its reader. The bytes door hands over 256 KiB at a time, so this is 4 KiB a second,
#: the pace that uploads have to keep too. Who takes less would hold a file and half a megabyte of memory for ever.
SEND_SECONDS = 64.0

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
#: What would end a line early, and other control characters.
_FORBIDDEN = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

#: A first piece of a body that is copied behind the head; copying a larger one costs more than a call.
_JOINED = 64 * 1024

#: These frame the body, so they have to be looked at each time.
_FRAMING = frozenset({b"content-length", b"transfer-encoding", b"connection"})
#: And these never come again, or hold what is for one client alone and must not be kept: sessions, places in lists.
_UNREPEATED = _FRAMING | {b"x-request-id", b"set-cookie", b"location", b"link", b"ratelimit"}
#: Fields whose lines are remembered. Most answers have the same ones, but for validators and names of files.
_MAX_LINES = 16_384
_lines: dict[tuple[bytes, bytes], bytes] = {}


class AnswerCycle(RequestResponseCycle):
    """A request and its answer. What an ASGI application sends is written as the base class does it.

    The head waits for the first of the body, so that most answers are one packet and one system call.
    """

    _head: bytes | None = None

    async def send(self, message: "ASGISendEvent") -> None:
        """Take what the application sends. RuntimeError for what does not add up to an answer."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        kind: str = message["type"]
        if message["type"] == "http.response.start" and not self.response_started:
            self._start(message["status"], message.get("headers", ()))
        elif kind == ZERO_COPY:
            await self._send_file(cast("Message", message))
        elif message["type"] == "http.response.body" and self._head is not None and not self.chunked_encoding:
            self._write_body(message.get("body", b""), more_body=message.get("more_body", False))
        else:
            self._write_head()
            await super().send(message)

    def _start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        # A head that was refused may have left its framing behind.
        self.expected_content_length, self.chunked_encoding = 0, None
        known, make = _lines.get, self._line
        parts = [STATUS_LINE[status], *[known(field) or make(field) for field in self.default_headers]]
        parts += [known(field) or make(field) for field in headers]
        if not self.keep_alive and b"connection: close\r\n" not in parts:
            parts.append(b"connection: close\r\n")
        if self.scope["method"] == "HEAD" or status in (204, 304):
            self.expected_content_length, self.chunked_encoding = 0, False
        elif self.chunked_encoding is None:
            self.chunked_encoding = True
            parts.append(b"transfer-encoding: chunked\r\n")
        parts.append(b"\r\n")
        self.response_started = True
        self.waiting_for_100_continue = False
        self._head = b"".join(parts)

    def _write_head(self) -> None:
        """Write the head, if it still waits."""
        if self._head is not None and not self.disconnected:
            self.transport.write(self._head)
        self._head = None

    def _write_body(self, body: bytes, *, more_body: bool) -> None:
        """Write the head with the first of the body, or all of it."""
        if self.scope["method"] == "HEAD":
            body = b""
        left = self.expected_content_length - len(body)
        if left < 0 or (left and not more_body):
            raise RuntimeError("the answer is not as long as its Content-Length")
        self.expected_content_length = left
        if self._head is not None and len(body) <= _JOINED:
            body, self._head = self._head + body, None
        self._write_head()
        self.transport.write(body)
        if not more_body:
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()

    async def _send_file(self, message: Message) -> None:
        """Send `count` bytes of `file` from `offset` on. The answer has a length, and the connection no encryption."""
        count: int = message["count"]
        if count > self.expected_content_length:
            raise RuntimeError("the answer is longer than its Content-Length")
        self._write_head()
        self.expected_content_length -= count
        file, offset = message["file"], message["offset"]
        await send_file(self.transport, file, offset=offset, count=count, patience=SEND_SECONDS)
        await super().send({"type": "http.response.body", "body": b"", "more_body": message["more_body"]})

    def _line(self, field: tuple[bytes, bytes]) -> bytes:
        """The line of one field. RuntimeError for one that could break out of its line."""
        name, value = field
        if (name not in _UNREPEATED and _NAME.match(name) is None) or _FORBIDDEN.search(value) is not None:
            raise RuntimeError("a header field of an answer is not well-formed")
        name = name.lower()
        if name in _FRAMING:
            self._frame(name, value)
        line = b"%b: %b\r\n" % (name, value)
        if name not in _UNREPEATED:
            if len(_lines) >= _MAX_LINES:
                _lines.clear()
            _lines[field] = line
        return line

    def _frame(self, name: bytes, value: bytes) -> None:
        if name == b"content-length" and self.chunked_encoding is None:
            self.expected_content_length = int(value)
            self.chunked_encoding = False
        elif name == b"transfer-encoding" and value.lower() == b"chunked":
            self.expected_content_length = 0
            self.chunked_encoding = True
        elif name == b"connection" and b"close" in [token.strip() for token in value.lower().split(b",")]:
            self.keep_alive = False
