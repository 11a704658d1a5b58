"""People who have accounts, what they do, and what is on record of it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from chitram.domain.access import Viewer
from chitram.domain.api_tokens import ALL_SCOPES, Scope
from chitram.domain.audit import AuditAction, AuditEvent
from chitram.domain.errors import ServiceUnavailable, Unauthorized
from chitram.domain.idempotency import IdempotencyKey
from chitram.domain.images import Visibility
from chitram.domain.sessions import SessionKind
from chitram.domain.uploads import UploadDetails, Uploaded
from chitram.domain.users import Quota, Role, User, email_key
from chitram.services.accounts import Origin, SignedIn
from chitram.services.authentication import Credentials
from tests.factories.applications import House
from tests.factories.rows import NOW

ADA, BOB = "ada@example.org", "bob@example.org"
PASSWORD = "correct horse battery"
ADDRESS = "192.0.2.7"
SECOND = timedelta(seconds=1)


def user_of(email: str, **changes: Any) -> User:
    """An account that is in no database."""
    user = User(
        id="user0000001",
        email=email,
        email_key=email_key(email),
        password_hash="",
        role=Role.USER,
        is_active=True,
        created_at=NOW,
    )
    return replace(user, **changes)


async def register(home: House, email: str = ADA, *, password: str = PASSWORD, address: str = ADDRESS) -> SignedIn:
    origin = Origin(address, "tests")
    return await home.application.accounts.register(
        email, password=password, invite=None, origin=origin, kind=SessionKind.BEARER
    )


async def sign_in(
    home: House,
    email: str = ADA,
    *,
    password: str = PASSWORD,
    address: str = ADDRESS,
    kind: SessionKind = SessionKind.BEARER,
) -> SignedIn:
    origin = Origin(address, "tests")
    return await home.application.accounts.sign_in(email, password=password, origin=origin, kind=kind)


async def seen(home: House, signed_in: SignedIn, *, delete_token: str | None = None) -> Viewer:
    """Whoever comes with the token of this sign-in now."""
    field = "bearer" if signed_in.session.kind is SessionKind.BEARER else "cookie"
    credentials = Credentials(**{field: signed_in.token}, delete_token=delete_token, address=ADDRESS)
    return await home.application.authentication.viewer(credentials)


async def member(home: House, email: str = ADA, **options: Any) -> Viewer:
    """Somebody who has just registered."""
    return await seen(home, await register(home, email, **options))


async def again(home: House, viewer: Viewer) -> Viewer:
    """The same viewer with what their account has become."""
    assert viewer.user is not None
    return replace(viewer, user=await account(home, viewer.user.id))


async def with_api_token(home: House, viewer: Viewer, *scopes: Scope) -> Viewer:
    """Whoever comes with a new API token of the viewer's account."""
    tokens = home.application.api_tokens
    _, secret = await tokens.create(viewer, name="script", scopes=frozenset(scopes) or ALL_SCOPES, expires_at=None)
    return await home.application.authentication.viewer(Credentials(bearer=secret, address=ADDRESS))


async def upload(
    home: House,
    data: bytes,
    *,
    viewer: Viewer | None = None,
    visibility: Visibility | None = None,
    key: IdempotencyKey | None = None,
    filename: str | None = None,
) -> Uploaded:
    """Upload `data` as the entry points do."""
    uploads = home.application.uploads
    owner = viewer.credential if viewer is not None else None
    details = UploadDetails(owner=owner, visibility=visibility, filename=filename)
    async with uploads.stage() as staged, uploads.hold(key) as hold:
        await staged.write(data)
        return await uploads.keep(staged, details=details, hold=hold)


async def at_once(*works: Callable[[], Awaitable[Any]]) -> list[Any]:
    """What becomes of works that are begun together. Who is told that the server is busy tries again, as clients do."""

    async def persist(work: Callable[[], Awaitable[Any]]) -> Any:
        while True:
            try:
                return await work()
            except ServiceUnavailable:
                await asyncio.sleep(0)

    return await asyncio.gather(*(persist(work) for work in works), return_exceptions=True)


async def account(home: House, user_id: str) -> User:
    async with home.foundation.database.read() as repositories:
        user = await repositories.users.get(user_id)
    assert user is not None
    return user


async def count_users(home: House) -> int:
    async with home.foundation.database.read() as repositories:
        return await repositories.users.count()


async def sessions_of(home: House, user_id: str) -> int:
    """How many sessions of the account have not expired."""
    async with home.foundation.database.read() as repositories:
        return len(await repositories.sessions.of_user(user_id, now=home.clock.now()))


async def is_refused(home: House, signed_in: SignedIn) -> bool:
    """Whether the token of this sign-in is worthless now."""
    try:
        await seen(home, signed_in)
    except Unauthorized:
        return True
    return False


async def used(home: House, viewer: Viewer) -> Quota:
    """What the account has been charged."""
    assert viewer.user is not None
    user = await account(home, viewer.user.id)
    return Quota(user.used_bytes, user.used_files)


async def recount(home: House, viewer: Viewer) -> Quota:
    """What the account has, counted anew."""
    assert viewer.user is not None
    async with home.foundation.database.read() as repositories:
        records = await repositories.images.list_owned(viewer.user.id, after=None, limit=10_000)
    return Quota(sum(record.blob.size for record in records), len(records))


def on_record(home: House, action: AuditAction) -> list[tuple[str | None, str | None, str | None]]:
    """Actor, subject and refusal of every event of this kind, oldest first."""
    return [(event.actor, event.subject, event.refusal) for event in events(home, action)]


def events(home: House, action: AuditAction) -> list[AuditEvent]:
    return [event for event in home.audit.events if event.action is action]
