"""Getting an account, logging in and out."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from chitram.domain.access import Viewer
from chitram.domain.errors import (
    ChitramError,
    EmailExists,
    InvalidCredentials,
    InvalidInvite,
    RateLimitExceeded,
    RegistrationClosed,
    ValidationFailed,
)
from chitram.domain.sessions import SessionKind
from chitram.entrypoints.support.auth import is_by_cookie
from chitram.entrypoints.support.csrf import FIELD
from chitram.entrypoints.support.emails import clean_email
from chitram.entrypoints.support.errors import status_of
from chitram.entrypoints.support.limits import count_attempt
from chitram.entrypoints.support.origins import origin_of
from chitram.entrypoints.support.wiring import gate, wired
from chitram.entrypoints.web.forms import errors_of, message_of, read_fields, retry_fields, sent_form
from chitram.entrypoints.web.visitors import LoginNeeded, own_path, pages, see_other, visitor_of
from chitram.services.accounts import SignedIn

router = APIRouter(include_in_schema=False)

Next = Annotated[str | None, Query(max_length=2000)]


@router.get("/login")
async def login_page(
    request: Request,
    next: Next = None,  # noqa: A002 - as in addresses
    expired: str = "",
    changed: str = "",
) -> Response:
    """The form to log in; who is logged in goes on."""
    viewer = await visitor_of(request)
    if viewer.user is not None:
        return see_other(own_path(next))
    notice = "expired" if expired else "changed" if changed else None
    return _login_page(request, viewer, next_path=own_path(next), notice=notice)


@router.post("/login")
async def login(request: Request) -> Response:
    """Log in, and go on where one was."""
    viewer, fields = await _sign_in_form(request)
    email, next_path = fields.get("email", ""), own_path(fields.get("next"))
    try:
        await count_attempt(request, email=email)
        signed_in = await wired(request).accounts.sign_in(
            email, password=fields.get("password", ""), origin=origin_of(request), kind=SessionKind.BROWSER
        )
    except (InvalidCredentials, RateLimitExceeded) as error:
        return _login_page(request, viewer, next_path=next_path, email=email, error=error)
    return await _enter(request, signed_in, next_path, before=viewer)


@router.get("/register")
async def register_page(request: Request, next: Next = None, invite: str = "") -> Response:  # noqa: A002 - as in addresses
    """The form to get an account."""
    viewer = await visitor_of(request)
    if viewer.user is not None:
        return see_other(own_path(next))
    return _register_page(request, viewer, {"next": own_path(next), "invite": invite[:200]})


@router.post("/register")
async def register(request: Request) -> Response:
    """Get an account, and be logged in."""
    viewer, fields = await _sign_in_form(request)
    try:
        email = _email(fields.get("email", ""))
        await count_attempt(request, email=email)
        signed_in = await wired(request).accounts.register(
            email,
            password=fields.get("password", ""),
            invite=fields.get("invite", "").strip() or None,
            origin=origin_of(request),
            kind=SessionKind.BROWSER,
        )
    except (ValidationFailed, EmailExists, InvalidInvite, RegistrationClosed, RateLimitExceeded) as error:
        return _register_page(request, viewer, fields, error=error)
    return await _enter(request, signed_in, own_path(fields.get("next")), before=viewer)


@router.post("/logout")
async def logout(request: Request) -> Response:
    """End this browser's session. Who has none any more is logged out already."""
    try:
        viewer, _ = await sent_form(request)
    except LoginNeeded:
        return see_other("/")
    if viewer.session is not None:
        await wired(request).accounts.sign_out(viewer)
        gate(request).forget(request.scope, viewer)
    return see_other("/")


async def _sign_in_form(request: Request) -> tuple[Viewer, dict[str, str]]:
    """Who was signed in before, as a rule nobody, and the form's fields. CsrfRefused: nobody is signed in by others."""
    guard = gate(request)
    before = await guard.identify(request.scope, {}, signing_in=True)
    guard.require_own_sign_in(request.scope, before, form_follows=True)
    fields = await read_fields(request)
    guard.require_own_sign_in(request.scope, before, form_token=fields.get(FIELD))
    return before, fields


async def _enter(request: Request, signed_in: SignedIn, next_path: str, *, before: Viewer) -> Response:
    """Keep the session in the browser's cookie, end the one that it had before, and go on."""
    if is_by_cookie(before):
        await wired(request).accounts.sign_out(before)
    gate(request).remember(request.scope, signed_in.token, life=wired(request).accounts.policy.browser_life)
    return see_other(next_path)


def _email(text: str) -> str:
    try:
        return clean_email(text)
    except ValueError as error:
        raise ValidationFailed.of("email", str(error), problem="email_form") from None


def _login_page(
    request: Request,
    viewer: Viewer,
    *,
    next_path: str,
    email: str = "",
    notice: str | None = None,
    error: ChitramError | None = None,
) -> Response:
    shown = pages(request)
    return shown.page(
        request,
        "login",
        viewer=viewer,
        current="login",
        status=status_of(error) if error else 200,
        headers=retry_fields(error),
        next=next_path,
        notice=shown.texts(f"login.{notice}") if notice else None,
        email=email,
        error=message_of(request, error) if error else None,
        errors={"email": None},
    )


def _register_page(
    request: Request, viewer: Viewer, fields: dict[str, str], *, error: ChitramError | None = None
) -> Response:
    by_field = _by_field(request, error)
    return pages(request).page(
        request,
        "register",
        viewer=viewer,
        current="register",
        status=status_of(error) if error else 200,
        headers=retry_fields(error),
        next=own_path(fields.get("next")),
        email=fields.get("email", ""),
        invite=fields.get("invite", ""),
        error=message_of(request, error) if error and not any(by_field.values()) else None,
        errors=by_field,
    )


def _by_field(request: Request, error: ChitramError | None) -> dict[str, str | None]:
    """What is wrong, beside the field that it is about."""
    found: dict[str, str | None] = dict.fromkeys(("email", "password", "invite"))
    if isinstance(error, ValidationFailed):
        problems = errors_of(error, texts=pages(request).texts)
        found.update({name: text for name, text in problems.items() if name in found})
    if isinstance(error, EmailExists):
        found["email"] = message_of(request, error)
    if isinstance(error, InvalidInvite):
        found["invite"] = message_of(request, error)
    return found
