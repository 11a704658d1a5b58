"""Whose credentials a request carries: what is not good is refused, never taken for nobody's."""

from datetime import timedelta

import pytest
from pydantic import SecretStr

from chitram.domain.access import ANONYMOUS
from chitram.domain.api_tokens import ALL_SCOPES, API_TOKEN_PREFIX, Scope
from chitram.domain.errors import ServiceUnavailable, TokenExpired, Unauthorized
from chitram.domain.sessions import USE_RESOLUTION, SessionKind
from chitram.ports.tokens import Claims
from chitram.services import authentication
from chitram.services.authentication import Credentials
from chitram.settings import AppSettings, Settings
from tests.factories.applications import house
from tests.unit.services.people import ADA, ADDRESS, BOB, SECOND, member, register, seen, sign_in

DAY, MONTH = timedelta(days=1), timedelta(days=30)


async def refused(home, credentials: Credentials, error: type[Exception] = Unauthorized) -> None:
    with pytest.raises(error) as caught:
        await home.application.authentication.viewer(credentials)
    assert type(caught.value) is error


async def api_token(home, viewer, *, scopes=ALL_SCOPES, expires_at=None):
    return await home.application.api_tokens.create(viewer, name="script", scopes=scopes, expires_at=expires_at)


class TestStrangers:
    async def test_without_any_credential(self, home):
        assert await home.application.authentication.viewer(Credentials()) is ANONYMOUS

    async def test_with_a_delete_token_from_somewhere(self, home):
        viewer = await home.application.authentication.viewer(Credentials(delete_token="t", address=ADDRESS))
        assert (viewer.user, viewer.session, viewer.delete_token, viewer.address) == (None, None, "t", ADDRESS)


class TestSessions:
    @pytest.mark.parametrize("kind", list(SessionKind))
    async def test_a_token_stands_for_its_session(self, home, kind):
        await register(home)
        signed_in = await sign_in(home, kind=kind)
        viewer = await seen(home, signed_in, delete_token="t")
        assert (viewer.user, viewer.session, viewer.scopes) == (signed_in.user, signed_in.session, ALL_SCOPES)
        assert (viewer.delete_token, viewer.address) == ("t", ADDRESS)

    async def test_a_browsers_token_is_no_bearer_token_and_the_other_way_round(self, home):
        bearer = await register(home)
        browser = await sign_in(home, kind=SessionKind.BROWSER)
        await refused(home, Credentials(bearer=browser.token))
        await refused(home, Credentials(cookie=bearer.token))

    async def test_what_is_sent_on_purpose_goes_before_the_cookie(self, home):
        ada = await register(home, ADA)
        await register(home, BOB)
        bob = await sign_in(home, BOB, kind=SessionKind.BROWSER)
        viewer = await home.application.authentication.viewer(Credentials(bearer=ada.token, cookie=bob.token))
        assert viewer.user == ada.user
        await refused(home, Credentials(bearer="no token", cookie=bob.token))

    @pytest.mark.parametrize("text", ["", "x", "a.b.c", API_TOKEN_PREFIX, API_TOKEN_PREFIX + "A" * 43, "ü\udcff"])
    async def test_what_is_no_token_of_ours(self, home, text):
        await refused(home, Credentials(bearer=text))
        await refused(home, Credentials(cookie=text))

    async def test_one_that_has_run_out_is_told_from_one_that_was_never_good(self, home):
        signed_in = await register(home)
        home.clock.advance(DAY - SECOND)
        await seen(home, signed_in)
        home.clock.advance(SECOND)
        await refused(home, Credentials(bearer=signed_in.token), TokenExpired)

    async def test_the_session_decides_even_when_its_token_says_that_it_lives_on(self, home):
        signed_in = await register(home)
        now, session = home.clock.now(), signed_in.session
        token = home.foundation.signer.sign(Claims(session.user_id, session.id, now, expires_at=now + MONTH))
        home.clock.advance(DAY)
        await refused(home, Credentials(bearer=token), TokenExpired)

    async def test_a_signed_token_for_somebody_elses_session(self, home):
        ada, bob = await register(home, ADA), await register(home, BOB)
        now = home.clock.now()
        token = home.foundation.signer.sign(Claims(ada.user.id, bob.session.id, now, expires_at=now + DAY))
        await refused(home, Credentials(bearer=token))

    async def test_an_ended_session(self, home):
        signed_in = await register(home)
        await home.application.accounts.sign_out(await seen(home, signed_in))
        await refused(home, Credentials(bearer=signed_in.token))

    async def test_a_closed_account_even_before_its_sessions_have_ended(self, home):
        signed_in = await register(home)
        _, secret = await api_token(home, await seen(home, signed_in))
        async with home.foundation.database.begin() as work:
            await work.users.set_active(signed_in.user.id, active=False)
        await refused(home, Credentials(bearer=signed_in.token))
        await refused(home, Credentials(bearer=secret))

    async def test_without_an_answer_of_the_database_nobody_passes_for_a_stranger(self, home):
        signed_in = await register(home)
        _, secret = await api_token(home, await seen(home, signed_in))
        home.foundation.credentials.close()
        await refused(home, Credentials(bearer=signed_in.token), ServiceUnavailable)
        await refused(home, Credentials(bearer=secret), ServiceUnavailable)


class TestApiTokens:
    async def test_stand_for_their_account_and_for_nothing_but_their_scopes(self, home):
        ada = await member(home)
        _, secret = await api_token(home, ada, scopes=frozenset({Scope.READ}))
        viewer = await home.application.authentication.viewer(
            Credentials(bearer=secret, delete_token="t", address=ADDRESS)
        )
        assert (viewer.user, viewer.session, viewer.scopes) == (ada.user, None, {Scope.READ})
        assert (viewer.delete_token, viewer.address) == ("t", ADDRESS)

    async def test_run_out(self, home):
        _, secret = await api_token(home, await member(home), expires_at=home.clock.now() + MONTH)
        home.clock.advance(MONTH - SECOND)
        await home.application.authentication.viewer(Credentials(bearer=secret))
        home.clock.advance(SECOND)
        await refused(home, Credentials(bearer=secret), TokenExpired)

    async def test_revoked_ones_and_the_mere_hash(self, home):
        ada = await member(home)
        token, secret = await api_token(home, ada)
        await refused(home, Credentials(bearer=API_TOKEN_PREFIX + token.token_hash))
        await home.application.api_tokens.revoke(ada, token_id=token.id)
        await refused(home, Credentials(bearer=secret))

    async def test_do_not_work_as_cookies(self, home):
        _, secret = await api_token(home, await member(home))
        await refused(home, Credentials(cookie=secret))


class TestRotation:
    OLD, NEW = "o" * 40, "n" * 40

    def settings_of(self, directory, secret: str, *previous: str) -> Settings:
        keys = {"secret_key": SecretStr(secret), "previous_secret_keys": SecretStr(",".join(previous))}
        return Settings(app=AppSettings(env="test", data_dir=directory, **keys))

    async def test_nobody_is_signed_out_until_the_old_secret_is_dropped(self, tmp_path):
        old, both, new = (
            self.settings_of(tmp_path, self.OLD),
            self.settings_of(tmp_path, self.NEW, self.OLD),
            self.settings_of(tmp_path, self.NEW),
        )
        async with house(tmp_path, settings=old) as home:
            signed_in = await register(home)
            csrf = home.application.authentication.csrf_token(signed_in.session.id)
        async with house(tmp_path, settings=both) as home:
            await seen(home, signed_in)
            assert home.application.authentication.check_csrf_token(signed_in.session.id, csrf)
            assert home.application.authentication.csrf_token(signed_in.session.id) != csrf
            fresh = await sign_in(home)
        async with house(tmp_path, settings=new) as home:
            await refused(home, Credentials(bearer=signed_in.token))
            assert not home.application.authentication.check_csrf_token(signed_in.session.id, csrf)
            await seen(home, fresh)


class TestCsrfTokens:
    async def test_belong_to_one_session(self, home):
        service = home.application.authentication
        token = service.csrf_token("session-a")
        assert service.check_csrf_token("session-a", token)
        assert not service.check_csrf_token("session-b", token)
        assert service.csrf_token("session-b") != token

    @pytest.mark.parametrize("odd", ["", "0", "ü", "\udcff", "0" * 64])
    async def test_others_are_none(self, home, odd):
        assert not home.application.authentication.check_csrf_token("session-a", odd)

    async def test_do_not_follow_from_what_the_server_shows(self, home, tmp_path):
        other = Settings(app=AppSettings(env="test", data_dir=tmp_path, secret_key=SecretStr("s" * 40)))
        async with house(tmp_path, settings=other) as neighbour:
            token = neighbour.application.authentication.csrf_token("session-a")
        assert not home.application.authentication.check_csrf_token("session-a", token)


class TestUses:
    async def test_are_noted_by_the_sweep_and_not_more_often_than_anybody_wants_to_know(self, home):
        service = home.application.authentication
        signed_in = await register(home)
        token, secret = await api_token(home, await seen(home, signed_in))
        assert await service.flush_uses() == 0
        await service.viewer(Credentials(bearer=secret))
        assert await service.flush_uses() == 1
        home.clock.advance(USE_RESOLUTION)
        await service.viewer(Credentials(bearer=secret))
        viewer = await seen(home, signed_in)
        assert await service.flush_uses() == 2
        assert await service.flush_uses() == 0
        (session,) = await home.application.sessions.list(viewer)
        (listed,) = await home.application.api_tokens.list(viewer)
        assert session.last_used_at == listed.last_used_at == home.clock.now()
        assert listed.id == token.id
        home.clock.advance(USE_RESOLUTION - SECOND)
        await seen(home, signed_in)
        await service.viewer(Credentials(bearer=secret))
        assert await service.flush_uses() == 0

    async def test_that_wait_are_bounded(self, home, monkeypatch):
        monkeypatch.setattr(authentication, "_MAX_USES", 1)
        signed_in = [await register(home, email) for email in (ADA, BOB)]
        home.clock.advance(USE_RESOLUTION)
        for each in signed_in:
            await seen(home, each)
        assert await home.application.authentication.flush_uses() == 1
