"""Credentials without a database: sessions and API tokens in memory, the services on them real."""

from datetime import timedelta

from chitram.adapters.memory.clock import ManualClock, SystemIdentifiers
from chitram.adapters.security.jwt import JwtSigner
from chitram.domain.api_tokens import ALL_SCOPES, API_TOKEN_PREFIX, ApiToken, hash_secret
from chitram.domain.sessions import Session, SessionKind
from chitram.domain.users import Role, User
from chitram.ports.tokens import Claims
from chitram.services.authentication import Authentication

SECRET = b"a secret for tests that is long enough"
LIFE = timedelta(days=1)


class Doorkeeper:
    """One account, and the `authentication` that knows its credentials. `asked` counts look-ups."""

    def __init__(self):
        self.clock = ManualClock()
        self.asked = 0
        self.user = User(
            id="user0000000",
            email="ada@example.org",
            email_key="ada@example.org",
            password_hash="x",
            role=Role.USER,
            is_active=True,
            created_at=self.clock.now(),
        )
        self._identifiers = SystemIdentifiers()
        self._signer = JwtSigner(SECRET, previous=())
        self._sessions, self._tokens = {}, {}
        self.authentication = Authentication(
            secrets=(SECRET,), lookup=self, signer=self._signer, database=None, clock=self.clock
        )

    async def session(self, session_id):
        self.asked += 1
        found = self._sessions.get(session_id)
        return None if found is None else (found, self.user)

    async def api_token(self, token_hash):
        self.asked += 1
        found = self._tokens.get(token_hash)
        return None if found is None else (found, self.user)

    def sign_in(self, kind=SessionKind.BEARER):
        """A new session and its token."""
        now = self.clock.now()
        session = Session(self._identifiers.session_id(), self.user.id, kind, now, now, now + LIFE, "192.0.2.7", "")
        self._sessions[session.id] = session
        return session, self._signer.sign(Claims(self.user.id, session.id, issued_at=now, expires_at=now + LIFE))

    def sign_out(self, session):
        del self._sessions[session.id]

    def new_api_token(self, scopes=ALL_SCOPES):
        """The secret of a new API token."""
        secret = API_TOKEN_PREFIX + self._identifiers.secret()
        token = ApiToken("token000000", self.user.id, "t", hash_secret(secret), scopes, self.clock.now(), None)
        self._tokens[token.token_hash] = token
        return secret
