"""Sessions: the places where an account is signed in. Ending one makes its token worthless."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

#: A session's last use is noted no more often than this.
USE_RESOLUTION = timedelta(minutes=5)
MAX_USER_AGENT = 200
#: Most sessions that an account has; the oldest one ends when another begins.
MAX_SESSIONS = 100
#: Most addresses that an account is known to be signed in from; the oldest one is forgotten when another is seen.
MAX_FAMILIAR = 50
#: How long after its last sign-in an address is still known.
FAMILIAR_FOR = timedelta(days=90)


class SessionKind(StrEnum):
    """BEARER sessions are for programs that send their token themselves, BROWSER ones live in a cookie."""

    BEARER = "bearer"
    BROWSER = "browser"


@dataclass(frozen=True, slots=True)
class Session:
    """`id` is the token's `jti`. `address` and `user_agent` are those of the sign-in, for the account's own eyes."""

    id: str
    user_id: str
    kind: SessionKind
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    address: str
    user_agent: str
