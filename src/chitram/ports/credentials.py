"""The hot look-up of credentials: whose they are, as last committed."""

from typing import Protocol

from chitram.domain.api_tokens import ApiToken
from chitram.domain.sessions import Session
from chitram.domain.users import User


class CredentialLookup(Protocol):
    """Every method raises ServiceUnavailable when the database cannot answer."""

    async def session(self, session_id: str) -> tuple[Session, User] | None:
        """The session and its account, expired and inactive ones included."""
        ...

    async def api_token(self, token_hash: str) -> tuple[ApiToken, User] | None:
        """The API token and its account, expired and inactive ones included."""
        ...
