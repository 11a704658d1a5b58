"""Accounts: getting one, signing in and out, and giving it up."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

from chitram.domain.access import Credential, Viewer, require_session, require_user
from chitram.domain.addresses import limit_subject
from chitram.domain.api_tokens import Scope, hash_secret
from chitram.domain.audit import AuditAction, AuditEvent
from chitram.domain.errors import (
    ChitramError,
    EmailExists,
    InvalidCredentials,
    InvalidInvite,
    RegistrationClosed,
    Unauthorized,
)
from chitram.domain.images import Visibility
from chitram.domain.jobs import JobKind, NewJob
from chitram.domain.sessions import MAX_FAMILIAR, MAX_SESSIONS, MAX_USER_AGENT, Session, SessionKind
from chitram.domain.users import Quota, Role, User, check_password, email_key
from chitram.ports.audit import Audit
from chitram.ports.cache import RecordCache
from chitram.ports.clock import Clock, Identifiers
from chitram.ports.jobs import JobSignal
from chitram.ports.passwords import Passwords
from chitram.ports.tokens import Claims, TokenSigner
from chitram.ports.unit_of_work import Database, UnitOfWork

#: Images whose records one job drops when an account is given up.
BATCH = 5000
#: Lines of the audit log that are written at a stretch.
BREATH = 100


@dataclass(frozen=True, slots=True)
class AccountPolicy:
    """Who may register, how long sessions live, and what an account may keep."""

    registration: Literal["open", "closed", "invite"]
    bearer_life: timedelta
    browser_life: timedelta
    quota: Quota


@dataclass(frozen=True, slots=True)
class Origin:
    """Where somebody signs in from."""

    address: str
    user_agent: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session. `token` proves it, and is not kept."""

    user: User
    session: Session
    token: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What an account keeps, and what it may."""

    used: Quota
    quota: Quota


class Accounts:
    def __init__(  # one parameter a port
        self,
        policy: AccountPolicy,
        *,
        database: Database,
        passwords: Passwords,
        signer: TokenSigner,
        cache: RecordCache,
        signal: JobSignal,
        audit: Audit,
        clock: Clock,
        identifiers: Identifiers,
    ) -> None:
        self.policy = policy
        self._database = database
        self._passwords = passwords
        self._signer = signer
        self._cache = cache
        self._signal = signal
        self._audit = audit
        self._clock = clock
        self._identifiers = identifiers

    async def register(
        self, email: str, *, password: str, invite: str | None, origin: Origin, kind: SessionKind
    ) -> SignedIn:
        """Make an account and sign it in. `email` has the form of one.

        RegistrationClosed, InvalidInvite, ValidationFailed (the password), EmailExists, ServiceUnavailable.
        """
        with self._on_record(AuditAction.REGISTER, origin.address) as trail:
            user = await self._new_user(email, password=password, invite=invite)
            session = self._new_session(user, origin=origin, kind=kind)
            async with self._database.begin() as work:
                await self._redeem(work, invite)
                if not await work.users.add(user):
                    raise EmailExists
                await _open(work, session)
            trail.actor = trail.subject = user.id
        return self._signed_in(user, session)

    async def sign_in(self, email: str, *, password: str, origin: Origin, kind: SessionKind) -> SignedIn:
        """Open a session. InvalidCredentials, whether it is the e-mail or the password, and in the same time.

        ServiceUnavailable.
        """
        with self._on_record(AuditAction.LOGIN, origin.address) as trail:
            async with self._database.read() as repositories:
                user = await repositories.users.find(email_key(email))
            trail.subject = user.id if user is not None else None
            known = user is not None and user.is_active
            matches = await self._passwords.verify(
                password, password_hash=user.password_hash if user and known else None
            )
            if user is None or not matches:
                raise InvalidCredentials
            if self._passwords.is_outdated(user.password_hash):
                user = await self._rehash(user, password)
            session = self._new_session(user, origin=origin, kind=kind)
            async with self._database.begin() as work:
                # Under its lock: the account may have been given up, closed, or got another password meanwhile.
                locked = await work.users.lock(user.id)
                if locked is None or not locked.is_active or locked.password_hash != user.password_hash:
                    raise InvalidCredentials
                await work.sessions.remove_oldest(user.id, keep=MAX_SESSIONS - 1)
                await _open(work, session)
            trail.actor = user.id
        return self._signed_in(locked, session)

    async def sign_out(self, viewer: Viewer) -> None:
        """End the viewer's session; its token is worthless from now on. Unauthorized, Forbidden (an API token)."""
        user, session = require_session(viewer)
        with self._on_record(AuditAction.LOGOUT, viewer.address, actor=user.id):
            async with self._database.begin() as work:
                await work.sessions.remove(session.id, user_id=user.id)

    async def change_password(self, viewer: Viewer, *, current: str, new: str, keep_api_tokens: bool = False) -> None:
        """Change the password and end every session, the present one too; API tokens as well unless they are kept.

        Unauthorized, Forbidden, InvalidCredentials, ValidationFailed, ServiceUnavailable.
        """
        user, _ = require_session(viewer)
        with self._on_record(
            AuditAction.PASSWORD_CHANGE, viewer.address, actor=user.id, keep_api_tokens=keep_api_tokens
        ):
            await self._require_password(user, current)
            check_password(new, is_known=self._passwords.is_known, field="new_password")
            hashed = await self._passwords.hash(new)
            async with self._database.begin() as work:
                await self._lock(work, viewer)
                await work.users.set_password(user.id, password_hash=hashed)
                await work.sessions.remove_of_user(user.id)
                # Whoever signed in from elsewhere is to be counted like any stranger again.
                await work.sessions.forget_addresses_of(user.id, but=limit_subject(viewer.address))
                if not keep_api_tokens:
                    await work.api_tokens.remove_of_user(user.id)

    async def delete(self, viewer: Viewer, *, password: str, images: Literal["delete", "keep"]) -> None:
        """Give the account up, with its images or leaving them without an owner; private ones go in either case.

        When this returns, nobody is shown what was deleted any more. Unauthorized, Forbidden, InvalidCredentials,
        ServiceUnavailable.
        """
        user, _ = require_session(viewer)
        with self._on_record(AuditAction.ACCOUNT_DELETE, viewer.address, actor=user.id, images=images):
            await self._require_password(user, password)
            async with self._database.begin() as work:
                await self._lock(work, viewer)
                deleted = await self._clear(work, user.id, keep=images == "keep")
                await work.users.remove(user.id)
        await self._record_deleted(deleted, viewer)

    async def usage(self, viewer: Viewer) -> Usage:
        """What the viewer's account keeps, and what it may. Unauthorized; Forbidden without the scope READ."""
        user = require_user(viewer, scope=Scope.READ)
        return Usage(Quota(user.used_bytes, user.used_files), user.quota(self.policy.quota))

    async def _new_user(self, email: str, *, password: str, invite: str | None) -> User:
        if self.policy.registration == "closed":
            raise RegistrationClosed
        check_password(password, is_known=self._passwords.is_known)
        if self.policy.registration == "invite" and not invite:
            raise InvalidInvite
        return User(
            id=self._identifiers.opaque_id(),
            email=email,
            email_key=email_key(email),
            password_hash=await self._passwords.hash(password),
            role=Role.USER,
            is_active=True,
            created_at=self._clock.now(),
        )

    async def _redeem(self, work: UnitOfWork, invite: str | None) -> None:
        if self.policy.registration != "invite":
            return
        if not await work.invites.redeem(hash_secret(invite or ""), now=self._clock.now()):
            raise InvalidInvite

    async def _rehash(self, user: User, password: str) -> User:
        """The account with a hash of today's cost of the password that it has. InvalidCredentials when it has another.

        Of two that sign in at once, one does it and the other finds it done.
        """
        hashed = await self._passwords.hash(password)
        async with self._database.begin() as work:
            locked = await work.users.lock(user.id)
            if locked is not None and locked.password_hash == user.password_hash:
                await work.users.set_password(user.id, password_hash=hashed)
                return replace(locked, password_hash=hashed)
        if locked is None or not await self._passwords.verify(password, password_hash=locked.password_hash):
            raise InvalidCredentials
        return locked

    def _new_session(self, user: User, *, origin: Origin, kind: SessionKind) -> Session:
        now = self._clock.now().replace(microsecond=0)  # tokens count in whole seconds
        life = self.policy.bearer_life if kind is SessionKind.BEARER else self.policy.browser_life
        return Session(
            id=self._identifiers.session_id(),
            user_id=user.id,
            kind=kind,
            created_at=now,
            last_used_at=now,
            expires_at=now + life,
            address=origin.address,
            user_agent=origin.user_agent[:MAX_USER_AGENT],
        )

    def _signed_in(self, user: User, session: Session) -> SignedIn:
        claims = Claims(user.id, session.id, issued_at=session.created_at, expires_at=session.expires_at)
        return SignedIn(user, session, self._signer.sign(claims))

    async def _require_password(self, user: User, password: str) -> None:
        if not await self._passwords.verify(password, password_hash=user.password_hash):
            raise InvalidCredentials("The password is not right.")

    async def _lock(self, work: UnitOfWork, viewer: Viewer) -> None:
        """Lock the account, whose password was found right while others could change it, or end the session."""
        user, session = require_session(viewer)
        locked = await work.users.lock(user.id)
        # Of two that change it at once, one knew a password that is none any more.
        if locked is not None and locked.password_hash != user.password_hash:
            raise InvalidCredentials("The password is not right.")
        if await work.users.lock_signed_in(Credential(user.id, session.id)) is None:
            raise Unauthorized

    async def _clear(self, work: UnitOfWork, user_id: str, *, keep: bool) -> list[str]:
        """Delete the account's images, or only the private ones and leave the others without an owner.

        The ids of those that were deleted.
        """
        removed = await work.images.remove_owned(user_id, visibility=Visibility.PRIVATE if keep else None)
        await work.blobs.condemn_unnamed(sorted({blob_id for _, blob_id in removed}), at=self._clock.now())
        deleted = [image_id for image_id, _ in removed]
        changed = [*deleted, *(await work.images.disown(user_id) if keep else [])]
        for start in range(0, len(changed), BATCH):
            payload = {"image_ids": changed[start : start + BATCH]}
            await work.jobs.add(NewJob(JobKind.INVALIDATE, payload, run_at=self._clock.now()))
        work.after_commit(lambda: self._cache.invalidate(changed))
        work.after_commit(self._signal.wake)
        return deleted

    async def _record_deleted(self, image_ids: Sequence[str], viewer: Viewer) -> None:
        """Put each image on record that went with its account, and let others be answered between many."""
        for number, image_id in enumerate(image_ids, start=1):
            self._audit.record(AuditEvent(AuditAction.IMAGE_DELETE, viewer.user_id, image_id, viewer.address))
            if number % BREATH == 0:
                await asyncio.sleep(0)

    @contextmanager
    def _on_record(
        self, action: AuditAction, address: str, *, actor: str | None = None, **details: object
    ) -> Iterator["_Trail"]:
        """Put on record what is done in the block, or what it was refused for."""
        trail = _Trail(actor, actor)
        try:
            yield trail
        except ChitramError as error:
            self._audit.record(AuditEvent(action, trail.actor, trail.subject, address, error.code, details))
            raise
        self._audit.record(AuditEvent(action, trail.actor, trail.subject, address, details=details))


async def _open(work: UnitOfWork, session: Session) -> None:
    """Record the session, and that its account is signed in from there."""
    await work.sessions.add(session)
    await work.sessions.remember_address(
        session.user_id, subject=limit_subject(session.address), at=session.created_at, keep=MAX_FAMILIAR
    )


@dataclass(slots=True)
class _Trail:
    """Who did it to whom, as far as it is known yet."""

    actor: str | None
    subject: str | None
