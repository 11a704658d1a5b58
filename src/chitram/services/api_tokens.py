"""Keys of an account for programs."""

from collections.abc import Sequence
from datetime import datetime

from chitram.domain.access import Credential, Viewer, require_session
from chitram.domain.api_tokens import API_TOKEN_PREFIX, MAX_TOKENS, ApiToken, Scope, hash_secret
from chitram.domain.audit import AuditAction, AuditEvent
from chitram.domain.errors import TokenNotFound, Unauthorized, ValidationFailed
from chitram.ports.audit import Audit
from chitram.ports.clock import Clock, Identifiers
from chitram.ports.unit_of_work import Database


class ApiTokens:
    def __init__(self, *, database: Database, audit: Audit, clock: Clock, identifiers: Identifiers) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock
        self._identifiers = identifiers

    async def list(self, viewer: Viewer) -> Sequence[ApiToken]:
        """The tokens of the viewer's account, newest first. Unauthorized, Forbidden (an API token)."""
        user, _ = require_session(viewer)
        async with self._database.read() as repositories:
            return await repositories.api_tokens.of_user(user.id)

    async def create(
        self, viewer: Viewer, *, name: str, scopes: frozenset[Scope], expires_at: datetime | None
    ) -> tuple[ApiToken, str]:
        """A new token and its secret, which is told this once. Unauthorized, Forbidden, ValidationFailed."""
        user, session = require_session(viewer)
        now = self._clock.now()
        if not scopes:
            raise ValidationFailed.of("scopes", "must name at least one", problem="no_scope")
        if expires_at is not None and expires_at <= now:
            raise ValidationFailed.of("expires_at", "lies in the past")
        secret = API_TOKEN_PREFIX + self._identifiers.secret()
        token = ApiToken(
            id=self._identifiers.opaque_id(),
            user_id=user.id,
            name=name,
            token_hash=hash_secret(secret),
            scopes=scopes,
            created_at=now,
            expires_at=expires_at,
        )
        async with self._database.begin() as work:
            # Who ends sessions to shut somebody out must not find a new token of theirs afterwards.
            if await work.users.lock_signed_in(Credential(user.id, session.id)) is None:
                raise Unauthorized
            await work.api_tokens.remove_expired(user.id, now=now)
            if len(await work.api_tokens.of_user(user.id)) >= MAX_TOKENS:
                message = f"an account has at most {MAX_TOKENS} tokens; revoke one first"
                raise ValidationFailed.of("name", message, problem="too_many_tokens", most=MAX_TOKENS)
            await work.api_tokens.add(token)
        details = {"scopes": sorted(scopes)}
        self._audit.record(AuditEvent(AuditAction.TOKEN_CREATE, user.id, token.id, viewer.address, details=details))
        return token, secret

    async def revoke(self, viewer: Viewer, *, token_id: str | None) -> None:
        """Revoke one token of the viewer's account, or all. Unauthorized, Forbidden, TokenNotFound."""
        user, _ = require_session(viewer)
        async with self._database.begin() as work:
            if token_id is None:
                await work.api_tokens.remove_of_user(user.id)
                found = True
            else:
                found = await work.api_tokens.remove(token_id, user_id=user.id)
        if not found:
            raise TokenNotFound
        self._audit.record(AuditEvent(AuditAction.TOKEN_REVOKE, user.id, token_id or "all", viewer.address))
