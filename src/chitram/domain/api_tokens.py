"""API tokens: named keys of an account for programs, each for some things alone."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

#: What a token begins with, so that people and scanners recognise one that lies about.
API_TOKEN_PREFIX = "chitram_"  # noqa: S105 - the public part of every token
MAX_TOKEN_NAME = 100
#: Most tokens that one account may have.
MAX_TOKENS = 50


class Scope(StrEnum):
    """What a token is for. UPLOAD includes changing what was uploaded; READ is needed to be shown what is private."""

    UPLOAD = "upload"
    READ = "read"
    DELETE = "delete"


ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token without its secret, of which only the hash is kept."""

    id: str
    user_id: str
    name: str
    token_hash: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = None


def hash_secret(secret: str) -> str:
    """The form in which a random secret is stored: SHA-256, hex. It has 256 random bits, so no salt is needed."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
