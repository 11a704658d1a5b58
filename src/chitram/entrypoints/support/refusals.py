"""Refusals that have to be on record: somebody tried what they may not do."""

import re

from chitram.domain.access import Viewer
from chitram.domain.audit import AuditAction, AuditEvent
from chitram.domain.errors import ChitramError, RateLimitExceeded
from chitram.domain.images import is_image_id
from chitram.entrypoints.support.asgi import CLIENT, ROUTE, VIEWER, Scope, header_map
from chitram.entrypoints.support.links import IMAGES_PATH, PAGE_PATH, SHORT_PATH
from chitram.ports.audit import Audit

#: Codes of what was asked for by somebody who may not have it.
RECORDED = frozenset({"FORBIDDEN", "CSRF_REFUSED", "DELETE_TOKEN_REQUIRED", "INVALID_DELETE_TOKEN"})
#: These are on record only where there were credentials: links that need them are followed without every day.
RECORDED_WITH_CREDENTIALS = frozenset({"UNAUTHORIZED", "TOKEN_EXPIRED"})
#: Private images are answered so, and ids that were never given: on record, alike, where somebody showed who they are
#: or a delete token. Everybody else follows dead links every day.
RECORDED_OF_KNOWN = frozenset({"IMAGE_NOT_FOUND"})
#: What image ids stand behind.
_BEFORE_IDS = (IMAGES_PATH, PAGE_PATH, SHORT_PATH)


def record_refusal(scope: Scope, error: ChitramError, *, audit: Audit) -> None:
    """Put the answer `error` to a request on record when it is a refusal of access.

    Wrong passwords and invitations are not: whoever judges them records them.
    """
    viewer: Viewer = scope.get(VIEWER) or Viewer()
    if _is_on_record(error.code, scope, viewer):
        _record(scope, viewer, error.code, audit=audit)


def record_limited(scope: Scope, *, audit: Audit) -> None:
    """Put on record that too many attempts were made with which passwords, invitations or delete tokens are guessed.

    What was asked for too often and guesses nothing, such as uploads, is not.
    """
    viewer: Viewer = scope.get(VIEWER) or Viewer()
    _record(scope, viewer, RateLimitExceeded.code, audit=audit)


def _record(scope: Scope, viewer: Viewer, code: str, *, audit: Audit) -> None:
    audit.record(
        AuditEvent(
            AuditAction.ACCESS_REFUSED,
            actor=viewer.name,
            subject=_image_id(scope),
            address=scope.get(CLIENT),
            refusal=code,
            details={"method": scope["method"], "route": scope.get(ROUTE) or getattr(scope.get("route"), "path", None)},
        )
    )


def _is_on_record(code: str, scope: Scope, viewer: Viewer) -> bool:
    if code in RECORDED_WITH_CREDENTIALS:
        return _has_credentials(scope)
    return code in RECORDED or (code in RECORDED_OF_KNOWN and viewer.name is not None)


def _has_credentials(scope: Scope) -> bool:
    headers = header_map(scope)
    return b"authorization" in headers or b"cookie" in headers


def _image_id(scope: Scope) -> str | None:
    """The id in the request's path, which is the API's, a page's or a short one."""
    path: str = scope["path"]
    for prefix in _BEFORE_IDS:
        if path.startswith(prefix):
            name = re.split(r"[/.]", path[len(prefix) :], maxsplit=1)[0]
            return name if is_image_id(name) else None
    return None
