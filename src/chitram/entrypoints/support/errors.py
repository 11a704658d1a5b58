"""Errors as answers: the one table from error codes to HTTP statuses, and the one shape that all of them have."""

import math
from collections.abc import Mapping
from http import HTTPStatus

import orjson
import structlog

from chitram.domain.errors import ChitramError
from chitram.entrypoints.support.asgi import Headers

PROBLEM_JSON = "application/problem+json"

STATUS_BY_CODE: Mapping[str, int] = {
    "INVALID_FILE_FORMAT": 400,
    "INVALID_REQUEST": 400,
    "UNAUTHORIZED": 401,
    "TOKEN_EXPIRED": 401,
    "INVALID_CREDENTIALS": 401,
    "FORBIDDEN": 403,
    "CSRF_REFUSED": 403,
    "REGISTRATION_CLOSED": 403,
    "INVALID_INVITE": 403,
    "DELETE_TOKEN_REQUIRED": 403,
    "INVALID_DELETE_TOKEN": 403,
    "NOT_FOUND": 404,
    "IMAGE_NOT_FOUND": 404,
    "USER_NOT_FOUND": 404,
    "SESSION_NOT_FOUND": 404,
    "TOKEN_NOT_FOUND": 404,
    "THUMBNAIL_NOT_READY": 404,
    "METHOD_NOT_ALLOWED": 405,
    "REQUEST_TIMEOUT": 408,
    "EMAIL_EXISTS": 409,
    "IDEMPOTENCY_KEY_IN_USE": 409,
    "PRECONDITION_FAILED": 412,
    "FILE_TOO_LARGE": 413,
    "RANGE_NOT_SATISFIABLE": 416,
    "CHECKSUM_MISMATCH": 422,
    "IDEMPOTENCY_KEY_REUSED": 422,
    "VALIDATION_ERROR": 422,
    "RATE_LIMIT_EXCEEDED": 429,
    "INTERNAL_ERROR": 500,
    "READ_ONLY": 503,
    "SERVICE_UNAVAILABLE": 503,
    "STORAGE_UNAVAILABLE": 503,
    "UPLOAD_BUSY": 503,
    "QUOTA_EXCEEDED": 507,
    "STORAGE_FULL": 507,
}

#: Seconds to wait where the error itself does not know.
DEFAULT_RETRY_AFTER: Mapping[str, int] = {
    "THUMBNAIL_NOT_READY": 2,
    "RATE_LIMIT_EXCEEDED": 1,
    "READ_ONLY": 60,
    "SERVICE_UNAVAILABLE": 5,
    "STORAGE_UNAVAILABLE": 5,
    "UPLOAD_BUSY": 1,
    "IDEMPOTENCY_KEY_IN_USE": 1,
}

_log = structlog.get_logger("chitram.errors")


def status_of(error: ChitramError) -> int:
    """The HTTP status of `error`; KeyError for a code that the table lacks."""
    return STATUS_BY_CODE[error.code]


def error_response(
    error: ChitramError, *, accept: str | None, request_id: str, status: int | None = None
) -> tuple[int, Headers, bytes]:
    """Status, headers and JSON body of the answer to a request that failed with `error`.

    The body is `{"detail": {"code", "message", "details"}}`, or a problem document of RFC 9457 when `accept` asks for
    one. `status` overrides the table's, for protocol errors that have no code of their own.
    """
    status = status or status_of(error)
    details = dict(error.details)
    if status >= 500:
        details["request_id"] = request_id
    problem = wants_problem(accept)
    if problem:
        body = _problem(error, status=status, details=details, request_id=request_id)
    else:
        body = _dump({"detail": {"code": error.code, "message": error.message, "details": details}})
    headers: Headers = [
        (b"content-type", PROBLEM_JSON.encode() if problem else b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        *protocol_headers(error, status=status),
    ]
    return status, headers, body


def retry_after_of(error: ChitramError) -> int | None:
    """Whole seconds after which it is worth trying again, at least one; None where waiting changes nothing."""
    seconds = error.retry_after
    if seconds is None and "reason" not in error.details:  # a reason is a property of the file, which stays as it is
        seconds = DEFAULT_RETRY_AFTER.get(error.code)
    return None if seconds is None else max(1, math.ceil(seconds))


def report(error: ChitramError, *, request_id: str) -> None:
    """Tell the operator of an error that is about us, with the failure behind it."""
    if error.report:
        _log.error("request failed", code=error.code, message=error.message, request_id=request_id, exc_info=error)


def wants_problem(accept: str | None) -> bool:
    """Whether an Accept field names problem documents, and does not like plain JSON better."""
    if accept is None or PROBLEM_JSON not in accept.lower():
        return False
    weights = dict(_weight(item) for item in accept.lower().split(","))
    return weights.get(PROBLEM_JSON, 0.0) > 0 and weights[PROBLEM_JSON] >= weights.get("application/json", 0.0)


def _weight(item: str) -> tuple[str, float]:
    name, *parameters = (part.strip() for part in item.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return name, float(parameter[2:])
            except ValueError:
                return name, 0.0
    return name, 1.0


def _problem(error: ChitramError, *, status: int, details: Mapping[str, object], request_id: str) -> bytes:
    return _dump(
        {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": error.message,
            "instance": f"urn:chitram:request:{request_id}",
            "code": error.code,
            "details": details,
        }
    )


def protocol_headers(error: ChitramError, *, status: int) -> Headers:
    """What an answer says of `error` beside its body: when to try again, how to say who one is, what there is."""
    headers: Headers = []
    retry_after = retry_after_of(error)
    if retry_after is not None:
        headers.append((b"retry-after", b"%d" % retry_after))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    size = error.details.get("size")
    if status == 416 and isinstance(size, int):
        headers.append((b"content-range", b"bytes */%d" % size))
    allow = error.details.get("allow")
    if status == 405 and isinstance(allow, list | tuple):
        headers.append((b"allow", ", ".join(allow).encode()))
    return headers


def _dump(value: object) -> bytes:
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS)
