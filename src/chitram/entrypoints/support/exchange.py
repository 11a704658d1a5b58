"""One request and its answer, as they pass the edge."""

import asyncio
import time
from collections.abc import Awaitable, Mapping

from chitram.entrypoints.support.asgi import REPLY_HEADERS, ROUTE, Headers, Message, Receive, Scope, Send

#: Fields that every answer carries, unless whoever made it set them otherwise.
SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
#: What pages of ours answer instead. Without a referrer, browsers write `Origin: null` for what their forms send, and
#: over plain HTTP nothing else says where those come from.
PAGE_REFERRER_POLICY = "same-origin"
_STRICT_TRANSPORT = (b"strict-transport-security", b"max-age=31536000")
_SECURITY_HEADERS_HTTPS = (*SECURITY_HEADERS, _STRICT_TRANSPORT)

#: How much of a refused body is still read so that the client, busy sending, gets to see its answer: closing with
#: unread bytes resets the connection and may wipe the answer out of the client's buffers. Many clients read nothing
#: before they have sent everything, so the bound has to hold a whole body of a size that people really try; discarding
#: costs about a millisecond a megabyte and holds one buffer. Whoever sends more, or slower, may lose the answer.
LINGER_BYTES = 64 * 1024 * 1024
LINGER_SECONDS = 10.0
LINGER_IDLE_SECONDS = 2.0
#: A rest this small is read and the connection kept.
KEEP_ALIVE_BYTES = 64 * 1024
#: Clients that wait for 100 Continue lose patience after about a second and send all the same.
_CONTINUE_SECONDS = 0.9

UNMATCHED = "unmatched"
#: The status of a request whose client went away before there was an answer.
CLIENT_CLOSED_REQUEST = 499


def security_headers(scheme: str) -> tuple[tuple[bytes, bytes], ...]:
    """The fields that every answer over `scheme` carries, in small letters."""
    return _SECURITY_HEADERS_HTTPS if scheme == "https" else SECURITY_HEADERS


class Exchange:
    """Wraps `receive` and `send` of one request. `status` is that of the answer, 0 before."""

    __slots__ = (
        "_body_asked_for",
        "_lingering",
        "_receive",
        "_send",
        "_unread",
        "bytes_out",
        "client",
        "complete",
        "receive",
        "request_headers",
        "request_id",
        "route",
        "scope",
        "seconds",
        "started",
        "started_at",
        "status",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send, headers: Mapping[bytes, bytes]) -> None:
        self.started_at = time.perf_counter()
        self.scope = scope
        self.request_headers = headers
        self.request_id = ""
        self.client = ""
        self.status = 0
        self.bytes_out = 0
        self.route = UNMATCHED
        self.seconds = 0.0
        self.started = False
        self.complete = False
        self._receive = receive
        self._send = send
        self._lingering = False
        self._body_asked_for = False
        #: Bytes of the body that are still to come; None when the client did not say; 0 once it is all here.
        self._unread: int | None = 0
        self.receive: Receive = receive
        if b"content-length" in headers or b"transfer-encoding" in headers:
            self._expect_body(headers)

    def _expect_body(self, headers: Mapping[bytes, bytes]) -> None:
        length = headers.get(b"content-length", b"")
        self._unread = int(length) if length.isdigit() and b"transfer-encoding" not in headers else None
        if self._unread != 0:
            self.receive = self._receive_counted

    async def _receive_counted(self) -> Message:
        self._body_asked_for = True
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._unread = 0
        elif self._unread is not None:
            # The last piece is said to be the last; until then there is at least one byte to come.
            self._unread = max(self._unread - len(message.get("body", b"")), 1)
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """Pass on a message of the answer, with what the edge adds to it."""
        if message["type"] == "http.response.start":
            return self._send(self._dress(message))
        body = message.get("body")
        self.bytes_out += len(body) if body else message.get("count", 0)
        if not message.get("more_body", False):
            self.complete = True
            if self._lingering:
                # The end of the answer is held back: the server would close at once.
                return self._send({**message, "more_body": True})
        return self._send(message)

    def _dress(self, message: Message) -> Message:
        self.started = True
        self.status = message["status"]
        headers: Headers = list(message.get("headers", ()))
        present = dict(headers)
        scope = self.scope
        for field in security_headers(scope["scheme"]):
            if field[0] not in present:
                headers.append(field)
        headers.append((b"x-request-id", self.request_id.encode("latin-1")))
        if REPLY_HEADERS in scope:
            headers.extend(scope[REPLY_HEADERS])
        if self._unread != 0:
            self._plan_end(headers, present)
        return {"type": "http.response.start", "status": self.status, "headers": headers}

    def _plan_end(self, headers: Headers, present: Mapping[bytes, bytes]) -> None:
        """The answer comes before the body is in: is the rest read, and is the connection kept?"""
        comes = self._body_comes()
        # Whoever was too slow with this body (408) would be so with its rest.
        small = self._unread is not None and self._unread <= KEEP_ALIVE_BYTES and self.status != 408
        if not (comes and small) and b"connection" not in present:
            headers.append((b"connection", b"close"))
        # Without a length the client cannot know before the end that it has the whole answer.
        self._lingering = comes and (b"content-length" in present or self.status in (204, 304))

    def _body_comes(self) -> bool:
        """Whether the client sends its body, or waits to be asked for it and now will not be."""
        waits = self.request_headers.get(b"expect", b"").lower() == b"100-continue"
        patient = time.perf_counter() - self.started_at < _CONTINUE_SECONDS
        return self._body_asked_for or not (waits and patient)

    def finish(self) -> None:
        """Settle `status`, `seconds` and `route`, a template that our doors set or the router found."""
        self.seconds = time.perf_counter() - self.started_at
        self.status = self.status or CLIENT_CLOSED_REQUEST
        route = self.scope.get(ROUTE)
        if route is None:
            route = getattr(self.scope.get("route"), "path", None)
        self.route = route or UNMATCHED

    async def linger(self) -> None:
        """After an early answer: read what the client still sends, within bounds, then end the answer."""
        if not self._lingering or not self.complete:
            return
        self._lingering = False
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                await self._discard()
        except TimeoutError:
            pass
        await self._send({"type": "http.response.body", "body": b""})

    async def _discard(self) -> None:
        discarded = 0
        while self._unread != 0 and discarded <= LINGER_BYTES:
            async with asyncio.timeout(LINGER_IDLE_SECONDS):
                message = await self._receive_counted()
            discarded += len(message.get("body", b""))
