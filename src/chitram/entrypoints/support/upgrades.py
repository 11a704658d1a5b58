"""Requests that ask for another protocol. There is none here, so they are read on as the HTTP/1.1 that they are.

The parser stops behind the head of such a request and would take its body for the next request: one hidden in another.
"""

from collections.abc import Iterable
from typing import Protocol

import httptools

#: The fields that say where a request ends and whether another one follows.
_FRAMING = frozenset({b"content-length", b"transfer-encoding", b"connection"})


class Callbacks(Protocol):
    """What a parser tells of a connection."""

    def on_message_begin(self) -> None: ...
    def on_url(self, url: bytes) -> None: ...
    def on_header(self, name: bytes, value: bytes) -> None: ...
    def on_headers_complete(self) -> None: ...
    def on_body(self, body: bytes) -> None: ...
    def on_message_complete(self) -> None: ...


def parser_behind_head(
    callbacks: Callbacks, *, version: str, headers: Iterable[tuple[bytes, bytes]]
) -> tuple[httptools.HttpRequestParser, bytes]:
    """A parser for the body of the request with these `headers` (lower-case names) and for what follows it.

    Feed it the head that comes with it first. That one has the same framing and wants no upgrade; of it `callbacks`
    hear nothing but, when there is no body, that the request is complete.
    """
    parser = httptools.HttpRequestParser(_BehindHead(callbacks))
    # As the server sets its own: what follows the last request is no error.
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    framing = b"".join(b"%s: %s\r\n" % field for field in headers if field[0] in _FRAMING)
    return parser, b"POST / HTTP/%s\r\n%s\r\n" % (version.encode(), framing)


class _BehindHead:
    """Passes on everything but the first head."""

    def __init__(self, callbacks: Callbacks) -> None:
        self._callbacks = callbacks
        self._passed = False

    def on_message_begin(self) -> None:
        if self._passed:
            self._callbacks.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if self._passed:
            self._callbacks.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._passed:
            self._callbacks.on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._passed:
            self._callbacks.on_headers_complete()
        self._passed = True

    def on_body(self, body: bytes) -> None:
        self._callbacks.on_body(body)

    def on_message_complete(self) -> None:
        self._callbacks.on_message_complete()
