"""Which other sites' pages may read our answers (CORS), by the setting `CORS_ORIGINS`.

Never with cookies: pages elsewhere sign in with a token of their own. The bytes of public and unlisted images, which
every page may show as it is, may be read by every page once the setting names any; they answer `*`, whoever asks, so
that caches need to keep them but once. Everything else answers the origins of the setting alone. Without the setting no
answer says anything, and none of this runs.
"""

from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from chitram.domain.errors import InvalidRequest
from chitram.entrypoints.support.asgi import App, Message, Send
from chitram.entrypoints.support.errors import error_response
from chitram.observability import current_request_id

METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE")
#: What pages may send beside what every page may.
REQUEST_FIELDS = (
    "Authorization",
    "Content-Digest",
    "Content-MD5",
    "Content-Type",
    "Digest",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Range",
    "Repr-Digest",
    "X-Delete-Token",
    "X-Request-ID",
)
#: What pages may read beside what every page may.
ANSWER_FIELDS = (
    "Content-Range",
    "ETag",
    "Link",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Repr-Digest",
    "Retry-After",
    "X-Cache",
    "X-Request-ID",
)
_SHARED = (b"cross-origin-resource-policy", b"cross-origin")


class CrossOrigin(CORSMiddleware):
    """Starlette's middleware, with our errors, and with `*` on what is there to be shown everywhere."""

    def __init__(self, app: App, *, origins: Iterable[str]) -> None:
        super().__init__(
            app,
            allow_origins=tuple(origins),
            allow_methods=METHODS,
            allow_headers=REQUEST_FIELDS,
            expose_headers=ANSWER_FIELDS,
        )
        self._exposed = (b"access-control-expose-headers", ", ".join(ANSWER_FIELDS).encode())

    def preflight_response(self, request_headers: Headers) -> Response:
        """The answer to a browser that asks what a page may send."""
        response = super().preflight_response(request_headers)
        if response.status_code == 200:
            return response
        error = InvalidRequest("Pages of this origin may not send such requests.")
        status, headers, body = error_response(
            error, accept=request_headers.get("accept"), request_id=current_request_id.get()
        )
        refusal = Response(body, status_code=status)
        kept = [(b"vary", response.headers["vary"].encode("latin-1"))]
        refusal.raw_headers = [*headers, *kept]
        return refusal

    async def send(self, message: Message, send: Send, request_headers: Headers) -> None:
        """Pass on a message of the answer."""
        if message["type"] == "http.response.start" and _SHARED in message["headers"]:
            message["headers"] = [*message["headers"], (b"access-control-allow-origin", b"*"), self._exposed]
            await send(message)
        else:
            await super().send(message, send, request_headers)
