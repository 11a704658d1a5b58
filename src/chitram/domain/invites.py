"""Invitations: who holds one may register once where registration is by invitation."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Invite:
    """`code_hash` is all that is kept of the code. `created_by`: the id of the admin, None from the command line."""

    code_hash: str
    created_at: datetime
    expires_at: datetime
    created_by: str | None = None
