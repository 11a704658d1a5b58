"""An account's own: its images, what it keeps, and giving it up."""

from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from chitram.domain.access import require_session, require_user
from chitram.domain.api_tokens import Scope
from chitram.domain.users import Quota
from chitram.entrypoints.api.auth import Password
from chitram.entrypoints.api.openapi import errors, request_body
from chitram.entrypoints.api.pages import PAGE_PARAMETERS, ImagePage, asked_page, page_reply
from chitram.entrypoints.api.replies import empty_reply, json_reply
from chitram.entrypoints.support.json_bodies import read_json
from chitram.entrypoints.support.limits import count_attempt
from chitram.entrypoints.support.security_schemes import ACCOUNT
from chitram.entrypoints.support.viewers import viewer_of
from chitram.entrypoints.support.wiring import gate, wired

router = APIRouter(prefix="/api/v1/users/me", tags=["accounts"])


class AccountDeletion(BaseModel):
    """Giving an account up."""

    model_config = ConfigDict(hide_input_in_errors=True)

    password: Password
    images: Literal["delete", "keep"] = Field(
        description="Whether its public and unlisted images stay, without an owner. Private ones are deleted."
    )


REQUESTS = (AccountDeletion,)


class Amount(BaseModel):
    """Bytes as stored, and files; each image counts, whether or not others have the same bytes."""

    bytes: int
    files: int


class Allowance(BaseModel):
    """Most of either; null: no limit."""

    bytes: int | None
    files: int | None


class UsageResponse(BaseModel):
    """What an account keeps, and what it may."""

    used: Amount
    quota: Allowance


@router.delete(
    "",
    summary="Give the account up",
    status_code=204,
    responses=errors(400, 401, 403, 408, 413, 422, 429, 503),
    openapi_extra=request_body(AccountDeletion) | ACCOUNT,
)
async def delete_account(request: Request) -> Response:
    """Give the account up, with its images or leaving them without an owner."""
    viewer = await viewer_of(request)
    require_session(viewer)
    asked = await read_json(request, AccountDeletion)
    await count_attempt(request, viewer=viewer)
    await wired(request).accounts.delete(viewer, password=asked.password, images=asked.images)
    gate(request).forget(request.scope, viewer)
    return empty_reply()


@router.get(
    "/images",
    summary="The account's images, newest first",
    response_model=ImagePage,
    responses=errors(401, 403, 422, 503),
    openapi_extra=PAGE_PARAMETERS | ACCOUNT,
)
async def list_owned(request: Request) -> Response:
    """Every image of the account, newest first."""
    viewer = await viewer_of(request)
    require_user(viewer, scope=Scope.READ)
    after, limit = asked_page(request)
    page = await wired(request).images.list_owned(viewer=viewer, after=after, limit=limit)
    path = f"{router.prefix}/images"
    return page_reply(request, page, path=path, limit=limit, cache_control="private, no-store")


@router.get(
    "/usage",
    summary="What the account keeps, and may keep",
    response_model=UsageResponse,
    responses=errors(401, 403, 422, 503),
    openapi_extra=ACCOUNT,
)
async def usage(request: Request) -> Response:
    """What the account keeps, and what it may."""
    found = await wired(request).accounts.usage(await viewer_of(request))
    return json_reply({"used": _amount(found.used), "quota": _allowance(found.quota)})


def _amount(quota: Quota) -> dict[str, int]:
    return {"bytes": quota.bytes, "files": quota.files}


def _allowance(quota: Quota) -> dict[str, int | None]:
    return {"bytes": quota.bytes or None, "files": quota.files or None}
