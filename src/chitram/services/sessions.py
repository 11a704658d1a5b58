"""Where an account is signed in, for its own eyes, and ending that."""

from collections.abc import Sequence

from chitram.domain.access import Viewer, require_session
from chitram.domain.audit import AuditAction, AuditEvent
from chitram.domain.errors import SessionNotFound
from chitram.domain.sessions import FAMILIAR_FOR, Session
from chitram.ports.audit import Audit
from chitram.ports.clock import Clock
from chitram.ports.unit_of_work import Database

#: Rows that one sweep forgets at most.
SWEEP_BATCH = 1000


class Sessions:
    def __init__(self, *, database: Database, audit: Audit, clock: Clock) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock

    async def list(self, viewer: Viewer) -> Sequence[Session]:
        """The sessions of the viewer's account, newest first. Unauthorized, Forbidden (an API token)."""
        user, _ = require_session(viewer)
        async with self._database.read() as repositories:
            return await repositories.sessions.of_user(user.id, now=self._clock.now())

    async def end(self, viewer: Viewer, *, session_id: str | None) -> None:
        """End one session of the viewer's account, or all but the present one.

        Unauthorized, Forbidden, SessionNotFound. When this returns, its token is worthless.
        """
        user, session = require_session(viewer)
        async with self._database.begin() as work:
            if session_id is None:
                await work.sessions.remove_of_user(user.id, but=session.id)
                found = True
            else:
                found = await work.sessions.remove(session_id, user_id=user.id)
        if not found:
            raise SessionNotFound
        details = {"sessions": "others"} if session_id is None else {"sessions": "one"}
        self._audit.record(AuditEvent(AuditAction.SESSION_END, user.id, user.id, viewer.address, details=details))

    async def sweep(self) -> int:
        """Sweep: forget sessions, invitations and idempotency keys that have expired, and addresses that nobody has
        signed in from for long; how many.
        """
        now = self._clock.now()
        async with self._database.begin() as work:
            sessions = await work.sessions.remove_expired(now=now, limit=SWEEP_BATCH)
            keys = await work.idempotency.remove_expired(now=now, limit=SWEEP_BATCH)
            addresses = await work.sessions.forget_addresses(before=now - FAMILIAR_FOR, limit=SWEEP_BATCH)
            return sessions + keys + addresses + await work.invites.remove_expired(now=now)
