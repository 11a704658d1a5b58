"""What an admin does with accounts, from the command line."""

from collections.abc import AsyncIterator
from datetime import timedelta

from chitram.domain.api_tokens import hash_secret
from chitram.domain.audit import AuditAction, AuditEvent
from chitram.domain.errors import EmailExists, UserNotFound
from chitram.domain.invites import Invite
from chitram.domain.users import Role, User, check_password, email_key
from chitram.ports.audit import Audit
from chitram.ports.clock import Clock, Identifiers
from chitram.ports.passwords import Passwords
from chitram.ports.unit_of_work import Database, UnitOfWork

#: How the audit log calls whoever has the machine itself.
ACTOR = "command-line"
_PAGE = 200


class Administration:
    def __init__(
        self, *, database: Database, passwords: Passwords, audit: Audit, clock: Clock, identifiers: Identifiers
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._audit = audit
        self._clock = clock
        self._identifiers = identifiers

    async def create(self, email: str, *, password: str) -> User:
        """A new admin. `email` has the form of one. EmailExists, ValidationFailed (the password)."""
        check_password(password, is_known=self._passwords.is_known)
        user = User(
            id=self._identifiers.opaque_id(),
            email=email,
            email_key=email_key(email),
            password_hash=await self._passwords.hash(password),
            role=Role.ADMIN,
            is_active=True,
            created_at=self._clock.now(),
        )
        async with self._database.begin() as work:
            added = await work.users.add(user)
        if not added:
            raise EmailExists
        self._record(AuditAction.ADMIN_CREATE, user.id)
        return user

    async def set_role(self, email: str, *, role: Role) -> None:
        """Make an account an admin's, or an ordinary one again. UserNotFound."""
        async with self._database.begin() as work:
            user = await self._find(work, email)
            await work.users.set_role(user.id, role=role)
        self._record(AuditAction.ADMIN_ROLE, user.id, role=role.value)

    async def reset_password(self, email: str, *, password: str) -> None:
        """Set a new password; every session and API token of the account ends. UserNotFound, ValidationFailed."""
        check_password(password, is_known=self._passwords.is_known)
        hashed = await self._passwords.hash(password)
        async with self._database.begin() as work:
            user = await self._find(work, email)
            await work.users.set_password(user.id, password_hash=hashed)
            await work.sessions.remove_of_user(user.id)
            await work.api_tokens.remove_of_user(user.id)
        self._record(AuditAction.ADMIN_PASSWORD_RESET, user.id)

    async def set_active(self, email: str, *, active: bool) -> None:
        """Close an account, whose sessions end and whose images stay, or open it again. UserNotFound."""
        async with self._database.begin() as work:
            user = await self._find(work, email)
            await work.users.set_active(user.id, active=active)
            if not active:
                await work.sessions.remove_of_user(user.id)
        self._record(AuditAction.ADMIN_ACTIVATION, user.id, active=active)

    async def set_quota(self, email: str, *, quota_bytes: int | None, quota_files: int | None) -> None:
        """What an account may keep; 0: no limit; None: what others may. UserNotFound."""
        async with self._database.begin() as work:
            user = await self._find(work, email)
            await work.users.set_quota(user.id, quota_bytes=quota_bytes, quota_files=quota_files)
        self._record(AuditAction.ADMIN_QUOTA, user.id, bytes=quota_bytes, files=quota_files)

    async def invite(self, *, valid_for: timedelta) -> str:
        """The code of a new invitation, which is told this once."""
        code, now = self._identifiers.secret(), self._clock.now()
        async with self._database.begin() as work:
            await work.invites.add(Invite(hash_secret(code), created_at=now, expires_at=now + valid_for))
        self._record(AuditAction.ADMIN_INVITE, None, seconds=int(valid_for.total_seconds()))
        return code

    async def users(self) -> AsyncIterator[User]:
        """Every account, by e-mail."""
        after = ""
        while True:
            async with self._database.read() as repositories:
                page = await repositories.users.page(after_email_key=after, limit=_PAGE)
            for user in page:
                yield user
            if len(page) < _PAGE:
                return
            after = page[-1].email_key

    async def _find(self, work: UnitOfWork, email: str) -> User:
        user = await work.users.find(email_key(email))
        locked = await work.users.lock(user.id) if user is not None else None
        if locked is None:
            raise UserNotFound
        return locked

    def _record(self, action: AuditAction, subject: str | None, **details: object) -> None:
        self._audit.record(AuditEvent(action, actor=ACTOR, subject=subject, details=details))
