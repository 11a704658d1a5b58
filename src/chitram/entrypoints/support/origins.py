"""Where somebody signs in from."""

from fastapi import Request

from chitram.entrypoints.support.asgi import CLIENT, header_map
from chitram.services.accounts import Origin


def origin_of(request: Request) -> Origin:
    """Where `request` came from, as the list of sessions shows it."""
    agent = header_map(request.scope).get(b"user-agent", b"").decode("latin-1")
    return Origin(request.scope[CLIENT], agent)
