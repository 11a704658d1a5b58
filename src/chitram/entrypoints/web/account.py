"""Everything about one's account: sessions, API tokens, the password, giving it up."""

import json
from datetime import datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from chitram.domain.access import Viewer
from chitram.domain.api_tokens import MAX_TOKEN_NAME, ApiToken, Scope
from chitram.domain.errors import InvalidCredentials, ValidationFailed
from chitram.domain.sessions import Session
from chitram.entrypoints.support.limits import count_attempt
from chitram.entrypoints.support.links import IMAGES_PATH, base_url
from chitram.entrypoints.support.wiring import gate, wired
from chitram.entrypoints.web.agents import agent_text
from chitram.entrypoints.web.catalogue import Catalogue
from chitram.entrypoints.web.forms import errors_of, member_choices, member_form
from chitram.entrypoints.web.pictures import day
from chitram.entrypoints.web.rendering import Notice
from chitram.entrypoints.web.usage import usage_of
from chitram.entrypoints.web.visitors import member_of, pages, see_other

router = APIRouter(include_in_schema=False)

#: What the page says when it comes back from a form.
_DONE = frozenset({"ended", "revoked"})
#: How long a new token may be good, in days; empty: until it is revoked.
_LIVES = {"": None, "7": 7, "30": 30, "90": 90, "365": 365}


@router.get("/account")
async def account_page(request: Request, done: str = "") -> Response:
    """Sessions, API tokens, password, and giving the account up."""
    viewer = await member_of(request)
    return await _account_page(request, viewer, done=done)


@router.post("/account/sessions/end")
async def end_other_sessions(request: Request) -> Response:
    """Log out everywhere but here."""
    viewer, _ = await member_form(request)
    await wired(request).sessions.end(viewer, session_id=None)
    return see_other("/account?done=ended")


@router.post("/account/sessions/{session_id}/end")
async def end_session(request: Request, session_id: str) -> Response:
    """Log out in one other place."""
    viewer, _ = await member_form(request)
    await wired(request).sessions.end(viewer, session_id=session_id)
    return see_other("/account?done=ended")


@router.post("/account/tokens")
async def make_token(request: Request) -> Response:
    """A new API token. Its secret is on the page that answers, and nowhere else."""
    viewer, fields, scopes = await member_choices(request, "scopes")
    form = {"name": fields.get("name", "").strip(), "scopes": scopes, "days": fields.get("days", "")}
    try:
        token, secret = await _make_token(request, viewer, form)
    except ValidationFailed as error:
        return await _account_page(request, viewer, token_form=form, errors=_errors(request, error), status=422)
    return await _account_page(request, viewer, new_token=_new_token(request, token, secret))


@router.post("/account/tokens/{token_id}/revoke")
async def revoke_token(request: Request, token_id: str) -> Response:
    """Revoke an API token."""
    viewer, _ = await member_form(request)
    await wired(request).api_tokens.revoke(viewer, token_id=token_id)
    return see_other("/account?done=revoked")


@router.post("/account/password")
async def change_password(request: Request) -> Response:
    """Change the password, and log in again with the new one."""
    viewer, fields = await member_form(request)
    try:
        await count_attempt(request, viewer=viewer)
        await wired(request).accounts.change_password(
            viewer,
            current=fields.get("current_password", ""),
            new=fields.get("new_password", ""),
            keep_api_tokens=fields.get("keep_api_tokens") == "yes",
        )
    except InvalidCredentials:
        return await _account_page(request, viewer, errors=_wrong(request, "current_password"), status=422)
    except ValidationFailed as error:
        return await _account_page(request, viewer, errors=_errors(request, error), status=422)
    gate(request).forget(request.scope, viewer)
    return see_other("/login?changed=1")


@router.post("/account/delete")
async def give_up(request: Request) -> Response:
    """Give the account up."""
    viewer, fields = await member_form(request)
    images = fields.get("images")
    try:
        if images not in ("delete", "keep"):
            raise ValidationFailed.of("images", "must be delete or keep", problem="unknown_choice")
        await count_attempt(request, viewer=viewer)
        await wired(request).accounts.delete(
            viewer, password=fields.get("password", ""), images="keep" if images == "keep" else "delete"
        )
    except InvalidCredentials:
        return await _account_page(request, viewer, errors=_wrong(request, "leave_password"), status=422)
    except ValidationFailed as error:
        return await _account_page(request, viewer, errors=_errors(request, error), status=422)
    gate(request).forget(request.scope, viewer)
    return see_other("/?left=1")


async def _account_page(
    request: Request,
    viewer: Viewer,
    *,
    done: str = "",
    status: int = 200,
    errors: dict[str, str] | None = None,
    token_form: dict[str, Any] | None = None,
    new_token: dict[str, Any] | None = None,
) -> Response:
    application, shown = wired(request), pages(request)
    sessions = await application.sessions.list(viewer)
    tokens = await application.api_tokens.list(viewer)
    names = ("name", "scopes", "current_password", "new_password", "images", "leave_password")
    return shown.page(
        request,
        "account",
        viewer=viewer,
        current="account",
        status=status,
        notices=(Notice("good", shown.texts(f"account.{done}")),) if done in _DONE else (),
        sessions=[_session(each, viewer, texts=shown.texts) for each in sessions],
        tokens=[_token(each, texts=shown.texts) for each in tokens],
        usage=usage_of(await application.accounts.usage(viewer), texts=shown.texts),
        token_form=token_form or {"name": "", "scopes": [Scope.UPLOAD.value], "days": ""},
        new_token=new_token,
        errors={name: (errors or {}).get(name) for name in names},
    )


async def _make_token(request: Request, viewer: Viewer, form: dict[str, Any]) -> tuple[ApiToken, str]:
    name = form["name"]
    if not name or len(name) > MAX_TOKEN_NAME or not name.isprintable():
        message = f"must have 1 to {MAX_TOKEN_NAME} characters"
        raise ValidationFailed.of("name", message, problem="token_name", most=MAX_TOKEN_NAME)
    if form["days"] not in _LIVES or any(scope not in list(Scope) for scope in form["scopes"]):
        raise ValidationFailed.of("scopes", "must be of those that there are", problem="unknown_choice")
    days = _LIVES[form["days"]]
    return await wired(request).api_tokens.create(
        viewer,
        name=name,
        scopes=frozenset(Scope(scope) for scope in form["scopes"]),
        expires_at=_now(request) + timedelta(days=days) if days is not None else None,
    )


def _now(request: Request) -> datetime:
    return wired(request).clock.now()


def _new_token(request: Request, token: ApiToken, secret: str) -> dict[str, Any]:
    """What is shown of a new token: the secret, and where it may upload, how to."""
    base = base_url(request.scope, public_url=wired(request).settings.app.public_url)
    shown: dict[str, Any] = {"name": token.name, "secret": secret, "curl": None, "sharex": None}
    if Scope.UPLOAD in token.scopes:
        upload = f"{base}{IMAGES_PATH}upload"
        shown["curl"] = f"curl -H 'Authorization: Bearer {secret}' -F file=@picture.jpg {upload}"
        shown["sharex"] = json.dumps(_sharex(base, upload, secret), indent=2)
    return shown


def _sharex(base: str, upload: str, secret: str) -> dict[str, Any]:
    """A custom uploader of ShareX."""
    return {
        "Version": "17.0.0",
        "Name": f"Chitram ({base.partition('://')[2]})",
        "DestinationType": "ImageUploader",
        "RequestMethod": "POST",
        "RequestURL": upload,
        "Headers": {"Authorization": f"Bearer {secret}"},
        "Body": "MultipartFormData",
        "FileFormName": "file",
        "URL": "{json:url}",
        "ThumbnailURL": "{json:thumbnail_url}",
        "ErrorMessage": "{json:detail.message}",
    }


def _session(session: Session, viewer: Viewer, *, texts: Catalogue) -> dict[str, Any]:
    present = viewer.session
    return {
        "id": session.id,
        "agent": agent_text(session.user_agent, texts=texts),
        "full_agent": session.user_agent,
        "address": session.address,
        "last_used": day(session.last_used_at, texts=texts),
        "present": present is not None and session.id == present.id,
    }


def _token(token: ApiToken, *, texts: Catalogue) -> dict[str, Any]:
    until, used = token.expires_at, token.last_used_at
    return {
        "id": token.id,
        "name": token.name,
        "scopes": sorted(scope.value for scope in token.scopes),
        "until": texts("account.until", date=day(until, texts=texts)) if until else texts("account.no_end"),
        "used": texts("account.used", date=day(used, texts=texts)) if used else texts("account.never_used"),
    }


def _errors(request: Request, error: ValidationFailed) -> dict[str, str]:
    return errors_of(error, texts=pages(request).texts)


def _wrong(request: Request, field: str) -> dict[str, str]:
    return {field: pages(request).texts("account.wrong_password")}
