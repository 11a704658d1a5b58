"""Where an account is signed in: the session of this browser, and the list of all."""

from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from chitram.domain.access import require_session
from chitram.domain.sessions import Session, SessionKind
from chitram.domain.users import User
from chitram.entrypoints.api.accounts import UserResponse, user_body
from chitram.entrypoints.api.auth import Login
from chitram.entrypoints.api.openapi import errors, request_body
from chitram.entrypoints.api.replies import empty_reply, json_reply
from chitram.entrypoints.support.json_bodies import FORM, JSON, read_json_or_form
from chitram.entrypoints.support.limits import count_attempt
from chitram.entrypoints.support.origins import origin_of
from chitram.entrypoints.support.representations import timestamp
from chitram.entrypoints.support.security_schemes import ACCOUNT, ANYBODY
from chitram.entrypoints.support.viewers import viewer_of
from chitram.entrypoints.support.wiring import gate, wired

router = APIRouter(prefix="/api/v1/auth", tags=["accounts"])


class BrowserLogin(Login):
    """An account's e-mail and password, and the page's token where the browser says nothing of where it comes from."""

    csrf_token: str | None = Field(None, max_length=200, repr=False)

    model_config = ConfigDict(hide_input_in_errors=True)


REQUESTS = (BrowserLogin,)


class SessionResponse(BaseModel):
    """Who is signed in, and what their forms have to send along."""

    user: UserResponse
    csrf_token: str = Field(
        description="For the header `X-CSRF-Token`; uploads and `POST` of this address take it as the field "
        "`csrf_token`, too."
    )
    expires_at: datetime


class SessionEntry(BaseModel):
    """A place where the account is signed in."""

    id: str
    kind: Literal["bearer", "browser"]
    current: bool = Field(description="Whether it is the one that asks.")
    created_at: datetime
    last_used_at: datetime = Field(description="To within some minutes.")
    expires_at: datetime
    address: str
    user_agent: str


class SessionList(BaseModel):
    """Sessions, newest first."""

    items: list[SessionEntry]


@router.get(
    "/session",
    summary="Who is signed in here?",
    response_model=SessionResponse,
    responses=errors(401, 403, 422, 503),
    openapi_extra=ACCOUNT,
)
async def show_session(request: Request) -> Response:
    """Who is signed in with this session, and its CSRF token."""
    return json_reply(_session_body(request, *require_session(await viewer_of(request))))


@router.post(
    "/session",
    summary="Sign a browser in",
    response_model=SessionResponse,
    responses=errors(400, 401, 403, 408, 413, 422, 429, 503),
    openapi_extra=request_body(BrowserLogin, JSON, FORM) | ANYBODY,
)
async def begin_session(request: Request) -> Response:
    """Sign a browser in: the answer sets its cookie. Whatever session it had before ends."""
    application, guard = wired(request), gate(request)
    before = await guard.identify(request.scope, {}, signing_in=True)
    guard.require_own_sign_in(request.scope, before, form_follows=True)
    asked = await read_json_or_form(request, BrowserLogin)
    guard.require_own_sign_in(request.scope, before, form_token=asked.csrf_token)
    await count_attempt(request, email=asked.email)
    signed_in = await application.accounts.sign_in(
        asked.email, password=asked.password, origin=origin_of(request), kind=SessionKind.BROWSER
    )
    if before.session is not None and before.session.kind is SessionKind.BROWSER:
        await application.accounts.sign_out(before)
    session = signed_in.session
    guard.remember(request.scope, signed_in.token, life=session.expires_at - session.created_at)
    return json_reply(_session_body(request, signed_in.user, session))


@router.delete(
    "/session",
    summary="Sign this browser out",
    status_code=204,
    responses=errors(401, 403, 422, 503),
    openapi_extra=ACCOUNT,
)
async def end_session(request: Request) -> Response:
    """End the session that the request is part of, and have the browser forget its cookie."""
    viewer = await viewer_of(request)
    await wired(request).accounts.sign_out(viewer)
    gate(request).forget(request.scope, viewer)
    return empty_reply()


@router.get(
    "/sessions",
    summary="Where is this account signed in?",
    response_model=SessionList,
    responses=errors(401, 403, 422, 503),
    openapi_extra=ACCOUNT,
)
async def list_sessions(request: Request) -> Response:
    """Every session of the account that has not ended, newest first."""
    viewer = await viewer_of(request)
    _, current = require_session(viewer)
    found = await wired(request).sessions.list(viewer)
    return json_reply({"items": [_entry(session, current=session.id == current.id) for session in found]})


@router.delete(
    "/sessions",
    summary="End all other sessions",
    status_code=204,
    responses=errors(401, 403, 422, 503),
    openapi_extra=ACCOUNT,
)
async def end_other_sessions(request: Request) -> Response:
    """End every session of the account but the one that asks."""
    await wired(request).sessions.end(await viewer_of(request), session_id=None)
    return empty_reply()


@router.delete(
    "/sessions/{session_id}",
    summary="End a session",
    status_code=204,
    responses=errors(401, 403, 404, 422, 503),
    openapi_extra=ACCOUNT,
)
async def end_one_session(request: Request, session_id: str) -> Response:
    """End one session of the account; its token is worthless from then on."""
    viewer = await viewer_of(request)
    _, current = require_session(viewer)
    await wired(request).sessions.end(viewer, session_id=session_id)
    if session_id == current.id:
        gate(request).forget(request.scope, viewer)
    return empty_reply()


def _session_body(request: Request, user: User, session: Session) -> dict[str, object]:
    return {
        "user": user_body(user),
        "csrf_token": wired(request).authentication.csrf_token(session.id),
        "expires_at": timestamp(session.expires_at),
    }


def _entry(session: Session, *, current: bool) -> dict[str, object]:
    return {
        "id": session.id,
        "kind": session.kind.value,
        "current": current,
        "created_at": timestamp(session.created_at),
        "last_used_at": timestamp(session.last_used_at),
        "expires_at": timestamp(session.expires_at),
        "address": session.address,
        "user_agent": session.user_agent,
    }
