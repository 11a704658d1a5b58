"""Errors as pages, for whoever looks at a page, and as messages, for who looks at a part of one."""

from fastapi import Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response

from chitram.domain.access import Viewer
from chitram.domain.errors import ChitramError, CsrfRefused
from chitram.entrypoints.support.asgi import VIEWER, accept, request_id
from chitram.entrypoints.support.errors import protocol_headers, report
from chitram.entrypoints.support.refusals import record_refusal
from chitram.entrypoints.support.wiring import wired
from chitram.entrypoints.web.forms import sentences_of
from chitram.entrypoints.web.rendering import PAGE_FIELDS, Pages
from chitram.entrypoints.web.visitors import back_path, is_partial

#: Where programs ask; they get JSON whatever they accept.
_FOR_PROGRAMS = ("/api/", "/static/", "/metrics", "/health", "/openapi.json", "/oembed")


def error_page(pages: Pages, request: Request, error: ChitramError, status: int) -> Response | None:
    """The page that says what went wrong and what to do now; for htmx its words alone; None where a program asks.

    It shows nothing of the request but its id, and is the same for what does not exist and for what is not shown.
    """
    path: str = request.scope["path"]
    if path.startswith(_FOR_PROGRAMS):
        return None
    protocol = {name.decode().title(): value.decode() for name, value in protocol_headers(error, status=status)}
    if is_partial(request):
        words = " ".join(_sentences(pages, request, error, status).values())
        return PlainTextResponse(words, status_code=status, headers={"Cache-Control": "no-store"} | protocol)
    if "text/html" not in (accept(request.scope) or ""):
        return None
    texts = pages.texts
    viewer: Viewer = request.scope.get(VIEWER) or Viewer()
    here = back_path(request)
    # The page that the form stands on is to be loaded again.
    is_old = isinstance(error, CsrfRefused)
    body = pages.text(
        request,
        "error",
        viewer=viewer,
        status=status,
        title=texts.error(f"{error.code}_title", otherwise=texts("errors.other_title")),
        sentences=_sentences(pages, request, error, status),
        retry_path=here if status in (429, 503) or is_old else None,
        offer_login=status in (401, 403) and viewer.user is None and not is_old,
        path=here,
    )
    fields = PAGE_FIELDS | {"Cache-Control": "no-store", "X-Robots-Tag": "noindex"}
    return HTMLResponse(body, status_code=status, headers=fields | protocol)


def put_on_record(request: Request, error: ChitramError) -> None:
    """What is done about every error of the API, for one that a page shows beside its form."""
    record_refusal(request.scope, error, audit=wired(request).audit)
    report(error, request_id=request_id(request.scope))


def _sentences(pages: Pages, request: Request, error: ChitramError, status: int) -> dict[str, str]:
    """What is wrong, when to try again, and which request it was for whoever runs the server, as far as it helps."""
    number = {"request": pages.texts("errors.request", id=request_id(request.scope))} if status >= 500 else {}
    return sentences_of(request, error) | number
