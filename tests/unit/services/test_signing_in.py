"""Signing in and out, in the middle of what happens to the account."""

from datetime import timedelta

import pytest

from chitram.adapters.security.passwords import BcryptPasswords
from chitram.domain.access import ANONYMOUS
from chitram.domain.audit import AuditAction
from chitram.domain.errors import (
    Forbidden,
    InvalidCredentials,
    ServiceUnavailable,
    Unauthorized,
)
from chitram.domain.sessions import SessionKind
from tests.factories.interleaving import failing
from tests.unit.services.people import (
    ADA,
    BOB,
    PASSWORD,
    account,
    count_users,
    is_refused,
    member,
    on_record,
    register,
    seen,
    sessions_of,
    sign_in,
    with_api_token,
)

OTHER = "another good password"
HOUR = timedelta(hours=1)


class TestSigningIn:
    async def test_opens_a_session_of_its_own(self, home):
        first = await register(home)
        home.clock.advance(HOUR)
        second = await sign_in(home, "  ADA@example.ORG")
        assert second.session.id != first.session.id
        assert second.session.created_at == second.session.last_used_at == home.clock.now()
        for signed_in in (first, second):
            await seen(home, signed_in)
        assert on_record(home, AuditAction.LOGIN) == [(first.user.id, first.user.id, None)]

    @pytest.mark.parametrize(
        ("kind", "life"), [(SessionKind.BEARER, timedelta(days=1)), (SessionKind.BROWSER, timedelta(days=30))]
    )
    async def test_lasts_as_long_as_its_kind(self, home, kind, life):
        await register(home)
        signed_in = await sign_in(home, kind=kind)
        assert (signed_in.session.kind, signed_in.session.expires_at) == (kind, home.clock.now() + life)

    async def test_is_refused_the_same_way_whatever_was_wrong(self, home):
        closed = await register(home, BOB)
        await home.application.administration.set_active(BOB, active=False)
        ada = await register(home)
        home.foundation.passwords.work.clear()
        answers = []
        for email, password in ((ADA, OTHER), ("nobody@example.org", PASSWORD), (BOB, PASSWORD), ("", "")):
            with pytest.raises(InvalidCredentials) as caught:
                await sign_in(home, email, password=password)
            answers.append((caught.value.code, caught.value.message, caught.value.details, caught.value.retry_after))
        assert len(set(map(repr, answers))) == 1
        assert home.foundation.passwords.work == ["verify"] * 4
        subjects = [ada.user.id, None, closed.user.id, None]
        assert on_record(home, AuditAction.LOGIN) == [(None, subject, "INVALID_CREDENTIALS") for subject in subjects]
        assert await sessions_of(home, ada.user.id) == 1

    async def test_of_a_closed_account_tells_nothing_even_with_its_password(self, home):
        await register(home)
        administration = home.application.administration
        await administration.set_active(ADA, active=False)
        home.foundation.database.before["begin"].append(failing(AssertionError("more work than for a wrong password")))
        with pytest.raises(InvalidCredentials):
            await sign_in(home)
        home.foundation.database.before["begin"].clear()
        await administration.set_active(ADA, active=True)
        await sign_in(home)

    async def test_when_too_many_wait_is_on_record_too(self, home):
        user = (await register(home)).user
        home.foundation.passwords.real.close()
        with pytest.raises(ServiceUnavailable):
            await sign_in(home)
        assert on_record(home, AuditAction.LOGIN) == [(None, user.id, "SERVICE_UNAVAILABLE")]

    async def test_while_the_account_is_given_up(self, home):
        ada = await member(home)

        async def give_up():
            await home.application.accounts.delete(ada, password=PASSWORD, images="delete")

        home.foundation.database.before["begin"].append(give_up)
        with pytest.raises(InvalidCredentials):
            await sign_in(home)
        assert await count_users(home) == 0
        assert on_record(home, AuditAction.LOGIN) == [(None, ada.user_id, "INVALID_CREDENTIALS")]

    async def test_while_the_account_is_closed(self, home):
        user = (await register(home)).user

        async def close():
            await home.application.administration.set_active(ADA, active=False)

        home.foundation.database.before["begin"].append(close)
        with pytest.raises(InvalidCredentials):
            await sign_in(home)
        assert await sessions_of(home, user.id) == 0

    async def test_with_the_old_password_while_it_is_changed_outlives_the_change_in_no_order(self, home):
        ada = await member(home)

        async def change():
            await home.application.accounts.change_password(ada, current=PASSWORD, new=OTHER)

        home.foundation.database.before["begin"].append(change)
        with pytest.raises(InvalidCredentials):
            await sign_in(home)
        assert await sessions_of(home, ada.user_id) == 0


class TestOutdatedHashes:
    @pytest.fixture
    async def expensive(self, home):
        """Ada's account, whose password was hashed at another cost than today's."""
        user = (await register(home)).user
        hasher = BcryptPasswords(rounds=5, threads=1, max_waiting=1)
        try:
            hashed = await hasher.hash(PASSWORD)
        finally:
            hasher.close()
        async with home.foundation.database.begin() as work:
            await work.users.set_password(user.id, password_hash=hashed)
        return await account(home, user.id)

    async def test_are_renewed_at_the_next_sign_in(self, home, expensive):
        signed_in = await sign_in(home)
        renewed = await account(home, expensive.id)
        assert signed_in.user == renewed
        assert not home.foundation.passwords.is_outdated(renewed.password_hash)
        home.foundation.passwords.work.clear()
        await sign_in(home)
        assert home.foundation.passwords.work == ["verify"]

    async def test_are_not_renewed_for_a_wrong_password(self, home, expensive):
        with pytest.raises(InvalidCredentials):
            await sign_in(home, password=OTHER)
        assert await account(home, expensive.id) == expensive

    async def test_two_at_once_both_get_in(self, home, expensive):
        others = []

        async def overtake():
            others.append(await sign_in(home))

        home.foundation.passwords.before["hash"].append(overtake)
        signed_in = await sign_in(home)
        for each in (signed_in, others[0]):
            await seen(home, each)
        assert signed_in.user.password_hash == (await account(home, expensive.id)).password_hash

    async def test_do_not_bring_an_old_password_back(self, home, expensive):
        async def reset():
            await home.application.administration.reset_password(ADA, password=OTHER)

        home.foundation.database.before["begin"].append(reset)
        with pytest.raises(InvalidCredentials):
            await sign_in(home)
        assert await sessions_of(home, expensive.id) == 0
        await sign_in(home, password=OTHER)

    async def test_of_an_account_that_is_gone_meanwhile(self, home, expensive):
        async def remove():
            async with home.foundation.database.real.begin() as work:
                await work.users.remove(expensive.id)

        home.foundation.passwords.before["hash"].append(remove)
        with pytest.raises(InvalidCredentials):
            await sign_in(home)


class TestSigningOut:
    async def test_ends_this_session_and_no_other(self, home):
        first, second = await register(home), await sign_in(home)
        await home.application.accounts.sign_out(await seen(home, first))
        assert await is_refused(home, first)
        assert not await is_refused(home, second)
        assert on_record(home, AuditAction.LOGOUT) == [(first.user.id, first.user.id, None)]

    async def test_is_for_sessions(self, home):
        ada = await member(home)
        script = await with_api_token(home, ada)
        for viewer, error in ((ANONYMOUS, Unauthorized), (script, Forbidden)):
            with pytest.raises(error):
                await home.application.accounts.sign_out(viewer)
        assert on_record(home, AuditAction.LOGOUT) == []

    async def test_that_cannot_be_done_does_not_pass_for_done(self, home):
        signed_in = await register(home)
        viewer = await seen(home, signed_in)
        home.foundation.database.before["begin"].append(failing(ServiceUnavailable()))
        with pytest.raises(ServiceUnavailable):
            await home.application.accounts.sign_out(viewer)
        assert not await is_refused(home, signed_in)
        assert on_record(home, AuditAction.LOGOUT) == [(viewer.user_id, viewer.user_id, "SERVICE_UNAVAILABLE")]
