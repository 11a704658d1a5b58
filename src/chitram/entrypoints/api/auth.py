"""Registering, signing in and out, and the password."""

from typing import Annotated, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from chitram.domain.access import require_session, require_user
from chitram.domain.api_tokens import Scope
from chitram.domain.sessions import SessionKind
from chitram.domain.users import MAX_EMAIL, MAX_PASSWORD, MIN_PASSWORD
from chitram.entrypoints.api.accounts import UserResponse, user_body
from chitram.entrypoints.api.openapi import errors, request_body
from chitram.entrypoints.api.replies import empty_reply, json_reply
from chitram.entrypoints.support.emails import clean_email
from chitram.entrypoints.support.json_bodies import FORM, read_form, read_json
from chitram.entrypoints.support.limits import count_attempt
from chitram.entrypoints.support.origins import origin_of
from chitram.entrypoints.support.security_schemes import ACCOUNT
from chitram.entrypoints.support.viewers import viewer_of
from chitram.entrypoints.support.wiring import gate, wired
from chitram.services.accounts import SignedIn

router = APIRouter(prefix="/api/v1/auth", tags=["accounts"])

_CONFIG = ConfigDict(hide_input_in_errors=True)

Email = Annotated[str, Field(max_length=MAX_EMAIL, json_schema_extra={"format": "email"}), AfterValidator(clean_email)]
NewPassword = Annotated[str, Field(min_length=MIN_PASSWORD, max_length=MAX_PASSWORD, repr=False)]
#: One that may be too short: it is just wrong then.
Password = Annotated[str, Field(max_length=MAX_PASSWORD, repr=False)]


class Registration(BaseModel):
    """A new account."""

    model_config = _CONFIG

    email: Email
    password: NewPassword
    invite: str | None = Field(None, max_length=200, repr=False, description="Where registration is by invitation.")


class Login(BaseModel):
    """An account's e-mail and password."""

    model_config = _CONFIG

    email: str = Field(max_length=MAX_EMAIL)
    password: Password


class PasswordGrant(BaseModel):
    """OAuth2's form; the e-mail is the user name. Scopes and clients mean nothing here."""

    model_config = _CONFIG

    username: str = Field(max_length=MAX_EMAIL)
    password: Password
    grant_type: Literal["password", ""] = "password"


class PasswordChange(BaseModel):
    """Every session ends with the old password; so do API tokens unless they are kept."""

    model_config = _CONFIG

    current_password: Password
    new_password: NewPassword
    keep_api_tokens: bool = False


REQUESTS = (Registration, Login, PasswordGrant, PasswordChange)


class AccessToken(BaseModel):
    """What a program sends as `Authorization: Bearer ...`."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - OAuth2's name of a kind


class SignedInResponse(AccessToken):
    """An account and an access token of it."""

    user: UserResponse


@router.post(
    "/register",
    summary="Get an account",
    status_code=201,
    response_model=SignedInResponse,
    responses=errors(400, 401, 403, 408, 409, 413, 422, 429, 503),
    openapi_extra=request_body(Registration),
)
async def register(request: Request) -> Response:
    """Get an account, and an access token of it."""
    await gate(request).stranger(request.scope)
    wanted = await read_json(request, Registration)
    await count_attempt(request, email=wanted.email)
    signed_in = await wired(request).accounts.register(
        wanted.email,
        password=wanted.password,
        invite=wanted.invite,
        origin=origin_of(request),
        kind=SessionKind.BEARER,
    )
    return json_reply(_signed_in(signed_in), status=201)


@router.post(
    "/login",
    summary="Get an access token",
    response_model=SignedInResponse,
    responses=errors(400, 401, 408, 413, 422, 429, 503),
    openapi_extra=request_body(Login),
)
async def login(request: Request) -> Response:
    """Get an access token for an e-mail and its password."""
    await gate(request).stranger(request.scope)
    asked = await read_json(request, Login)
    return json_reply(_signed_in(await _sign_in(request, asked.email, asked.password)))


@router.post(
    "/token",
    summary="Get an access token, as OAuth2 has it",
    response_model=AccessToken,
    responses=errors(400, 401, 408, 413, 422, 429, 503),
    openapi_extra=request_body(PasswordGrant, FORM),
)
async def token(request: Request) -> Response:
    """Get an access token by OAuth2's password form, such as the one behind `Authorize` of the API's page."""
    await gate(request).stranger(request.scope)
    asked = await read_form(request, PasswordGrant)
    signed_in = await _sign_in(request, asked.username, asked.password)
    return json_reply({"access_token": signed_in.token, "token_type": "bearer"})


@router.get(
    "/me",
    summary="Whose credentials are these?",
    response_model=UserResponse,
    responses=errors(401, 403, 422, 503),
    openapi_extra=ACCOUNT,
)
async def me(request: Request) -> Response:
    """The account whose credentials the request carries."""
    return json_reply(user_body(require_user(await viewer_of(request), scope=Scope.READ)))


@router.post(
    "/logout",
    summary="End this session",
    status_code=204,
    responses=errors(401, 403, 422, 503),
    openapi_extra=ACCOUNT,
)
async def logout(request: Request) -> Response:
    """End the session that the request is part of; its token is worthless from then on."""
    viewer = await viewer_of(request)
    await wired(request).accounts.sign_out(viewer)
    gate(request).forget(request.scope, viewer)
    return empty_reply()


@router.post(
    "/password",
    summary="Change the password",
    status_code=204,
    responses=errors(400, 401, 403, 408, 413, 422, 429, 503),
    openapi_extra=request_body(PasswordChange) | ACCOUNT,
)
async def change_password(request: Request) -> Response:
    """Change the password. Every session ends, this one too, and so do API tokens unless they are kept."""
    viewer = await viewer_of(request)
    require_session(viewer)
    asked = await read_json(request, PasswordChange)
    await count_attempt(request, viewer=viewer)
    await wired(request).accounts.change_password(
        viewer, current=asked.current_password, new=asked.new_password, keep_api_tokens=asked.keep_api_tokens
    )
    gate(request).forget(request.scope, viewer)
    return empty_reply()


async def _sign_in(request: Request, email: str, password: str) -> SignedIn:
    await count_attempt(request, email=email)
    return await wired(request).accounts.sign_in(
        email, password=password, origin=origin_of(request), kind=SessionKind.BEARER
    )


def _signed_in(signed_in: SignedIn) -> dict[str, object]:
    return {"user": user_body(signed_in.user), "access_token": signed_in.token, "token_type": "bearer"}
