"""Answers of the API's routes."""

from fastapi import Request
from fastapi.responses import Response

from chitram.entrypoints.support.links import base_url
from chitram.entrypoints.support.representations import render
from chitram.entrypoints.support.wiring import wired


def json_reply(value: object, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """`value` as JSON. It holds a secret or changes with every request, unless `headers` say otherwise."""
    fields = {"Cache-Control": "no-store"} | (headers or {})
    return Response(render(value), status_code=status, headers=fields, media_type="application/json")


def empty_reply() -> Response:
    """Done, and there is nothing to say."""
    return Response(status_code=204, headers={"Cache-Control": "no-store"})


def base_of(request: Request) -> str:
    """What absolute addresses in the answer to `request` begin with."""
    return base_url(request.scope, public_url=wired(request).settings.app.public_url)
