"""What an admin does from the command line, and that it takes effect at once."""

from dataclasses import replace
from datetime import timedelta

import pytest

from chitram.domain.api_tokens import ALL_SCOPES
from chitram.domain.audit import AuditAction, AuditEvent
from chitram.domain.errors import (
    EmailExists,
    InvalidCredentials,
    QuotaExceeded,
    Unauthorized,
    UserNotFound,
    ValidationFailed,
)
from chitram.domain.sessions import SessionKind
from chitram.domain.users import Quota, Role
from chitram.services import administration
from chitram.services.authentication import Credentials
from tests.factories import pictures
from tests.unit.services.people import (
    ADA,
    BOB,
    PASSWORD,
    account,
    again,
    member,
    register,
    seen,
    sign_in,
    upload,
    used,
)

PHOTO = pictures.jpeg(48, 32)
OTHER = "another good password"


@pytest.fixture
def admin(home):
    return home.application.administration


class TestAdmins:
    async def test_are_made_with_a_password(self, home, admin):
        made = await admin.create("Root@Example.org", password=PASSWORD)
        signed_in = await sign_in(home, "root@example.org")
        assert signed_in.user == made == await account(home, made.id)
        assert (made.role, made.is_active, made.email) == (Role.ADMIN, True, "Root@Example.org")

    async def test_are_not_made_of_somebody_who_is_there(self, home, admin):
        ada = await register(home)
        with pytest.raises(EmailExists):
            await admin.create(ADA.upper(), password=OTHER)
        with pytest.raises(ValidationFailed):
            await admin.create(BOB, password="short")
        assert [user async for user in admin.users()] == [ada.user]

    async def test_become_so_and_cease_to_be_at_the_next_request(self, home, admin):
        signed_in = await register(home)
        for role in (Role.ADMIN, Role.ADMIN, Role.USER):
            await admin.set_role(" ADA@example.org", role=role)
            assert (await seen(home, signed_in)).user.role is role


class TestPasswords:
    async def test_that_are_reset_end_every_session_and_token(self, home, admin):
        signed_in = [await register(home), await sign_in(home, kind=SessionKind.BROWSER)]
        _, secret = await home.application.api_tokens.create(
            await seen(home, signed_in[0]), name="script", scopes=ALL_SCOPES, expires_at=None
        )
        bob = await register(home, BOB)
        await admin.reset_password(ADA, password=OTHER)
        for each in signed_in:
            with pytest.raises(Unauthorized):
                await seen(home, each)
        with pytest.raises(Unauthorized):
            await home.application.authentication.viewer(Credentials(bearer=secret))
        await seen(home, bob)
        with pytest.raises(InvalidCredentials):
            await sign_in(home)
        await sign_in(home, password=OTHER)

    async def test_are_checked_like_everybodys(self, home, admin):
        await register(home)
        with pytest.raises(ValidationFailed):
            await admin.reset_password(ADA, password="short")
        await sign_in(home)


class TestClosing:
    async def test_ends_sessions_and_leaves_images(self, home, admin):
        signed_in = await register(home)
        ada = await seen(home, signed_in)
        kept = await upload(home, PHOTO, viewer=ada)
        await admin.set_active(ADA, active=False)
        with pytest.raises(Unauthorized):
            await seen(home, signed_in)
        found = await home.application.images.find(kept.record.image.id, viewer=replace(ada, user=None))
        assert found.record.image.owner_id == ada.user_id

    async def test_stops_what_is_on_its_way(self, home, admin):
        ada = await member(home)

        async def close():
            await admin.set_active(ADA, active=False)

        home.foundation.database.before["begin"].append(close)
        with pytest.raises(Unauthorized):
            await upload(home, PHOTO, viewer=ada)
        assert home.objects() == set()
        assert await used(home, ada) == Quota(0, 0)

    async def test_is_undone(self, home, admin):
        signed_in = await register(home)
        await admin.set_active(ADA, active=False)
        await admin.set_active(ADA, active=True)
        with pytest.raises(Unauthorized):
            await seen(home, signed_in)
        await seen(home, await sign_in(home))


class TestQuotas:
    async def test_of_one_account(self, home, admin):
        ada = await member(home)
        assert (await home.application.accounts.usage(ada)).quota == Quota(0, 0)
        await admin.set_quota(ADA, quota_bytes=len(PHOTO), quota_files=None)
        ada = await again(home, ada)
        assert (await home.application.accounts.usage(ada)).quota == Quota(len(PHOTO), 0)
        await upload(home, PHOTO, viewer=ada)
        with pytest.raises(QuotaExceeded):
            await upload(home, PHOTO, viewer=ada)
        await admin.set_quota(ADA, quota_bytes=None, quota_files=0)
        await upload(home, PHOTO, viewer=ada)


class TestUsers:
    async def test_are_all_there_in_the_order_of_their_emails_page_by_page(self, home, admin, monkeypatch):
        monkeypatch.setattr(administration, "_PAGE", 2)
        assert [user async for user in admin.users()] == []
        for count, name in enumerate(("d", "B", "a", "C"), start=1):
            await register(home, f"{name}@example.org")
            assert len([user async for user in admin.users()]) == count
        assert [user.email_key[0] async for user in admin.users()] == ["a", "b", "c", "d"]


async def test_of_accounts_that_are_not_there_nothing_is_done(home, admin):
    for attempt in (
        admin.set_role(ADA, role=Role.ADMIN),
        admin.reset_password(ADA, password=PASSWORD),
        admin.set_active(ADA, active=False),
        admin.set_quota(ADA, quota_bytes=1, quota_files=1),
    ):
        with pytest.raises(UserNotFound):
            await attempt
    assert home.audit.events == []


async def test_each_act_is_on_record_without_a_secret(home, admin):
    user = await admin.create(ADA, password=PASSWORD)
    await admin.set_role(ADA, role=Role.USER)
    await admin.reset_password(ADA, password=OTHER)
    await admin.set_active(ADA, active=False)
    await admin.set_quota(ADA, quota_bytes=5, quota_files=None)
    code = await admin.invite(valid_for=timedelta(days=2))
    assert home.audit.events == [
        AuditEvent(action, "command-line", subject, details=details)
        for action, subject, details in (
            (AuditAction.ADMIN_CREATE, user.id, {}),
            (AuditAction.ADMIN_ROLE, user.id, {"role": "user"}),
            (AuditAction.ADMIN_PASSWORD_RESET, user.id, {}),
            (AuditAction.ADMIN_ACTIVATION, user.id, {"active": False}),
            (AuditAction.ADMIN_QUOTA, user.id, {"bytes": 5, "files": None}),
            (AuditAction.ADMIN_INVITE, None, {"seconds": 172_800}),
        )
    ]
    told = repr(home.audit.events)
    for secret in (PASSWORD, OTHER, code, user.password_hash):
        assert secret not in told
    stored = b"".join(path.read_bytes() for path in home.root.parent.glob("chitram.db*"))
    assert code.encode() not in stored
