"""Who sent a request."""

from collections.abc import Awaitable, Callable, Mapping

from fastapi import Request

from chitram.domain.access import Viewer
from chitram.domain.errors import ValidationFailed
from chitram.entrypoints.support.asgi import Scope
from chitram.entrypoints.support.queries import parse_query
from chitram.entrypoints.support.wiring import gate


async def viewer_of(request: Request) -> Viewer:
    """The viewer. Unauthorized, TokenExpired; CsrfRefused for changes by a cookie that another site asks for."""
    return await _asked(request, gate(request).viewer)


async def uploader_of(request: Request) -> Viewer:
    """The same for forms, which may hold the CSRF token: `require_own_form` has to follow.

    CsrfRefused already where nothing in the form could change it.
    """
    guard = gate(request)
    viewer = await _asked(request, guard.identify)
    guard.require_own_page(request.scope, viewer, form_follows=True)
    return viewer


def require_own_form(request: Request, viewer: Viewer, *, token: str | None) -> None:
    """Raise CsrfRefused unless the form is one of our own pages. `token` is the field `csrf_token`."""
    gate(request).require_own_page(request.scope, viewer, form_token=token)


async def _asked(request: Request, identify: Callable[[Scope, Mapping[str, str]], Awaitable[Viewer]]) -> Viewer:
    scope = request.scope
    try:
        query = parse_query(scope["query_string"])
    except ValidationFailed:
        # Credentials that are not good are told before anything else that is wrong.
        await identify(scope, {})
        raise
    return await identify(scope, query)
