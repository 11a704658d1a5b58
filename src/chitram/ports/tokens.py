"""Signed tokens that name a session."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says: whose it is (`sub`), of which session (`jti`), and from when till when."""

    user_id: str
    session_id: str
    issued_at: datetime
    expires_at: datetime


class TokenSigner(Protocol):
    def sign(self, claims: Claims) -> str:
        """A token with these claims, signed with today's key."""
        ...

    def read(self, token: str, *, now: datetime) -> Claims:
        """The claims of a token that was signed with one of our keys.

        TokenExpired when it was valid once, Unauthorized for everything else.
        """
        ...
