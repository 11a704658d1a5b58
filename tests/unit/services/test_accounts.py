"""Getting an account, by oneself or by invitation, and what it may keep."""

from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from chitram.domain.access import ANONYMOUS
from chitram.domain.api_tokens import Scope
from chitram.domain.audit import AuditAction
from chitram.domain.errors import (
    EmailExists,
    Forbidden,
    InvalidCredentials,
    InvalidInvite,
    RegistrationClosed,
    ServiceUnavailable,
    Unauthorized,
    ValidationFailed,
)
from chitram.domain.sessions import MAX_USER_AGENT, SessionKind
from chitram.domain.users import Quota, Role
from chitram.services.accounts import Origin, Usage
from chitram.settings import AccountSettings, AppSettings, Settings
from tests.factories.interleaving import failing
from tests.unit.services.people import (
    ADA,
    ADDRESS,
    BOB,
    PASSWORD,
    SECOND,
    account,
    at_once,
    count_users,
    events,
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


class TestRegistration:
    async def test_makes_an_account_and_signs_it_in(self, home):
        signed_in = await register(home, "Ada@Example.org")
        viewer = await seen(home, signed_in)
        assert viewer.user == await account(home, signed_in.user.id)
        assert (viewer.user.email, viewer.user.email_key) == ("Ada@Example.org", "ada@example.org")
        assert (viewer.user.role, viewer.user.is_active) == (Role.USER, True)
        assert viewer.user.created_at == home.clock.now()
        assert PASSWORD not in repr(viewer.user)
        assert on_record(home, AuditAction.REGISTER) == [(viewer.user.id, viewer.user.id, None)]
        assert [event.address for event in home.audit.events] == [ADDRESS]

    @pytest.mark.parametrize("email", [ADA, "ADA@EXAMPLE.ORG", " ada@example.org", "ａda@example.org"])
    async def test_of_an_email_that_is_taken_however_it_is_written(self, home, email):
        first = await register(home)
        with pytest.raises(EmailExists):
            await register(home, email, password=OTHER)
        assert await count_users(home) == 1
        await sign_in(home)
        assert on_record(home, AuditAction.REGISTER) == [
            (first.user.id, first.user.id, None),
            (None, None, "EMAIL_EXISTS"),
        ]

    async def test_of_one_email_by_many_at_once_succeeds_once(self, home):
        emails = [f"{'aA'[n % 2]}da@example.org" for n in range(12)]
        outcomes = await at_once(*(partial(register, home, email) for email in emails))
        made = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
        assert len(made) == 1
        assert [type(o) for o in outcomes if isinstance(o, BaseException)] == [EmailExists] * 11
        assert await count_users(home) == 1
        assert await sessions_of(home, made[0].user.id) == 1

    @pytest.mark.parametrize("password", ["", "1234567", "x" * 129])
    async def test_with_a_password_of_a_wrong_length_costs_no_work(self, home, password):
        with pytest.raises(ValidationFailed) as caught:
            await register(home, password=password)
        assert caught.value.details["errors"][0]["field"] == "password"
        assert home.foundation.passwords.work == []
        assert on_record(home, AuditAction.REGISTER) == [(None, None, "VALIDATION_ERROR")]

    @pytest.mark.parametrize("password", ["12345678", "x" * 128, "చిత్రం రహస్యం", "\udcff-surrogate"])
    async def test_with_every_other_password(self, home, password):
        await register(home, password=password)
        await sign_in(home, password=password)
        with pytest.raises(InvalidCredentials):
            await sign_in(home, password=password + "x")

    async def test_that_cannot_be_finished_leaves_nothing(self, home):
        home.foundation.database.before["begin"].append(failing(ServiceUnavailable()))
        with pytest.raises(ServiceUnavailable):
            await register(home)
        assert await count_users(home) == 0
        assert on_record(home, AuditAction.REGISTER) == [(None, None, "SERVICE_UNAVAILABLE")]
        await register(home)

    async def test_when_too_many_hashes_wait(self, home):
        home.foundation.passwords.real.close()
        with pytest.raises(ServiceUnavailable):
            await register(home)
        assert await count_users(home) == 0

    async def test_remembers_where_from_as_far_as_people_read(self, home):
        signed_in = await home.application.accounts.register(
            ADA, password=PASSWORD, invite=None, origin=Origin("2001:db8::1", "u" * 999), kind=SessionKind.BROWSER
        )
        (session,) = await home.application.sessions.list(await seen(home, signed_in))
        assert (session.address, session.user_agent) == ("2001:db8::1", "u" * MAX_USER_AGENT)

    class TestClosed:
        @pytest.fixture
        def settings(self, tmp_path) -> Settings:
            return Settings(
                app=AppSettings(env="test", data_dir=tmp_path), accounts=AccountSettings(registration="closed")
            )

        async def test_is_for_nobody(self, home):
            with pytest.raises(RegistrationClosed):
                await register(home)
            assert home.foundation.passwords.work == []
            assert on_record(home, AuditAction.REGISTER) == [(None, None, "REGISTRATION_CLOSED")]

    class TestBlocklist:
        @pytest.fixture
        def settings(self, tmp_path) -> Settings:
            path = tmp_path / "blocklist.txt"
            path.write_text(f"123456789\n{OTHER}\n", encoding="utf-8")
            return Settings(
                app=AppSettings(env="test", data_dir=tmp_path), accounts=AccountSettings(password_blocklist=path)
            )

        async def test_refuses_what_everybody_tries_first(self, home):
            with pytest.raises(ValidationFailed):
                await register(home, password=OTHER.upper())
            ada = await member(home)
            with pytest.raises(ValidationFailed):
                await home.application.accounts.change_password(ada, current=PASSWORD, new=OTHER)
            await sign_in(home)


class TestInvitations:
    @pytest.fixture
    def settings(self, tmp_path) -> Settings:
        return Settings(app=AppSettings(env="test", data_dir=tmp_path), accounts=AccountSettings(registration="invite"))

    async def register(self, home, email: str, invite: str | None):
        return await home.application.accounts.register(
            email, password=PASSWORD, invite=invite, origin=Origin(ADDRESS, ""), kind=SessionKind.BEARER
        )

    async def test_let_one_in_once(self, home):
        code = await home.application.administration.invite(valid_for=HOUR)
        await seen(home, await self.register(home, ADA, code))
        with pytest.raises(InvalidInvite):
            await self.register(home, BOB, code)
        assert await count_users(home) == 1

    @pytest.mark.parametrize("invite", [None, "", "x", "A" * 43])
    async def test_cannot_be_guessed(self, home, invite):
        await home.application.administration.invite(valid_for=HOUR)
        with pytest.raises(InvalidInvite):
            await self.register(home, ADA, invite)
        assert await count_users(home) == 0

    async def test_run_out(self, home):
        code = await home.application.administration.invite(valid_for=HOUR)
        home.clock.advance(HOUR)
        with pytest.raises(InvalidInvite):
            await self.register(home, ADA, code)

    async def test_are_not_used_up_by_what_fails(self, home):
        codes = [await home.application.administration.invite(valid_for=HOUR) for _ in range(2)]
        await self.register(home, ADA, codes[0])
        with pytest.raises(EmailExists):
            await self.register(home, ADA, codes[1])
        await self.register(home, BOB, codes[1])

    async def test_of_two_that_use_one_at_the_same_time_one_gets_in(self, home):
        code = await home.application.administration.invite(valid_for=HOUR)
        outcomes = await at_once(*(partial(self.register, home, email, code) for email in (ADA, BOB)))
        assert sorted(isinstance(outcome, InvalidInvite) for outcome in outcomes) == [False, True]
        assert await count_users(home) == 1


class TestUsage:
    @pytest.fixture
    def settings(self, tmp_path) -> Settings:
        accounts = AccountSettings(quota_mb=2, quota_files=7)
        return Settings(app=AppSettings(env="test", data_dir=tmp_path), accounts=accounts)

    async def test_is_what_is_kept_and_what_may_be(self, home):
        ada = await member(home)
        usage = home.application.accounts.usage
        assert await usage(ada) == Usage(Quota(0, 0), Quota(2 * 1024 * 1024, 7))
        own = replace(ada, user=replace(ada.user, used_bytes=5, used_files=1, quota_bytes=0, quota_files=3))
        assert await usage(own) == Usage(Quota(5, 1), Quota(0, 3))

    async def test_is_for_the_account_and_what_reads_for_it(self, home):
        ada = await member(home)
        await home.application.accounts.usage(await with_api_token(home, ada, Scope.READ))
        with pytest.raises(Forbidden):
            await home.application.accounts.usage(await with_api_token(home, ada, Scope.UPLOAD, Scope.DELETE))
        with pytest.raises(Unauthorized):
            await home.application.accounts.usage(ANONYMOUS)


async def test_nothing_on_record_is_a_secret(home):
    signed_in = await register(home)
    ada = await seen(home, signed_in)
    _, secret = await home.application.api_tokens.create(
        ada, name="script", scopes=frozenset({Scope.READ}), expires_at=None
    )
    with pytest.raises(InvalidCredentials):
        await sign_in(home, password=OTHER)
    again = await sign_in(home)
    await home.application.accounts.change_password(await seen(home, again), current=PASSWORD, new=OTHER)
    home.clock.advance(SECOND)
    last = await sign_in(home, password=OTHER)
    await home.application.accounts.delete(await seen(home, last), password=OTHER, images="keep")
    told = repr(home.audit.events)
    for hidden in (PASSWORD, OTHER, secret, signed_in.token, again.token, last.token, ada.user.password_hash):
        assert hidden not in told
    assert [dict(event.details) for event in events(home, AuditAction.ACCOUNT_DELETE)] == [{"images": "keep"}]
