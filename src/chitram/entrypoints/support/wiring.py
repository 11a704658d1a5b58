"""Where request handlers find the wired application."""

from starlette.requests import Request

from chitram.bootstrap import Application
from chitram.domain.errors import ServiceUnavailable
from chitram.entrypoints.support.auth import Gate


def wired(request: Request) -> Application:
    """The application that this server runs; ServiceUnavailable before it has started."""
    application = getattr(request.app.state, "application", None)
    if not isinstance(application, Application):
        raise ServiceUnavailable(retry_after=1)
    return application


def gate(request: Request) -> Gate:
    """Where it is found out who sent `request`; ServiceUnavailable before the server has started."""
    application = wired(request)
    return Gate(application.authentication, public_url=application.settings.app.public_url)
