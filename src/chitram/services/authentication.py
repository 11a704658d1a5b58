"""Whose credentials a request carries."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from chitram.domain.access import ANONYMOUS, Viewer
from chitram.domain.api_tokens import API_TOKEN_PREFIX, hash_secret
from chitram.domain.errors import TokenExpired, Unauthorized
from chitram.domain.sessions import USE_RESOLUTION, SessionKind
from chitram.ports.clock import Clock
from chitram.ports.credentials import CredentialLookup
from chitram.ports.tokens import TokenSigner
from chitram.ports.unit_of_work import Database

#: Uses that wait to be noted at most; more are not worth the memory, for they are for people's eyes only.
_MAX_USES = 10_000


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request presents. `bearer` and `cookie` are tokens as sent; the first counts when there are both."""

    bearer: str | None = None
    cookie: str | None = None
    delete_token: str | None = None
    address: str = ""


class Authentication:
    """`secrets`: what CSRF tokens are made with, today's first."""

    def __init__(
        self,
        *,
        secrets: Sequence[bytes],
        lookup: CredentialLookup,
        signer: TokenSigner,
        database: Database,
        clock: Clock,
    ) -> None:
        self._secrets = tuple(secrets)
        self._lookup = lookup
        self._signer = signer
        self._database = database
        self._clock = clock
        self._session_uses: dict[str, datetime] = {}
        self._token_uses: dict[str, datetime] = {}

    async def viewer(self, credentials: Credentials) -> Viewer:
        """Who presents these credentials; Unauthorized or TokenExpired when there are some that are not good."""
        if credentials.bearer is not None:
            if credentials.bearer.startswith(API_TOKEN_PREFIX):
                return await self._by_api_token(credentials.bearer, credentials)
            return await self._by_session(credentials.bearer, credentials, kind=SessionKind.BEARER)
        if credentials.cookie is not None:
            return await self._by_session(credentials.cookie, credentials, kind=SessionKind.BROWSER)
        if credentials.delete_token is None and not credentials.address:
            return ANONYMOUS
        return Viewer(delete_token=credentials.delete_token, address=credentials.address)

    def csrf_token(self, session_id: str) -> str:
        """What the pages of a browser's session send along with their forms."""
        return _csrf_token(session_id, secret=self._secrets[0])

    def check_csrf_token(self, session_id: str, token: str) -> bool:
        """Whether `token` was made for this session."""
        given = token.encode("utf-8", "surrogatepass")
        return any(
            hmac.compare_digest(given, _csrf_token(session_id, secret=secret).encode()) for secret in self._secrets
        )

    async def flush_uses(self) -> int:
        """Sweep: note when sessions and API tokens were used last; how many."""
        sessions, self._session_uses = self._session_uses, {}
        tokens, self._token_uses = self._token_uses, {}
        if sessions or tokens:
            async with self._database.begin() as work:
                await work.sessions.set_used(sessions)
                await work.api_tokens.set_used(tokens)
        return len(sessions) + len(tokens)

    async def _by_session(self, text: str, credentials: Credentials, *, kind: SessionKind) -> Viewer:
        now = self._clock.now()
        claims = self._signer.read(text, now=now)
        found = await self._lookup.session(claims.session_id)
        if found is None:
            raise Unauthorized
        session, user = found
        # A token of another place is as good as a forged one: pages must not be able to read the browser's.
        if session.kind is not kind or session.user_id != claims.user_id or not user.is_active:
            raise Unauthorized
        if session.expires_at <= now:
            raise TokenExpired
        _note(self._session_uses, session.id, before=session.last_used_at, now=now)
        return Viewer(user=user, session=session, delete_token=credentials.delete_token, address=credentials.address)

    async def _by_api_token(self, text: str, credentials: Credentials) -> Viewer:
        now = self._clock.now()
        found = await self._lookup.api_token(hash_secret(text))
        if found is None:
            raise Unauthorized
        token, user = found
        if not user.is_active:
            raise Unauthorized
        if token.expires_at is not None and token.expires_at <= now:
            raise TokenExpired
        _note(self._token_uses, token.id, before=token.last_used_at, now=now)
        return Viewer(
            token_id=token.id,
            user=user,
            scopes=token.scopes,
            delete_token=credentials.delete_token,
            address=credentials.address,
        )


def _csrf_token(session_id: str, *, secret: bytes) -> str:
    return hmac.digest(secret, b"csrf:" + session_id.encode(), hashlib.sha256).hex()


def _note(uses: dict[str, datetime], name: str, *, before: datetime | None, now: datetime) -> None:
    if (before is None or now - before >= USE_RESOLUTION) and len(uses) < _MAX_USES:
        uses[name] = now
