"""The cookie of a browser's session."""

from datetime import timedelta

from chitram.entrypoints.support.asgi import Scope, header_map

NAME = "chitram_session"
#: Browsers take a cookie of this name from this very host alone, and over https alone.
SECURE_NAME = f"__Host-{NAME}"


def is_secure(scope: Scope, *, public_url: str | None) -> bool:
    """Whether browsers reach us by https, as the edge found or as `PUBLIC_URL` says."""
    return bool(scope["scheme"] == "https") or (public_url or "").startswith("https://")


def session_cookie(scope: Scope, *, public_url: str | None) -> str | None:
    """The token in the session's cookie, None without one. Of several of that name the first counts."""
    if b"cookie" not in header_map(scope):
        return None
    wanted = (SECURE_NAME if is_secure(scope, public_url=public_url) else NAME).encode()
    # Not the combined field: its lines are joined with a comma, and cookies are parted by semicolons.
    for name, value in scope["headers"]:
        if name == b"cookie":
            for pair in value.split(b";"):
                key, _, token = pair.strip().partition(b"=")
                if key == wanted:
                    return str(token, "latin-1")
    return None


def set_session_cookie(token: str, *, life: timedelta, secure: bool) -> tuple[bytes, bytes]:
    """The field that has a browser keep `token` for `life`."""
    return _field(token, max_age=int(life.total_seconds()), secure=secure)


def clear_session_cookie(*, secure: bool) -> tuple[bytes, bytes]:
    """The field that has a browser forget the session's cookie."""
    return _field("", max_age=0, secure=secure)


def _field(value: str, *, max_age: int, secure: bool) -> tuple[bytes, bytes]:
    name, last = (SECURE_NAME, "; Secure") if secure else (NAME, "")
    text = f"{name}={value}; Max-Age={max_age}; Path=/; HttpOnly; SameSite=Lax{last}"
    return (b"set-cookie", text.encode("ascii"))
