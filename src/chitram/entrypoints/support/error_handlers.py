"""Makes FastAPI and Starlette answer errors in the one shape of this service."""

from collections.abc import Callable, Iterable, Sequence

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route

from chitram.domain.errors import (
    ChitramError,
    FileTooLarge,
    Forbidden,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    RateLimitExceeded,
    RequestTimeout,
    ServiceUnavailable,
    Unauthorized,
    ValidationFailed,
)
from chitram.entrypoints.support.asgi import accept, request_id
from chitram.entrypoints.support.body import ClientDisconnected
from chitram.entrypoints.support.errors import error_response, report, status_of
from chitram.entrypoints.support.refusals import record_refusal

#: Which methods another part of the application answers at a path.
AlsoAllowed = Callable[[str], Sequence[str]]
#: Makes a page of an error with its status, for requests of people; None for those of programs.
AsPage = Callable[[Request, ChitramError, int], Response | None]

_BY_STATUS: dict[int, type[ChitramError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    408: RequestTimeout,
    413: FileTooLarge,
    422: ValidationFailed,
    429: RateLimitExceeded,
    503: ServiceUnavailable,
}


def install(
    app: FastAPI,
    *,
    routes: Sequence[BaseRoute] = (),
    also_allowed: AlsoAllowed = lambda _path: (),
    as_page: AsPage = lambda _request, _error, _status: None,
) -> None:
    """Register the handlers. `routes` are those of the routers in `app`, which does not tell them itself, without those
    that are there to refuse; `also_allowed` completes the Allow field with methods answered outside of `app`.
    """

    async def answer(request: Request, error: Exception) -> Response:
        failure = _translate(error)
        if isinstance(failure, MethodNotAllowed) and isinstance(error, HTTPException):
            allowed = _allowed(request, error, routes=routes) | set(also_allowed(request.url.path))
            failure = MethodNotAllowed(details={"allow": sorted(allowed | ({"HEAD"} if "GET" in allowed else set()))})
        application = getattr(app.state, "application", None)
        if application is not None:
            record_refusal(request.scope, failure, audit=application.audit)
        status = _status_of(error)
        page = as_page(request, failure, status or status_of(failure))
        return _respond(request, failure, status=status) if page is None else _reported(request, failure, page)

    for kind in (ChitramError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, answer)
    app.add_exception_handler(ClientDisconnected, _nobody_listens)


async def _nobody_listens(_request: Request, _error: Exception) -> Response:
    return Response(status_code=499)


def _status_of(error: Exception) -> int | None:
    """Keep the status of protocol errors that share a code with others, such as 406 or 415."""
    if isinstance(error, HTTPException) and 400 <= error.status_code < 500 and error.status_code not in _BY_STATUS:
        return error.status_code
    return None


def _translate(error: Exception) -> ChitramError:
    if isinstance(error, ChitramError):
        return error
    if isinstance(error, RequestValidationError):
        return _validation_failed(error)
    if not isinstance(error, HTTPException):
        return InternalError()
    if error.status_code == 405:
        return MethodNotAllowed()
    if error.status_code in _BY_STATUS:
        return _BY_STATUS[error.status_code]()
    return InvalidRequest() if error.status_code < 500 else InternalError()


def _validation_failed(error: RequestValidationError) -> ValidationFailed:
    """Name the fields and what is wrong with them; the values stay out, for they may be secrets."""
    problems = [
        {"field": _field(problem.get("loc", ())), "message": str(problem.get("msg", "is not valid"))}
        for problem in error.errors()
    ]
    return ValidationFailed(details={"errors": problems})


def _field(location: Iterable[object]) -> str:
    """`("query", "limit")` → `limit`; a body that is no JSON at all → `body`."""
    parts = [str(part) for part in location if not isinstance(part, int)]
    return ".".join(parts[1:]) or ".".join(parts)


def _allowed(request: Request, error: HTTPException, *, routes: Sequence[BaseRoute]) -> set[str]:
    """Every method that is answered at this path: the router itself reports only those of the first route."""
    methods = {method.strip() for method in (error.headers or {}).get("Allow", "").split(",") if method.strip()}
    matching = [r for r in routes if isinstance(r, Route) and r.matches(request.scope)[0] is not Match.NONE]
    for route in matching:
        # Not those of a template that would take this path too if the first one did not.
        if route.path == matching[0].path:
            methods.update(route.methods or ())
    return methods


def _reported(request: Request, error: ChitramError, page: Response) -> Response:
    report(error, request_id=request_id(request.scope))
    return page


def _respond(request: Request, error: ChitramError, *, status: int | None) -> Response:
    identity = request_id(request.scope)
    report(error, request_id=identity)
    code, headers, body = error_response(error, accept=accept(request.scope), request_id=identity, status=status)
    response = Response(body, status_code=code)
    response.raw_headers = headers
    return response
