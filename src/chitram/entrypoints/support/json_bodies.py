"""Small bodies: JSON and HTML forms, refused before they are parsed when they are too large, and before they are
looked at when they are ambiguous.
"""

import json
from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar
from urllib.parse import parse_qsl

from multipart import parse_options_header  # type: ignore[import-untyped]
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from chitram.domain.errors import FileTooLarge, InvalidRequest, ValidationFailed
from chitram.entrypoints.support.asgi import header_map
from chitram.entrypoints.support.body import Pace, RequestBody

Model = TypeVar("Model", bound=BaseModel)

#: More is answered with 413 FILE_TOO_LARGE; nothing that we ask for comes near it.
MAX_BODY = 64 * 1024
MAX_DEPTH = 16
MAX_FORM_FIELDS = 20
PACE = Pace(deadline=30.0)

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"

_MALFORMED = "The body is not well-formed JSON."


async def read_json(request: Request, model: type[Model]) -> Model:
    """The body as `model`; fields that it does not know are ignored.

    FileTooLarge, RequestTimeout; InvalidRequest for what is no JSON object in UTF-8; ValidationFailed for what readers
    understand in different ways (a name twice, lone surrogates, NUL) and for fields that are not as they should be.
    """
    if _content_type(request) != JSON:
        raise InvalidRequest("The body has to be JSON.", details={"field": "content-type"})
    return validated(model, parse_json(await _read(request)))


async def read_form(request: Request, model: type[Model]) -> Model:
    """A URL-encoded form as `model`. Errors as those of `read_json`."""
    if _content_type(request) != FORM:
        raise InvalidRequest("The body has to be a URL-encoded form.", details={"field": "content-type"})
    return validated(model, parse_form(await _read(request)))


async def read_json_or_form(request: Request, model: type[Model]) -> Model:
    """Either of them, as the Content-Type says."""
    return await (read_form if _content_type(request) == FORM else read_json)(request, model)


async def read_pairs(request: Request, *, most: int = MAX_FORM_FIELDS) -> list[tuple[str, str]]:
    """The fields of a URL-encoded form in their order; names may come more than once. No body is a form without any.

    Errors as of `read_json`.
    """
    if _is_bare(request):
        return []
    if _content_type(request) != FORM:
        raise InvalidRequest("The body has to be a URL-encoded form.", details={"field": "content-type"})
    pairs = _pairs(await _read(request), most=most)
    for name, value in pairs:
        _check_texts({name: value})
    return pairs


def parse_json(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`. InvalidRequest, ValidationFailed."""
    try:
        value = json.loads(
            body.decode(), object_pairs_hook=_unambiguous, parse_constant=_not_a_number, parse_float=_finite
        )
    except (ValueError, RecursionError):
        raise InvalidRequest(_MALFORMED) from None
    if not isinstance(value, dict):
        raise InvalidRequest("The body has to be a JSON object.")
    _check_texts(value)
    return value


def parse_form(body: bytes) -> dict[str, str]:
    """The fields of a URL-encoded form. InvalidRequest, ValidationFailed."""
    fields: dict[str, str] = _unambiguous(_pairs(body, most=MAX_FORM_FIELDS))
    _check_texts(fields)
    return fields


def _pairs(body: bytes, *, most: int) -> list[tuple[str, str]]:
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=most)
    except ValueError:
        raise InvalidRequest("The form is not well-formed.") from None


def validated(model: type[Model], value: Mapping[str, Any]) -> Model:
    """`value` as `model`; ValidationFailed names the fields and what is wrong with them, never their values."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problems = [
            {"field": ".".join(str(part) for part in problem["loc"]), "message": _sentence(problem["msg"])}
            for problem in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise ValidationFailed(details={"errors": problems}) from None


async def _read(request: Request) -> bytes:
    headers = header_map(request.scope)
    if headers.get(b"content-encoding", b"identity").strip().lower() not in (b"identity", b""):
        raise InvalidRequest("The body must not be compressed.", details={"field": "content-encoding"})
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length[:20]) > MAX_BODY:
        raise _too_large()
    body = bytearray()
    async for piece in RequestBody(request.receive, pace=PACE):
        body += piece
        if len(body) > MAX_BODY:
            raise _too_large()
    return bytes(body)


def _content_type(request: Request) -> str:
    kind, _ = parse_options_header(header_map(request.scope).get(b"content-type", b"").decode("latin-1"))
    return str(kind)


def _is_bare(request: Request) -> bool:
    """Whether the request has no body, and does not say what one would be."""
    headers = header_map(request.scope)
    has_body = b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
    return b"content-type" not in headers and not has_body


def _too_large() -> FileTooLarge:
    return FileTooLarge("The body is too large.", details={"max_bytes": MAX_BODY})


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            _refuse(name[:64], "must be there only once")
        found[name] = value
    return found


def _not_a_number(_name: str) -> NoReturn:
    raise ValueError


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError
    return value


def _check_texts(value: object) -> None:
    """Refuse texts that databases and files cannot hold, and nesting that nobody needs."""
    waiting: list[tuple[str, object, int]] = [("body", value, 0)]
    while waiting:
        field, inner, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise InvalidRequest("The body is nested too deeply.")
        if isinstance(inner, dict):
            for name, each in inner.items():
                _check_text("body", name)
                waiting.append((name if not depth else field, each, depth + 1))
        elif isinstance(inner, list):
            waiting += [(field, each, depth + 1) for each in inner]
        elif isinstance(inner, str):
            _check_text(field, inner)


def _check_text(field: str, text: str) -> None:
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        _refuse(field[:64], "must not contain NUL or half of a surrogate pair")


def _refuse(field: str, message: str) -> NoReturn:
    field = field.encode(errors="replace").decode()
    raise ValidationFailed.of(field, message)


def _sentence(message: str) -> str:
    return message.removeprefix("Value error, ")
