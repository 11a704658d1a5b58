"""Who looks at a page, and what their browser sent along."""

from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from fastapi import Request
from fastapi.responses import RedirectResponse, Response

from chitram.domain.access import Viewer
from chitram.domain.errors import Unauthorized
from chitram.entrypoints.support.asgi import header_map
from chitram.entrypoints.support.cookies import session_cookie
from chitram.entrypoints.support.csrf import FIELD
from chitram.entrypoints.support.viewers import require_own_form as require_own_token
from chitram.entrypoints.support.viewers import uploader_of, viewer_of
from chitram.entrypoints.support.wiring import wired
from chitram.entrypoints.web.rendering import Pages


class LoginNeeded(Exception):
    """The page is for people who are logged in: to the log-in page, and back to `path`."""

    def __init__(self, path: str, *, expired: bool) -> None:
        super().__init__(path)
        self.path = path
        self.expired = expired

    @property
    def location(self) -> str:
        """The log-in page that leads back."""
        return f"/login?next={quote(self.path, safe='/')}{'&expired=1' if self.expired else ''}"


def pages(request: Request) -> Pages:
    """What renders the pages of this server."""
    found: Pages = request.app.state.pages
    return found


async def visitor_of(request: Request) -> Viewer:
    """Who asks for a page; whoever has no good session is a stranger."""
    return await viewer_of(request)


async def member_of(request: Request) -> Viewer:
    """The same for pages that need an account; LoginNeeded."""
    viewer = await visitor_of(request)
    if viewer.user is None or viewer.session is None:
        public_url = wired(request).settings.app.public_url
        had_session = session_cookie(request.scope, public_url=public_url) is not None
        raise LoginNeeded(back_path(request), expired=had_session)
    return viewer


async def sender_of(request: Request) -> Viewer:
    """Who sends a form; `require_own_form` has to follow when it was read. LoginNeeded for a session that ended."""
    try:
        return await uploader_of(request)
    except Unauthorized:
        raise LoginNeeded(back_path(request), expired=True) from None


def require_own_form(request: Request, viewer: Viewer, form: Mapping[str, str]) -> None:
    """Raise CsrfRefused unless the form is one of our own pages."""
    require_own_token(request, viewer, token=form.get(FIELD))


def require_member(request: Request, viewer: Viewer) -> None:
    """Raise LoginNeeded unless the sender of a form is logged in."""
    if viewer.user is None or viewer.session is None:
        raise LoginNeeded(back_path(request), expired=False)


def is_partial(request: Request) -> bool:
    """Whether htmx asks for a part of a page."""
    return b"hx-request" in header_map(request.scope)


def own_path(text: str | None) -> str:
    """Where to go next: `text` if it is a path of this site, else the first page. Nobody is sent to other sites."""
    if not text or not text.startswith("/") or text.startswith(("//", "/\\")) or "\\" in text or not text.isprintable():
        return "/"
    parts = urlsplit(text)
    return text if not parts.scheme and not parts.netloc else "/"


def back_path(request: Request) -> str:
    """The page to come back to: a form that could not be sent leads to the page that it stands on."""
    path: str = request.scope["path"]
    if request.scope["method"] in ("GET", "HEAD"):
        query = request.scope["query_string"].decode("latin-1")
        return own_path(f"{path}?{query}" if query else path)
    if path.startswith("/account"):
        return "/account"
    return "/" if path == "/logout" else own_path(path)


def see_other(path: str) -> Response:
    """The answer to a form that was dealt with: look at `path`. Nobody keeps it, for it may set or end a session."""
    return RedirectResponse(path, status_code=303, headers={"Cache-Control": "no-store"})


async def to_login(request: Request, error: Exception) -> Response:
    """The answer to what needs an account: the log-in page, for htmx too."""
    assert isinstance(error, LoginNeeded)
    if is_partial(request):
        return Response(status_code=204, headers={"HX-Redirect": error.location})
    return see_other(error.location)
