"""Accounts as JSON, and where they are signed in from."""

from datetime import datetime

from fastapi import Request
from pydantic import BaseModel, Field

from chitram.domain.users import User
from chitram.entrypoints.support.asgi import CLIENT, header_map
from chitram.entrypoints.support.representations import timestamp
from chitram.services.accounts import Origin


class UserResponse(BaseModel):
    """An account, for its own eyes."""

    id: str = Field(pattern=r"^[0-9A-Za-z]{11}$")
    email: str
    is_active: bool
    created_at: datetime = Field(description="ISO 8601, UTC.")


def user_body(user: User) -> dict[str, object]:
    """`user` as `UserResponse`."""
    return {
        "id": user.id,
        "email": user.email,
        "is_active": user.is_active,
        "created_at": timestamp(user.created_at),
    }


def origin_of(request: Request) -> Origin:
    """Where `request` came from, as the list of sessions shows it."""
    agent = header_map(request.scope).get(b"user-agent", b"").decode("latin-1")
    return Origin(request.scope[CLIENT], agent)
