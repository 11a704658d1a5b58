"""How often somebody may ask: by address, by account and by everybody together, and nobody is shut out by strangers."""

from dataclasses import replace
from datetime import timedelta

import pytest

from chitram.domain.access import ANONYMOUS, Viewer
from chitram.domain.errors import InvalidCredentials
from chitram.domain.limits import AUTH, DELETE_TOKEN, SIMILAR, UPLOAD, VERIFY
from chitram.domain.sessions import FAMILIAR_FOR
from chitram.services import accounts
from chitram.settings import AppSettings, LimitSettings, Settings
from tests.unit.services.databases import Watched
from tests.unit.services.people import (
    ADA,
    BOB,
    PASSWORD,
    SECOND,
    member,
    register,
    seen,
    sessions_of,
    sign_in,
    user_of,
    with_api_token,
)

MINUTE, WINDOW = timedelta(minutes=1), timedelta(minutes=5)
#: More than any test asks for.
MANY = 1000


def stranger(number: int) -> str:
    return f"198.51.{number // 250}.{number % 250 + 1}"


@pytest.fixture
def settings(tmp_path) -> Settings:
    limits = LimitSettings(
        per_minute=2,
        account_per_minute=4,
        similar_per_minute=3,
        auth_attempts=3,
        auth_attempts_all=20,
        allowed=("10.0.0.0/8", "2001:db8:1::/48", "203.0.113.9"),
    )
    return Settings(app=AppSettings(env="test", data_dir=tmp_path), limits=limits)


@pytest.fixture
def throttle(home):
    return home.application.throttle


async def passes(throttle, budget: str, viewer: Viewer) -> int:
    """How many requests in a row are let through."""
    for passed in range(MANY):
        if not (await throttle.count(budget, viewer=viewer)).allowed:
            return passed
    return MANY


async def attempts(throttle, address: str, email: str | None) -> int:
    """How many attempts in a row are let through."""
    for passed in range(MANY):
        if not (await throttle.attempt(address=address, email=email)).allowed:
            return passed
    return MANY


async def confirmations(throttle, viewer: Viewer) -> int:
    """How many times in a row somebody who is signed in may show their password."""
    for passed in range(MANY):
        if not (await throttle.attempt(address=viewer.address, viewer=viewer)).allowed:
            return passed
    return MANY


def at(address: str, **changes) -> Viewer:
    return Viewer(address=address, **changes)


class TestBudgets:
    @pytest.mark.parametrize(("budget", "anonymous", "account"), [(UPLOAD, 2, 4), (VERIFY, 2, 2), (SIMILAR, 3, 3)])
    async def test_are_an_addresss_or_else_an_accounts(self, throttle, budget, anonymous, account):
        ada, bob = user_of(ADA), user_of(BOB, id="user0000002")
        assert await passes(throttle, budget, at("192.0.2.1")) == anonymous
        assert await passes(throttle, budget, at("192.0.2.1", user=ada)) == account
        assert await passes(throttle, budget, at("192.0.2.2", user=ada)) == 0
        assert await passes(throttle, budget, at("192.0.2.1", user=bob)) == account
        assert await passes(throttle, budget, at("192.0.2.2")) == anonymous

    async def test_do_not_touch_each_other(self, throttle):
        assert [await passes(throttle, budget, at("192.0.2.1")) for budget in (UPLOAD, VERIFY, SIMILAR)] == [2, 2, 3]

    async def test_all_addresses_of_one_ipv6_network_are_one(self, throttle):
        assert await passes(throttle, UPLOAD, at("2001:db8::1")) == 2
        assert await passes(throttle, UPLOAD, at("2001:db8::ffff:1")) == 0
        assert await passes(throttle, UPLOAD, at("2001:db8:0:1::1")) == 2
        assert await passes(throttle, UPLOAD, at("192.0.2.1")) == 2
        assert await passes(throttle, UPLOAD, at("::ffff:192.0.2.1")) == 0

    async def test_every_credential_of_an_account_draws_on_the_same(self, home, throttle):
        ada = await member(home)
        script = await with_api_token(home, ada)
        assert await passes(throttle, UPLOAD, ada) == 4
        assert await passes(throttle, UPLOAD, script) == 0

    async def test_come_back_with_time(self, home, throttle):
        await passes(throttle, UPLOAD, at("192.0.2.1"))
        verdict = await throttle.count(UPLOAD, viewer=at("192.0.2.1"))
        assert (verdict.allowed, verdict.remaining, verdict.retry_after) == (False, 0, 60)
        home.clock.advance(MINUTE - SECOND)
        assert await passes(throttle, UPLOAD, at("192.0.2.1")) == 0
        home.clock.advance(SECOND)
        assert await passes(throttle, UPLOAD, at("192.0.2.1")) == 2


class TestAllowList:
    @pytest.mark.parametrize("address", ["10.255.0.1", "::ffff:10.0.0.1", "2001:db8:1:2::3", "203.0.113.9"])
    async def test_has_no_limits(self, throttle, address):
        verdict = await throttle.count(UPLOAD, viewer=at(address))
        assert (verdict.allowed, verdict.remaining, verdict.retry_after) == (True, 2, 0)
        for _ in range(50):
            assert (await throttle.count(UPLOAD, viewer=at(address))).allowed
            assert (await throttle.count(UPLOAD, viewer=at(address, user=user_of(ADA)))).allowed
            assert (await throttle.attempt(address=address, email=ADA)).allowed
            assert (await throttle.attempt(address=address, viewer=at(address, user=user_of(ADA)))).allowed
            await throttle.guessed_wrong(at(address, delete_token="x"))
            assert (await throttle.require_guesses(at(address, delete_token="x"))).allowed
        assert await passes(throttle, UPLOAD, at("192.0.2.1", user=user_of(ADA))) == 4
        assert await attempts(throttle, "192.0.2.1", ADA) == 3

    @pytest.mark.parametrize("address", ["11.0.0.1", "2001:db8:2::1", "203.0.113.8", "", "10.0.0.1.example"])
    async def test_has_nobody_else_on_it(self, throttle, address):
        assert await passes(throttle, UPLOAD, at(address)) == 2


class TestAttempts:
    async def test_are_counted_by_address(self, home, throttle):
        assert await attempts(throttle, "192.0.2.1", None) == 3
        verdict = await throttle.attempt(address="192.0.2.1", email=ADA)
        assert (verdict.allowed, verdict.rate.name, verdict.retry_after) == (False, AUTH, WINDOW.total_seconds())
        assert await attempts(throttle, "192.0.2.2", None) == 3
        home.clock.advance(WINDOW)
        assert await attempts(throttle, "192.0.2.1", None) == 3

    async def test_are_counted_by_address_whatever_the_email(self, throttle):
        emails = [f"user{number}@example.org" for number in range(10)]
        passed = [await attempts(throttle, "192.0.2.1", email) for email in emails]
        assert sum(passed) == 3

    async def test_on_one_account_are_counted_whatever_the_address_and_spelling(self, throttle):
        spellings = [ADA, ADA.upper(), " ada@example.org", "ａda@example.org"]
        passed = 0
        for number in range(12):
            verdict = await throttle.attempt(address=stranger(number), email=spellings[number % 4])
            passed += verdict.allowed
        assert passed == 3
        assert (await throttle.attempt(address=stranger(100), email=BOB)).allowed

    async def test_of_everybody_together_are_bounded(self, throttle):
        passed = 0
        for number in range(40):
            verdict = await throttle.attempt(address=stranger(number), email=f"user{number}@example.org")
            passed += verdict.allowed
        assert passed == 20

    async def test_that_are_refused_to_one_do_not_use_up_everybodys(self, throttle):
        for _ in range(100):
            await attempts(throttle, "192.0.2.1", ADA)
        assert await attempts(throttle, "192.0.2.2", BOB) == 3


class TestConfirmations:
    async def test_are_counted_by_account_and_by_nothing_else(self, home, throttle):
        ada, bob = await member(home), await member(home, BOB)
        for number in range(40):
            await attempts(throttle, stranger(number), (ADA, BOB)[number % 2])
        await attempts(throttle, ada.address, None)
        assert await confirmations(throttle, ada) == 3
        assert await confirmations(throttle, bob) == 3
        assert await confirmations(throttle, replace(ada, address="192.0.2.99")) == 0
        verdict = await throttle.attempt(address=ada.address, viewer=ada)
        assert (verdict.rate.name, verdict.retry_after) == (AUTH, WINDOW.total_seconds())

    async def test_use_up_nothing_of_others(self, home, throttle):
        ada = await member(home)
        for _ in range(100):
            await throttle.attempt(address=ada.address, viewer=ada)
        assert await attempts(throttle, ada.address, ADA) == 3
        assert await attempts(throttle, "192.0.2.99", BOB) == 3

    async def test_of_nobody_are_attempts(self, throttle):
        assert await attempts(throttle, "192.0.2.1", ADA) == 3
        assert not (await throttle.attempt(address="192.0.2.1", viewer=at("192.0.2.1"))).allowed


class TestFamiliarAddresses:
    async def exhaust(self, throttle, email: str) -> None:
        """Strangers use an account's budget up."""
        for number in range(4):
            await attempts(throttle, stranger(number), email)

    async def test_stay_open_when_strangers_have_used_up_an_accounts_budget(self, home, throttle):
        await register(home, address="192.0.2.1")
        await self.exhaust(throttle, ADA)
        assert await attempts(throttle, "192.0.2.2", ADA) == 0
        assert await attempts(throttle, "192.0.2.1", ADA.upper()) == 3  # its own budget is as small as anybody's

    async def test_stay_open_when_strangers_have_used_up_everybodys_budget(self, home, throttle):
        await register(home, address="192.0.2.1")
        for number in range(40):
            await throttle.attempt(address=stranger(number), email=f"user{number}@example.org")
        assert await attempts(throttle, "192.0.2.2", ADA) == 0
        assert await attempts(throttle, "192.0.2.1", None) == 0
        assert await attempts(throttle, "192.0.2.1", ADA) == 2

    @pytest.mark.parametrize("usual", ["192.0.2.1", "2001:db8::1"])
    @pytest.mark.parametrize("ended", ["signed out", "password changed", "password reset"])
    async def test_stay_open_for_who_has_no_session_any_more_window_after_window(self, home, throttle, ended, usual):
        address = {"192.0.2.1": "192.0.2.1", "2001:db8::1": "2001:db8::ffff:2"}[usual]
        viewer = await member(home, address=usual)
        password = await self.end(home, viewer, ended, address=address)
        assert await sessions_of(home, viewer.user.id) == 0
        for window in range(12):
            for _ in range(10):
                await throttle.attempt(address="198.51.100.1", email=ADA)
            await self.exhaust(throttle, ADA)
            assert await attempts(throttle, "203.0.113.1", ADA) == 0
            assert (await throttle.attempt(address=address, email=ADA)).allowed, window
            signed_in = await sign_in(home, password=password, address=address)
            await home.application.accounts.sign_out(await seen(home, signed_in))
            home.clock.advance(WINDOW)

    async def end(self, home, viewer: Viewer, ended: str, *, address: str) -> str:
        """End every session; what the password is then."""
        another = "another good password"
        if ended == "signed out":
            await home.application.accounts.sign_out(viewer)
            return PASSWORD
        if ended == "password changed":
            here = replace(viewer, address=address)
            await home.application.accounts.change_password(here, current=PASSWORD, new=another)
        else:
            await home.application.administration.reset_password(ADA, password=another)
        return another

    async def test_are_forgotten_when_the_password_is_changed_elsewhere(self, home, throttle):
        """A thief signed in from there."""
        thief, owner = "192.0.2.66", "192.0.2.1"
        viewer = await member(home, address=thief)
        await self.end(home, viewer, "password changed", address=owner)
        await self.exhaust(throttle, ADA)
        assert await attempts(throttle, thief, ADA) == 0

    async def test_are_so_for_their_own_account_alone(self, home, throttle):
        await register(home, ADA, address="192.0.2.1")
        await register(home, BOB, address="192.0.2.2")
        await self.exhaust(throttle, ADA)
        assert await attempts(throttle, "192.0.2.2", ADA) == 0
        assert await attempts(throttle, "192.0.2.2", BOB) == 2  # the one that was refused counts for its address

    async def test_are_those_of_a_sign_in_and_not_of_a_try(self, home, throttle):
        await register(home, address="192.0.2.1")
        with pytest.raises(InvalidCredentials):
            await sign_in(home, password="not the password", address="192.0.2.2")
        await self.exhaust(throttle, ADA)
        assert await attempts(throttle, "192.0.2.2", ADA) == 0

    async def test_are_forgotten_long_after_the_last_sign_in(self, home, throttle):
        await register(home, address="192.0.2.1")
        await sign_in(home, address="192.0.2.2")
        home.clock.advance(FAMILIAR_FOR - MINUTE)
        await sign_in(home, address="192.0.2.1")
        home.clock.advance(MINUTE)
        await home.application.sessions.sweep()
        await self.exhaust(throttle, ADA)
        assert await attempts(throttle, "192.0.2.2", ADA) == 0
        assert await attempts(throttle, "192.0.2.1", ADA) == 3

    async def test_are_so_many_the_oldest_ones_go(self, home, throttle, monkeypatch):
        monkeypatch.setattr(accounts, "MAX_FAMILIAR", 2)
        for number, enter in enumerate((register, sign_in, sign_in), start=1):
            await enter(home, address=f"192.0.2.{number}")
            home.clock.advance(SECOND)
        await self.exhaust(throttle, ADA)
        assert [await attempts(throttle, f"192.0.2.{number}", ADA) for number in (1, 2, 3)] == [0, 3, 3]

    async def test_of_an_account_that_does_not_exist_are_none_which_takes_the_same_work(self, home, throttle):
        await register(home, address="192.0.2.1")
        watched = home.foundation.database.real = Watched(home.foundation.database.real)
        work = []
        for email in (ADA, "nobody@example.org"):
            await self.exhaust(throttle, email)
            watched.calls.clear()
            assert await attempts(throttle, "192.0.2.3", email) == 0
            work.append(list(watched.calls))
            home.clock.advance(WINDOW)
        assert work[0] == work[1] == ["find", "knows_address"]


class TestGuesses:
    async def test_of_delete_tokens_are_bounded_by_address(self, home, throttle):
        viewer = at("192.0.2.1", delete_token="x" * 43)
        for _ in range(3):
            assert (await throttle.require_guesses(viewer)).allowed
            await throttle.guessed_wrong(viewer)
        verdict = await throttle.require_guesses(viewer)
        assert (verdict.allowed, verdict.rate.name) == (False, DELETE_TOKEN)
        assert verdict.retry_after == WINDOW.total_seconds()
        assert (await throttle.require_guesses(replace(viewer, address="192.0.2.2"))).allowed
        assert (await throttle.require_guesses(at("192.0.2.1"))).allowed
        home.clock.advance(WINDOW)
        assert (await throttle.require_guesses(viewer)).allowed

    async def test_that_were_right_cost_nothing(self, throttle):
        viewer = at("192.0.2.1", delete_token="x" * 43)
        for _ in range(20):
            assert (await throttle.require_guesses(viewer)).allowed

    async def test_without_a_token_there_is_nothing_to_guess(self, throttle):
        for _ in range(20):
            assert (await throttle.require_guesses(ANONYMOUS)).allowed


class TestDisabled:
    @pytest.fixture
    def settings(self, tmp_path) -> Settings:
        return Settings(
            app=AppSettings(env="test", data_dir=tmp_path), limits=LimitSettings(enabled=False, per_minute=1)
        )

    async def test_nothing_is_limited(self, throttle):
        viewer = at("192.0.2.1", delete_token="x")
        for _ in range(20):
            assert (await throttle.count(UPLOAD, viewer=viewer)).allowed
            assert (await throttle.attempt(address="192.0.2.1", email=ADA)).allowed
            await throttle.guessed_wrong(viewer)
            assert (await throttle.require_guesses(viewer)).allowed
