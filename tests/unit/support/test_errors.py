import json

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.exceptions import RequestValidationError
from structlog.testing import capture_logs

from chitram.domain import errors as domain_errors
from chitram.domain.errors import (
    ChitramError,
    ImageNotFound,
    InternalError,
    InvalidFileFormat,
    InvalidReason,
    MethodNotAllowed,
    RangeNotSatisfiable,
    RateLimitExceeded,
    StorageFull,
    StorageUnavailable,
    ThumbnailNotReady,
    Unauthorized,
    UploadBusy,
)
from chitram.entrypoints.support.body import ClientDisconnected
from chitram.entrypoints.support.error_handlers import install
from chitram.entrypoints.support.errors import STATUS_BY_CODE, error_response, status_of, wants_problem
from tests.unit.support.asgi_client import body_messages, call, make_scope


def all_errors():
    found, waiting = [], [ChitramError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.__module__ == domain_errors.__name__:
            found.append(kind)
    return found


def make(kind):
    return kind(InvalidReason.CORRUPT) if kind is InvalidFileFormat else kind()


def answer(error, *, accept=None):
    status, headers, body = error_response(error, accept=accept, request_id="req-12345")
    return status, dict(headers), json.loads(body)


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
def test_every_error_has_a_status_and_the_one_shape(kind):
    error = make(kind)
    status, headers, body = answer(error)
    assert status == status_of(error)
    assert 400 <= status < 600
    assert set(body) == {"detail"}
    assert set(body["detail"]) == {"code", "message", "details"}
    assert body["detail"]["code"] == kind.code
    assert headers[b"cache-control"] == b"no-store"
    assert ("request_id" in body["detail"]["details"]) is (status >= 500)


def test_the_table_knows_no_code_that_does_not_exist():
    assert set(STATUS_BY_CODE) == {kind.code for kind in all_errors()}


def test_problem_documents_on_request():
    status, headers, body = answer(ImageNotFound(details={"a": 1}), accept="application/problem+json")
    assert headers[b"content-type"] == b"application/problem+json"
    assert body == {
        "type": "about:blank",
        "title": "Not Found",
        "status": status,
        "detail": "There is no such image.",
        "instance": "urn:chitram:request:req-12345",
        "code": "IMAGE_NOT_FOUND",
        "details": {"a": 1},
    }


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, False),
        ("*/*", False),
        ("application/json", False),
        ("application/problem+json", True),
        ("Application/Problem+JSON;q=0.5", True),
        ("application/problem+json;q=0", False),
        ("application/problem+json;q=x", False),
        ("application/json, application/problem+json;q=0.5", False),
        ("application/json;q=0.1, application/problem+json; charset=utf-8; q=0.5", True),
    ],
)
def test_who_wants_a_problem_document(accept, expected):
    assert wants_problem(accept) is expected


def test_fields_that_protocols_ask_for():
    assert answer(RateLimitExceeded(retry_after=1.2))[1][b"retry-after"] == b"2"
    assert answer(UploadBusy(retry_after=0.0))[1][b"retry-after"] == b"1"
    assert answer(ThumbnailNotReady())[1][b"retry-after"] == b"2"
    assert b"retry-after" not in answer(ThumbnailNotReady(details={"reason": "corrupt"}))[1]
    assert b"retry-after" not in answer(ImageNotFound())[1]
    assert answer(Unauthorized())[1][b"www-authenticate"] == b"Bearer"
    assert answer(RangeNotSatisfiable(details={"size": 7}))[1][b"content-range"] == b"bytes */7"
    assert b"content-range" not in answer(RangeNotSatisfiable())[1]
    assert answer(MethodNotAllowed(details={"allow": ["GET", "HEAD"]}))[1][b"allow"] == b"GET, HEAD"
    assert answer(StorageFull())[0] == 507
    assert answer(InternalError())[2]["detail"]["details"] == {"request_id": "req-12345"}


def build_app():
    app = FastAPI(redirect_slashes=False)
    install(app, routes=app.routes, also_allowed=lambda path: ("HEAD",) if path == "/number" else ())

    @app.get("/number")
    async def number(limit: int) -> int:
        return limit

    @app.delete("/number")
    async def remove() -> None:
        return None

    @app.post("/fail/{status}")
    async def fail(status: int) -> None:
        raise HTTPException(status)

    @app.get("/raise/{name}")
    async def raising(name: str) -> None:
        raise {
            "storage": StorageUnavailable("down", retry_after=3),
            "gone": ClientDisconnected(),
            "bug": ZeroDivisionError("secret detail"),
            "items": RequestValidationError([{"loc": ("body", "items", 3, "name"), "msg": "bad", "input": "hunter2"}]),
        }[name]

    return app


async def ask(path, **options):
    answer = await call(build_app(), make_scope(path, **options), messages=body_messages(b""))
    return answer, json.loads(answer.body) if answer.body else None


async def test_validation_names_the_field_and_never_repeats_the_value():
    answer, body = await ask("/number", query="limit=hunter2")
    assert answer.status == 422
    assert body["detail"]["code"] == "VALIDATION_ERROR"
    assert body["detail"]["details"]["errors"][0]["field"] == "limit"
    assert b"hunter2" not in answer.body
    answer, body = await ask("/raise/items")
    assert body["detail"]["details"]["errors"] == [{"field": "items.name", "message": "bad"}]
    assert b"hunter2" not in answer.body


async def test_the_routers_own_errors_have_the_shape_too():
    answer, body = await ask("/nowhere", headers=[("accept", "application/problem+json")])
    assert (answer.status, body["code"]) == (404, "NOT_FOUND")
    answer, body = await ask("/number", method="PUT")
    assert (answer.status, body["detail"]["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert answer.header("allow") == "DELETE, GET, HEAD"


@pytest.mark.parametrize(
    ("raised", "status", "code"),
    [
        (400, 400, "INVALID_REQUEST"),
        (401, 401, "UNAUTHORIZED"),
        (413, 413, "FILE_TOO_LARGE"),
        (415, 415, "INVALID_REQUEST"),
        (418, 418, "INVALID_REQUEST"),
        (503, 503, "SERVICE_UNAVAILABLE"),
        (502, 500, "INTERNAL_ERROR"),
    ],
)
async def test_http_exceptions_are_translated(raised, status, code):
    answer, body = await ask(f"/fail/{raised}", method="POST")
    assert (answer.status, body["detail"]["code"]) == (status, code)


async def test_what_an_operator_should_know_is_logged():
    with capture_logs() as logs:
        answer, _ = await ask("/raise/storage", **{"chitram.request_id": "req-1"})
        await ask("/nowhere")
    assert answer.header("retry-after") == "3"
    assert [(entry["code"], entry["request_id"]) for entry in logs] == [("STORAGE_UNAVAILABLE", "req-1")]


async def test_a_client_that_went_away_is_no_error():
    answer, body = await ask("/raise/gone")
    assert (answer.status, body) == (499, None)


async def test_a_bug_is_answered_without_its_details():
    messages, sent = body_messages(b""), []

    async def receive():
        return messages.pop(0)

    async def send(message):
        sent.append(message)

    with pytest.raises(ZeroDivisionError):
        await build_app()(make_scope("/raise/bug"), receive, send)
    assert sent[0]["status"] == 500
    assert json.loads(sent[1]["body"])["detail"]["code"] == "INTERNAL_ERROR"
    assert b"secret detail" not in sent[1]["body"]
