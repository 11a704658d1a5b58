"""Where request handlers find the wired application."""

from starlette.requests import Request

from chitram.bootstrap import Application
from chitram.domain.errors import ServiceUnavailable


def wired(request: Request) -> Application:
    """The application that this server runs; ServiceUnavailable before it has started."""
    application = getattr(request.app.state, "application", None)
    if not isinstance(application, Application):
        raise ServiceUnavailable(retry_after=1)
    return application
