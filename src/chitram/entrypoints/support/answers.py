"""Answers on the wire: as uvicorn writes them, but with the lines that come again and again made and checked once."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
#: What would end a line early, and other control characters.
_FORBIDDEN = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

#: These frame the body, so they have to be looked at each time; and request ids never come again.
_FRAMING = frozenset({b"content-length", b"transfer-encoding", b"connection"})
_UNREPEATED = _FRAMING | {b"x-request-id"}
#: Fields whose lines are remembered. Most answers have the same ones, but for validators and names of files.
_MAX_LINES = 4096
_lines: dict[tuple[bytes, bytes], bytes] = {}


class AnswerCycle(RequestResponseCycle):
    """A request and its answer. What an ASGI application sends is written as the base class does it."""

    async def send(self, message: "ASGISendEvent") -> None:
        """Write the head of the answer here, everything else as before."""
        if message["type"] != "http.response.start" or self.response_started or self.flow.write_paused:
            await super().send(message)
        elif not self.disconnected:
            self._start(message["status"], message.get("headers", ()))

    def _start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        parts = [STATUS_LINE[status]]
        for fields in (self.default_headers, headers):
            for field in fields:
                parts.append(_lines.get(field) or self._line(field))
        if not self.keep_alive and b"connection: close\r\n" not in parts:
            parts.append(b"connection: close\r\n")
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in (204, 304):
            self.chunked_encoding = True
            parts.append(b"transfer-encoding: chunked\r\n")
        parts.append(b"\r\n")
        self.response_started = True
        self.waiting_for_100_continue = False
        self.transport.write(b"".join(parts))

    def _line(self, field: tuple[bytes, bytes]) -> bytes:
        """The line of one field. RuntimeError for one that could break out of its line."""
        name, value = field
        if _NAME.match(name) is None or _FORBIDDEN.search(value) is not None:
            raise RuntimeError("a header field of an answer is not well-formed")
        name = name.lower()
        line = b"%s: %s\r\n" % (name, value)
        if name in _FRAMING:
            self._frame(name, value)
        elif name not in _UNREPEATED:
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
