"""The shapes of ASGI, and what the edge leaves in the scope for the code behind it."""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

Headers = list[tuple[bytes, bytes]]

#: ASGI's extension by which the server sends part of a file: `file`, a descriptor, `offset`, `count`, `more_body`.
ZERO_COPY = "http.response.zerocopysend"

#: Keys in the scope. The edge sets all but the route, which the code that answers sets to its template.
REQUEST_ID = "chitram.request_id"
CLIENT = "chitram.client"
HOST = "chitram.host"
HEADER_MAP = "chitram.headers"
ROUTE = "chitram.route"
#: Header fields that the code behind the edge wants on the answer, whatever becomes of the request: a list.
REPLY_HEADERS = "chitram.reply_headers"
#: The viewer, once a request's credentials were found good.
VIEWER = "chitram.viewer"


def combine_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Header fields by lower-case name; lines of the same name are joined with a comma, as RFC 9110 allows."""
    pairs = list(headers)
    combined = dict(pairs)
    if len(combined) != len(pairs):
        combined.clear()
        for name, value in pairs:
            combined[name] = combined[name] + b", " + value if name in combined else value
    return combined


def header_map(scope: Scope) -> Mapping[bytes, bytes]:
    """The request's header fields by lower-case name, made once a request."""
    found: Mapping[bytes, bytes] | None = scope.get(HEADER_MAP)
    if found is None:
        found = scope[HEADER_MAP] = combine_headers(scope["headers"])
    return found


def request_id(scope: Scope) -> str:
    """The id under which this request is logged; empty outside the edge."""
    found: str = scope.get(REQUEST_ID, "")
    return found


def accept(scope: Scope) -> str | None:
    """The request's Accept field."""
    value = header_map(scope).get(b"accept")
    return None if value is None else value.decode("latin-1")


def add_reply_headers(scope: Scope, fields: Iterable[tuple[bytes, bytes]]) -> None:
    """Have the edge put `fields` on the answer beside those that others asked for, whatever becomes of the request."""
    found: Headers = scope.setdefault(REPLY_HEADERS, [])
    found.extend(fields)


def accepts_gzip(scope: Scope) -> bool:
    """Whether the client takes answers that are compressed with gzip."""
    codings = header_map(scope).get(b"accept-encoding", b"").lower().split(b",")
    return any(re.fullmatch(rb"\s*gzip\s*(;\s*q=(?!0(\.0*)?\s*$).*)?", coding) for coding in codings)
