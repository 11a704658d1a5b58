"""Whether a request that a browser authenticated by its cookie was meant by our own pages.

Browsers of today say where a request comes from (`Sec-Fetch-Site`), older ones at least whose page it was (`Origin`).
Where both are missing, it takes a token that only our pages know.
"""

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from chitram.domain.errors import CsrfRefused
from chitram.entrypoints.support.asgi import HOST, Scope, header_map

HEADER = b"x-csrf-token"
FIELD = "csrf_token"

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITES = frozenset({b"same-origin", b"none"})
_DEFAULT_PORTS = {"http": 80, "https": 443}


def require_own_page(
    scope: Scope,
    *,
    public_url: str | None,
    is_right: Callable[[str], bool],
    form_token: str | None = None,
    form_follows: bool = False,
) -> None:
    """Raise CsrfRefused unless the request comes from a page of ours, or shows a token that `is_right`.

    A token that is there has to be right, whatever else speaks for the request. `form_token` is that of the form. While
    the form is still to be read (`form_follows`), a request that says nothing passes: its token may come.
    """
    headers = header_map(scope)
    sent = headers.get(HEADER)
    given = (None if sent is None else sent.decode("latin-1"), form_token)
    tokens = [token for token in given if token is not None]
    verdict = _origin_verdict(headers, scope, public_url=public_url)
    if verdict is False or not all(is_right(token) for token in tokens) or not (verdict or tokens or form_follows):
        raise CsrfRefused


def is_foreign_embed(headers: Mapping[bytes, bytes]) -> bool:
    """Whether another site's page asked for this without the person going there: cookies mean nothing then.

    A frame of that page is no place to go to.
    """
    if not is_foreign(headers):
        return False
    return headers.get(b"sec-fetch-mode") != b"navigate" or headers.get(b"sec-fetch-dest") not in (None, b"document")


def is_cross_site_embed(headers: Mapping[bytes, bytes]) -> bool:
    """The same of sites that are not even of our domain."""
    return headers.get(b"sec-fetch-site") == b"cross-site" and is_foreign_embed(headers)


def is_foreign(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the browser says that a page of another site led here, or of another host of this one."""
    site = headers.get(b"sec-fetch-site")
    return site is not None and site not in _OWN_SITES


def _origin_verdict(headers: Mapping[bytes, bytes], scope: Scope, *, public_url: str | None) -> bool | None:
    """Whether the browser says that the request comes from us; None when it says nothing."""
    if b"sec-fetch-site" in headers:
        return not is_foreign(headers)
    origin = headers.get(b"origin")
    if origin is None or origin == b"null":
        # Browsers write `null` for pages that keep their address to themselves, ours among them.
        return None
    ours = {_origin(f"{scope['scheme']}://{scope[HOST]}")}
    if public_url:
        ours.add(_origin(public_url))
    return _origin(origin.decode("latin-1")) in ours - {None}


def _origin(address: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of an address; None for one that has none, such as `null`."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        return None
    return (parts.scheme, parts.hostname, port or _DEFAULT_PORTS[parts.scheme])
