"""Who is asking, from a request's headers and query."""

from collections.abc import Mapping

from chitram.domain.access import ANONYMOUS, Viewer
from chitram.domain.errors import Unauthorized


def viewer_from(headers: Mapping[bytes, bytes], query: Mapping[str, str]) -> Viewer:
    """The viewer that a request's credentials name; Unauthorized when there are some that are not valid.

    A delete token comes in the header `X-Delete-Token` or in the query as `delete_token`; the header wins. There are no
    accounts yet, so nothing in an Authorization field can be valid, and a bad token is never silently anonymous.
    """
    if b"authorization" in headers:
        raise Unauthorized
    token = headers.get(b"x-delete-token")
    if token is not None:
        return Viewer(delete_token=token.decode("latin-1"))
    if "delete_token" in query:
        return Viewer(delete_token=query["delete_token"])
    return ANONYMOUS
