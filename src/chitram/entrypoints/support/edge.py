"""What every request passes on its way in and out, whichever door answers it.

One wrapper instead of a stack: each costs a coroutine and two closures a request, and there would be seven.
"""

import os
import re
from collections.abc import Callable, Iterable

import structlog

from chitram.domain.errors import ChitramError, InternalError
from chitram.entrypoints.support.addresses import TrustedProxies
from chitram.entrypoints.support.asgi import (
    CLIENT,
    HEADER_MAP,
    HOST,
    REQUEST_ID,
    App,
    Receive,
    Scope,
    Send,
    accept,
    combine_headers,
)
from chitram.entrypoints.support.body import ClientDisconnected
from chitram.entrypoints.support.errors import error_response, report
from chitram.entrypoints.support.exchange import Exchange
from chitram.entrypoints.support.hosts import AllowedHosts, require_host
from chitram.observability import AccessLog, Metrics, current_request_id

#: Load balancers and orchestrators ask for these by address, not by name.
HEALTH_PATHS = frozenset({"/health", "/health/live", "/health/ready"})

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,128}\Z")

_log = structlog.get_logger("chitram.edge")


class RequestIds:
    """Makes ids of 24 hex digits that nobody can guess. The randomness comes in blocks: asking for it is what costs."""

    def __init__(self) -> None:
        self._digits = ""
        self._used = 0

    def __call__(self) -> str:
        if self._used == len(self._digits):
            self._digits, self._used = os.urandom(12 * 256).hex(), 0
        self._used += 24
        return self._digits[self._used - 24 : self._used]


class Edge:
    """The outermost ASGI application. Its steps, in order: `arriving` before the request, `leaving` after the answer.

    `default_host` is meant by requests that cannot name one; without it they are refused.
    What is done to the answer itself stands in `Exchange`.
    """

    def __init__(
        self,
        app: App,
        *,
        metrics: Metrics,
        access_log: AccessLog | None,
        trusted_proxies: Iterable[str] = (),
        allowed_hosts: Iterable[str] = (),
        default_host: str = "",
        make_request_id: Callable[[], str] | None = None,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._access_log = access_log
        self._proxies = TrustedProxies(trusted_proxies)
        self._hosts = AllowedHosts(allowed_hosts)
        self._default_host = default_host
        self._make_request_id = make_request_id or RequestIds()
        self.arriving: tuple[Callable[[Exchange], None], ...] = (
            self._identify,
            self._locate_client,
            self._check_host,
        )
        self.leaving: tuple[Callable[[Exchange], None], ...] = (self._count, self._write_access_log)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; the lifespan passes through, and nothing else is spoken here."""
        if scope["type"] != "http":
            await self._serve_other(scope, receive, send)
            return
        headers = scope[HEADER_MAP] = combine_headers(scope["headers"])
        exchange = Exchange(scope, receive, send, headers)
        self._metrics.requests_in_flight += 1
        try:
            for step in self.arriving:
                step(exchange)
            await self._app(scope, exchange.receive, exchange.send)
            await exchange.linger()
        except Exception as error:  # noqa: BLE001 - the last resort: nobody further out knows how to answer
            await self._answer_failure(exchange, error)
        finally:
            self._metrics.requests_in_flight -= 1
            exchange.finish()
            for step in self.leaving:
                step(exchange)

    async def _serve_other(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _identify(self, exchange: Exchange) -> None:
        """Give the request an id, under which everything that is logged meanwhile can be found."""
        given = exchange.request_headers.get(b"x-request-id")
        identity = given.decode("latin-1") if given is not None else ""
        if not identity or not _REQUEST_ID.match(identity):
            identity = self._make_request_id()
        exchange.scope[REQUEST_ID] = exchange.request_id = identity
        current_request_id.set(identity)

    def _locate_client(self, exchange: Exchange) -> None:
        """Find out the client's address, and the scheme and host it used, from what can be believed.

        HTTP/1.0 knows no Host; such clients get the one and only host that we have, if somebody told us of it.
        """
        scope, headers = exchange.scope, exchange.request_headers
        peer = scope.get("client")
        origin = self._proxies.origin(peer[0] if peer else None, headers)
        scope[CLIENT] = exchange.client = origin.client
        if origin.scheme is not None:
            scope["scheme"] = origin.scheme
        host = headers.get(b"host")
        if host is not None:
            scope[HOST] = host.decode("latin-1")
        else:
            scope[HOST] = self._default_host if scope.get("http_version") == "1.0" else ""

    def _check_host(self, exchange: Exchange) -> None:
        """Refuse names that are not ours: they would come back in the addresses that we answer. Health has any name."""
        host: str = exchange.scope[HOST]
        if exchange.scope["path"] not in HEALTH_PATHS:
            self._hosts.check(host)
        elif host or exchange.scope.get("http_version") != "1.0":
            require_host(host)

    async def _answer_failure(self, exchange: Exchange, error: Exception) -> None:
        if isinstance(error, ClientDisconnected):
            return
        failure = error if isinstance(error, ChitramError) else InternalError()
        if isinstance(error, ChitramError):
            report(error, request_id=exchange.request_id)
        elif not exchange.started or exchange.complete:
            _log.error("unexpected failure", path=exchange.scope["path"], exc_info=error)
        if exchange.complete:
            await exchange.linger()
            return
        if exchange.started:
            # Half an answer is out; only a connection that breaks tells the client so.
            raise error
        status, headers, body = error_response(failure, accept=accept(exchange.scope), request_id=exchange.request_id)
        await exchange.send({"type": "http.response.start", "status": status, "headers": headers})
        await exchange.send({"type": "http.response.body", "body": body})
        await exchange.linger()

    def _count(self, exchange: Exchange) -> None:
        method: str = exchange.scope["method"]
        self._metrics.request_answered(
            route=exchange.route,
            method=method if method in _METHODS else "OTHER",
            status=exchange.status,
            seconds=exchange.seconds,
        )

    def _write_access_log(self, exchange: Exchange) -> None:
        if self._access_log is None:
            return
        scope = exchange.scope
        self._access_log.request(
            request_id=exchange.request_id,
            client=exchange.client,
            method=scope["method"],
            path=scope["path"],
            route=exchange.route,
            status=exchange.status,
            duration_ms=exchange.seconds * 1000,
            bytes_out=exchange.bytes_out,
            user_agent=exchange.request_headers.get(b"user-agent", b"").decode("latin-1"),
        )
