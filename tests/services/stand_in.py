"""A stand-in before an HTTP service: passes requests on, and answers those that a rule names in its own way."""

import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

#: Named by the connection, not by the message.
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came. `target` is path and query."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What to send back. `cut_after`: so many bytes of the body are sent, then the connection is reset; -1: not even
    the status. `declared`: the length that the head says. `pause`: seconds before each byte of the body.
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut_after: int | None = None
    declared: int | None = None
    pause: float = 0


#: Gives what is answered, and may have the request, or another one, passed on to the service for that.
Action = Callable[[Asked, Callable[[Asked], Reply]], Reply]


def says(status: int, body: str = "", **headers: str) -> Action:
    """Answer so, and tell the service nothing."""
    return lambda _asked, _pass_on: Reply(status, dict(headers), body.encode())


def complains(status: int, code: str) -> Action:
    """Answer as an S3 service does that refuses or fails."""
    return says(status, f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>")


def hangs_up(asked: Asked, _pass_on: Callable[[Asked], Reply]) -> Reply:
    """Reset the connection without having told the service."""
    return Reply(0, cut_after=-1)


def loses_answer(asked: Asked, pass_on: Callable[[Asked], Reply]) -> Reply:
    """Have it done, and reset the connection instead of saying so."""
    pass_on(asked)
    return Reply(0, cut_after=-1)


def truncates(asked: Asked, pass_on: Callable[[Asked], Reply]) -> Reply:
    """Send half of the body, as if the connection had broken."""
    reply = pass_on(asked)
    return replace(reply, cut_after=len(reply.body) // 2)


def shortens(asked: Asked, pass_on: Callable[[Asked], Reply]) -> Reply:
    """Send half of the body and say that this is all."""
    reply = pass_on(asked)
    return replace(reply, body=reply.body[: len(reply.body) // 2])


def drips(asked: Asked, pass_on: Callable[[Asked], Reply]) -> Reply:
    """Send one byte of the body a second."""
    return replace(pass_on(asked), pause=1.0)


def garbles(asked: Asked, pass_on: Callable[[Asked], Reply]) -> Reply:
    """Pass the body on with one bit turned."""
    body = bytearray(asked.body)
    body[len(body) // 2] ^= 1
    return pass_on(replace(asked, body=bytes(body)))


@dataclass(slots=True)
class Rule:
    """What becomes of requests of `method` whose target contains `part`: after `skip` of them, `times` of them."""

    method: str
    part: str
    action: Action
    times: int = 1_000_000
    skip: int = 0

    def takes(self, asked: Asked) -> bool:
        """Whether this rule is for the request, which is counted."""
        if asked.method != self.method or self.part not in asked.target:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return self.times >= 0


class StandIn:
    """Stands before the service on `target`, a port of the loopback address."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.rules: list[Rule] = []
        self.asked: list[Asked] = []
        self._lock = threading.Lock()
        self._server = _Server(self)
        self.port: int = self._server.server_address[1]

    def count(self, method: str, part: str = "") -> int:
        """How many requests of `method` came whose target contains `part`."""
        return sum(asked.method == method and part in asked.target for asked in self.asked)

    def reply(self, asked: Asked) -> Reply:
        """What to answer."""
        with self._lock:
            self.asked.append(asked)
            action = next((rule.action for rule in self.rules if rule.takes(asked)), None)
        return self.pass_on(asked) if action is None else action(asked, self.pass_on)

    def pass_on(self, asked: Asked) -> Reply:
        """The service's own answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.target, timeout=30)
        try:
            connection.putrequest(asked.method, asked.target, skip_host=True, skip_accept_encoding=True)
            for name, value in asked.headers.items():
                connection.putheader(name, value)
            connection.endheaders(asked.body)
            answer = connection.getresponse()
            headers = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP}
            length = int(answer.getheader("content-length") or 0)
            return Reply(answer.status, headers, answer.read(), declared=length if asked.method == "HEAD" else None)
        finally:
            connection.close()

    def serve(self) -> None:
        """Answer until `stop`."""
        self._server.serve_forever(poll_interval=0.02)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self._send(self.server.stand_in.reply(Asked(self.command, self.path, dict(self.headers.items()), body)))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815  # the names that the server looks for

    def _send(self, reply: Reply) -> None:
        if reply.cut_after == -1:
            self._reset()
            return
        self.send_response_only(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body) if reply.declared is None else reply.declared))
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(reply.body[: reply.cut_after], pause=reply.pause)
        if reply.cut_after is not None:
            self._reset()

    def _send_body(self, body: bytes, *, pause: float) -> None:
        if not pause:
            self.wfile.write(body)
            return
        for byte in body:
            time.sleep(pause)
            self.wfile.write(bytes([byte]))

    def _reset(self) -> None:
        """Have the connection end with RST instead of FIN."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def log_message(self, *arguments: object) -> None:
        """Nobody reads it."""


class _Server(ThreadingHTTPServer):
    # Threads that wait for a client which keeps its connection must not hold up the end.
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, stand_in: StandIn) -> None:
        self.stand_in = stand_in
        super().__init__(("127.0.0.1", 0), _Handler)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]  # it is one
        """Close, without the FIN that would come first."""
        request.close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that leave early are what the tests are about."""


@contextmanager
def stand_in(target: int) -> Iterator[StandIn]:
    """A stand-in before `target` until the context ends."""
    server = StandIn(target)
    thread = threading.Thread(target=server.serve, name="stand-in", daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()
