"""Errors as pages, for whoever looks at a page."""

from fastapi import Request
from fastapi.responses import HTMLResponse, Response

from chitram.domain.access import Viewer
from chitram.domain.errors import ChitramError
from chitram.entrypoints.support.asgi import VIEWER, accept, header_map, request_id
from chitram.entrypoints.support.errors import error_response
from chitram.entrypoints.support.wiring import wired
from chitram.entrypoints.web.pictures import size_text
from chitram.entrypoints.web.rendering import PAGE_FIELDS, Pages
from chitram.entrypoints.web.visitors import back_path

#: Where programs ask; they get JSON whatever they accept.
_FOR_PROGRAMS = ("/api/", "/static/", "/metrics", "/health", "/openapi.json", "/oembed")
#: What an answer says beside its body.
_PROTOCOL_FIELDS = frozenset({b"allow", b"retry-after", b"www-authenticate", b"content-range"})


def error_page(pages: Pages, request: Request, error: ChitramError, status: int) -> Response | None:
    """The page that says what went wrong and what to do now; None where a program or htmx asks.

    It shows nothing of the request but its id, and is the same for what does not exist and for what is not shown.
    """
    path: str = request.scope["path"]
    if path.startswith(_FOR_PROGRAMS) or b"hx-request" in header_map(request.scope):
        return None
    if "text/html" not in (accept(request.scope) or ""):
        return None
    texts = pages.texts
    viewer: Viewer = request.scope.get(VIEWER) or Viewer()
    headers = error_response(error, accept=None, request_id=request_id(request.scope), status=status)[1]
    protocol = {name.decode().title(): value.decode() for name, value in headers if name in _PROTOCOL_FIELDS}
    retry = protocol.get("Retry-After")
    here = back_path(request)
    limit = size_text(wired(request).settings.uploads.max_file_size)
    body = pages.text(
        request,
        "error",
        viewer=viewer,
        status=status,
        title=texts.error(f"{error.code}_title", otherwise=texts("errors.other_title")),
        message=texts.error(error.code, otherwise=error.message, limit=limit),
        retry_after=retry,
        retry_path=here if status in (429, 503) else None,
        offer_login=status in (401, 403) and viewer.user is None,
        path=here,
        request_id=request_id(request.scope) if status >= 500 else "",
    )
    fields = PAGE_FIELDS | {"Cache-Control": "no-store", "X-Robots-Tag": "noindex"}
    return HTMLResponse(body, status_code=status, headers=fields | protocol)
