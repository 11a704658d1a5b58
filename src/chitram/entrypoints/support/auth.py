"""Who is asking, from a request's headers and query."""

import re
from collections.abc import Mapping

from chitram.domain.access import ANONYMOUS, Viewer
from chitram.domain.errors import Unauthorized

# Among several schemes too, as lines of the same name are joined.
_BEARER = re.compile(rb"(?i)(?:^|,)\s*bearer(?![^\s,])")


def viewer_from(headers: Mapping[bytes, bytes], query: Mapping[str, str]) -> Viewer:
    """The viewer that a request's credentials name; Unauthorized when there are some that are not valid.

    A delete token comes in the header `X-Delete-Token` or in the query as `delete_token`; the header wins. There are no
    accounts yet, so no Bearer token can be valid, and a bad token is never silently anonymous. Other schemes are not
    ours: a proxy that asks for a password itself passes it on.
    """
    authorization = headers.get(b"authorization")
    if authorization is not None and _BEARER.search(authorization):
        raise Unauthorized
    token = headers.get(b"x-delete-token")
    if token is not None:
        return Viewer(delete_token=token.decode("latin-1"))
    if "delete_token" in query:
        return Viewer(delete_token=query["delete_token"])
    return ANONYMOUS
