"""Who is asking: the credentials of a request, and the viewer that they name."""

import re
from collections.abc import Mapping
from datetime import timedelta

from chitram.domain.access import Viewer
from chitram.domain.errors import Unauthorized
from chitram.domain.sessions import SessionKind
from chitram.entrypoints.support.asgi import CLIENT, VIEWER, Scope, add_reply_headers, header_map
from chitram.entrypoints.support.cookies import (
    clear_session_cookie,
    is_secure,
    session_cookie,
    set_session_cookie,
)
from chitram.entrypoints.support.csrf import (
    SAFE_METHODS,
    is_cross_site_embed,
    is_foreign_embed,
    require_own_page,
)
from chitram.services.authentication import Authentication, Credentials

# Among several schemes too, as lines of the same name are joined.
_BEARER = re.compile(rb"(?i)(?:^|,)\s*bearer(?![^\s,])([^,]*)")
_TOKEN = re.compile(rb"[!-~]+\Z")

#: The header fields by which a request says who is asking.
_FIELDS = frozenset({b"authorization", b"cookie", b"x-delete-token"})


def is_anonymous(headers: Mapping[bytes, bytes], query: Mapping[str, str]) -> bool:
    """Whether nothing in the request can be a credential, so that nobody has to be asked whose it is."""
    return _FIELDS.isdisjoint(headers) and "delete_token" not in query


def bearer_token(headers: Mapping[bytes, bytes]) -> str | None:
    """The Bearer token, None without one; Unauthorized for an empty one and for several.

    Other schemes are not ours: a proxy that asks for a password itself passes it on.
    """
    authorization = headers.get(b"authorization")
    found = [] if authorization is None else _BEARER.findall(authorization)
    if not found:
        return None
    token: bytes = found[0].strip()
    if len(found) > 1 or not _TOKEN.match(token):
        raise Unauthorized
    return token.decode("ascii")


def delete_token(headers: Mapping[bytes, bytes], query: Mapping[str, str]) -> str | None:
    """The delete token of the header `X-Delete-Token`, else that of the query."""
    token = headers.get(b"x-delete-token")
    return query.get("delete_token") if token is None else token.decode("latin-1")


class Gate:
    """Finds out who is asking, and keeps other sites from acting for whoever is signed in here.

    `public_url` as in the settings.
    """

    def __init__(self, authentication: Authentication, *, public_url: str | None) -> None:
        self._authentication = authentication
        self._public_url = public_url

    async def viewer(self, scope: Scope, query: Mapping[str, str]) -> Viewer:
        """The viewer whose credentials the request carries. Unauthorized, TokenExpired, CsrfRefused."""
        viewer = await self.identify(scope, query)
        self.require_own_page(scope, viewer)
        return viewer

    async def identify(self, scope: Scope, query: Mapping[str, str], *, signing_in: bool = False) -> Viewer:
        """The same, before it is known whether a page of ours asks: `require_own_page` has to follow for changes.

        Unauthorized and TokenExpired for credentials that are not good, except that a stale cookie is nobody's where
        nothing is changed, or for who is `signing_in`, and the answer has the browser forget it. Other sites' pages
        cannot bring that about: of theirs it is nobody's, and stays.
        """
        bearer = bearer_token(header_map(scope))
        cookie = self._cookie(scope) if bearer is None else None
        token, address = delete_token(header_map(scope), query), scope.get(CLIENT, "")
        viewer = Viewer(delete_token=token, address=address)
        if bearer is not None or cookie is not None:
            try:
                viewer = await self._authentication.viewer(Credentials(bearer, cookie, token, address))
            except Unauthorized:
                if bearer is not None:
                    raise
                if not is_cross_site_embed(header_map(scope)):
                    self._forget_cookie(scope)
                    if not (signing_in or scope["method"] in SAFE_METHODS):
                        raise
        scope[VIEWER] = viewer
        return viewer

    async def stranger(self, scope: Scope) -> Viewer:
        """Who signs in or registers without a cookie. A bad Bearer token is no better here than elsewhere."""
        bearer, address = bearer_token(header_map(scope)), scope.get(CLIENT, "")
        viewer = scope[VIEWER] = await self._authentication.viewer(Credentials(bearer=bearer, address=address))
        return viewer

    def require_own_page(
        self, scope: Scope, viewer: Viewer, *, form_token: str | None = None, form_follows: bool = False
    ) -> None:
        """Raise CsrfRefused unless a change that a cookie would authorise is meant by our own pages.

        `form_follows`: the form, which may hold the token, is still to be read; this has to be asked again then.
        """
        if is_by_cookie(viewer) and scope["method"] not in SAFE_METHODS:
            self.require_own_sign_in(scope, viewer, form_token=form_token, form_follows=form_follows)

    def require_own_sign_in(
        self, scope: Scope, viewer: Viewer, *, form_token: str | None = None, form_follows: bool = False
    ) -> None:
        """Raise CsrfRefused unless our own pages ask, whoever `viewer` is: nobody is to be signed in by strangers."""
        session = viewer.session

        def is_right(token: str) -> bool:
            return session is not None and self._authentication.check_csrf_token(session.id, token)

        require_own_page(
            scope,
            public_url=self._public_url,
            is_right=is_right,
            form_token=form_token,
            form_follows=form_follows,
        )

    def forget(self, scope: Scope, viewer: Viewer) -> None:
        """Have the answer take the cookie from the browser, when the viewer's session lives in one."""
        if is_by_cookie(viewer):
            self._forget_cookie(scope)

    def remember(self, scope: Scope, token: str, *, life: timedelta) -> None:
        """Have the answer put `token` into the browser's cookie."""
        secure = is_secure(scope, public_url=self._public_url)
        add_reply_headers(scope, [set_session_cookie(token, life=life, secure=secure)])

    def _cookie(self, scope: Scope) -> str | None:
        # A change is not made as if nobody were signed in: it is refused when the cookie turns out to be good.
        if scope["method"] in SAFE_METHODS and is_foreign_embed(header_map(scope)):
            return None
        return session_cookie(scope, public_url=self._public_url)

    def _forget_cookie(self, scope: Scope) -> None:
        secure = is_secure(scope, public_url=self._public_url)
        add_reply_headers(scope, [clear_session_cookie(secure=secure)])


def is_by_cookie(viewer: Viewer) -> bool:
    """Whether the viewer's credential is one that browsers send by themselves."""
    return viewer.session is not None and viewer.session.kind is SessionKind.BROWSER
