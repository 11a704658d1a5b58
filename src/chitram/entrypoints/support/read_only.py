"""Read-only mode: everything can be looked at, every change is refused before its body is read."""

from collections.abc import Callable

from chitram.domain.errors import ChitramError, ReadOnly
from chitram.entrypoints.support.asgi import App, Headers, Receive, Scope, Send, accept, request_id
from chitram.entrypoints.support.errors import error_response

_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})

AsPage = Callable[[Scope, ChitramError], tuple[int, Headers, bytes] | None]


class ReadOnlyGate:
    """Stands before everything that answers. `as_page` makes an error a page for people, or None for programs.

    It is there to answer at once and in plain words: what keeps the data as they are is the database, which then opens
    no transaction that could write.
    """

    def __init__(self, app: App, *, as_page: AsPage) -> None:
        self._app = app
        self._as_page = as_page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what only looks; refuse the rest."""
        if scope["type"] != "http" or scope["method"] not in _CHANGING:
            await self._app(scope, receive, send)
            return
        error = ReadOnly()
        status, headers, body = self._as_page(scope, error) or error_response(
            error, accept=accept(scope), request_id=request_id(scope)
        )
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
