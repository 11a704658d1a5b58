"""An account's keys for programs."""

import re
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from chitram.domain.access import require_session
from chitram.domain.api_tokens import MAX_TOKEN_NAME, ApiToken, Scope
from chitram.entrypoints.api.openapi import errors, request_body
from chitram.entrypoints.api.replies import empty_reply, json_reply
from chitram.entrypoints.support.json_bodies import read_json
from chitram.entrypoints.support.representations import timestamp
from chitram.entrypoints.support.security_schemes import ACCOUNT
from chitram.entrypoints.support.texts import is_visible
from chitram.entrypoints.support.viewers import viewer_of
from chitram.entrypoints.support.wiring import wired

router = APIRouter(prefix="/api/v1/auth/tokens", tags=["accounts"])

_ISO_8601 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}", re.ASCII)


def _written(moment: object) -> object:
    """Not a number: whether that would be seconds or milliseconds is anybody's guess."""
    if moment is not None and not (isinstance(moment, str) and _ISO_8601.match(moment)):
        raise ValueError("must be a date and a time of ISO 8601 with its time zone")
    return moment


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies outside the calendar") from None


def _printable(name: str) -> str:
    name = name.strip()
    if not name.isprintable() or not is_visible(name):
        raise ValueError("must be a line of visible characters")
    return name


class NewToken(BaseModel):
    """A token that is wanted."""

    model_config = ConfigDict(hide_input_in_errors=True)

    name: Annotated[str, Field(min_length=1, max_length=MAX_TOKEN_NAME), AfterValidator(_printable)]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=10)]
    expires_at: Annotated[AwareDatetime, BeforeValidator(_written), AfterValidator(_utc)] | None = Field(
        None, description="With its time zone; never when it is not there."
    )


REQUESTS = (NewToken,)


class TokenEntry(BaseModel):
    """A token without its secret."""

    id: str
    name: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To within some minutes.")


class TokenList(BaseModel):
    """Tokens, newest first, expired ones included."""

    items: list[TokenEntry]


class NewTokenResponse(TokenEntry):
    """A new token with its secret."""

    token: str = Field(description="Shown once. What a program sends as `Authorization: Bearer ...`.")


@router.get(
    "",
    summary="The account's API tokens",
    response_model=TokenList,
    responses=errors(401, 403, 422, 503),
    openapi_extra=ACCOUNT,
)
async def list_tokens(request: Request) -> Response:
    """The account's API tokens, without their secrets."""
    found = await wired(request).api_tokens.list(await viewer_of(request))
    return json_reply({"items": [_entry(token) for token in found]})


@router.post(
    "",
    summary="Make an API token",
    status_code=201,
    response_model=NewTokenResponse,
    responses=errors(400, 401, 403, 408, 413, 422, 503),
    openapi_extra=request_body(NewToken) | ACCOUNT,
)
async def create_token(request: Request) -> Response:
    """Make an API token. Its secret is shown this once."""
    viewer = await viewer_of(request)
    require_session(viewer)
    wanted = await read_json(request, NewToken)
    token, secret = await wired(request).api_tokens.create(
        viewer, name=wanted.name, scopes=frozenset(wanted.scopes), expires_at=wanted.expires_at
    )
    return json_reply(_entry(token) | {"token": secret}, status=201)


@router.delete(
    "",
    summary="Revoke all API tokens",
    status_code=204,
    responses=errors(401, 403, 422, 503),
    openapi_extra=ACCOUNT,
)
async def revoke_tokens(request: Request) -> Response:
    """Revoke every API token of the account."""
    await wired(request).api_tokens.revoke(await viewer_of(request), token_id=None)
    return empty_reply()


@router.delete(
    "/{token_id}",
    summary="Revoke an API token",
    status_code=204,
    responses=errors(401, 403, 404, 422, 503),
    openapi_extra=ACCOUNT,
)
async def revoke_token(request: Request, token_id: str) -> Response:
    """Revoke one API token of the account; it is worthless from then on."""
    await wired(request).api_tokens.revoke(await viewer_of(request), token_id=token_id)
    return empty_reply()


def _entry(token: ApiToken) -> dict[str, object]:
    return {
        "id": token.id,
        "name": token.name,
        "scopes": sorted(scope.value for scope in token.scopes),
        "created_at": timestamp(token.created_at),
        "expires_at": timestamp(token.expires_at) if token.expires_at is not None else None,
        "last_used_at": timestamp(token.last_used_at) if token.last_used_at is not None else None,
    }
