"""Accounts as JSON, and where they are signed in from."""

from datetime import datetime

from pydantic import BaseModel, Field

from chitram.domain.users import User
from chitram.entrypoints.support.representations import timestamp


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
