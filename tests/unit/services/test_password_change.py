"""Another password: whoever knew the old one alone is out, in whatever order things happen."""

from functools import partial

import pytest

from chitram.domain.access import ANONYMOUS
from chitram.domain.api_tokens import Scope
from chitram.domain.audit import AuditAction
from chitram.domain.errors import (
    Forbidden,
    InvalidCredentials,
    Unauthorized,
    ValidationFailed,
)
from chitram.domain.sessions import SessionKind
from chitram.services.authentication import Credentials
from tests.unit.services.people import (
    ADA,
    BOB,
    PASSWORD,
    account,
    at_once,
    count_users,
    is_refused,
    member,
    on_record,
    register,
    seen,
    sign_in,
    with_api_token,
)

OTHER = "another good password"


class TestChangingThePassword:
    @pytest.mark.parametrize("keep", [False, True])
    async def test_ends_every_session_and_unless_kept_every_token(self, home, keep):
        signed_in = [await register(home), await sign_in(home), await sign_in(home, kind=SessionKind.BROWSER)]
        ada = await seen(home, signed_in[0])
        _, secret = await home.application.api_tokens.create(
            ada, name="script", scopes=frozenset({Scope.READ}), expires_at=None
        )
        bob = await register(home, BOB)
        await home.application.accounts.change_password(ada, current=PASSWORD, new=OTHER, keep_api_tokens=keep)
        assert [await is_refused(home, each) for each in (*signed_in, bob)] == [True, True, True, False]
        viewer = home.application.authentication.viewer(Credentials(bearer=secret))
        if keep:
            assert (await viewer).user_id == ada.user_id
        else:
            with pytest.raises(Unauthorized):
                await viewer
        with pytest.raises(InvalidCredentials):
            await sign_in(home)
        await sign_in(home, password=OTHER)
        assert on_record(home, AuditAction.PASSWORD_CHANGE) == [(ada.user_id, ada.user_id, None)]

    @pytest.mark.parametrize(
        ("current", "new", "error"),
        [(OTHER, PASSWORD, InvalidCredentials), (PASSWORD, "short", ValidationFailed), ("", "", InvalidCredentials)],
    )
    async def test_that_is_refused_changes_nothing(self, home, current, new, error):
        signed_in = await register(home)
        ada = await seen(home, signed_in)
        with pytest.raises(error):
            await home.application.accounts.change_password(ada, current=current, new=new)
        assert not await is_refused(home, signed_in)
        assert await account(home, ada.user_id) == ada.user
        assert on_record(home, AuditAction.PASSWORD_CHANGE) == [(ada.user_id, ada.user_id, error.code)]

    async def test_of_two_with_the_same_old_password_one_succeeds(self, home):
        first, second = await member(home), await seen(home, await sign_in(home))
        change = partial(home.application.accounts.change_password, current=PASSWORD)
        outcomes = await at_once(
            partial(change, first, new="the first new one"), partial(change, second, new="the second new one")
        )
        assert sorted(isinstance(outcome, InvalidCredentials) for outcome in outcomes) == [False, True]
        winner = "the first new one" if outcomes[0] is None else "the second new one"
        await sign_in(home, password=winner)

    async def test_meets_an_operator_who_resets_it(self, home):
        ada = await member(home)

        async def reset():
            await home.application.administration.reset_password(ADA, password="what the operator chose")

        home.foundation.passwords.before["hash"].append(reset)
        with pytest.raises(InvalidCredentials):
            await home.application.accounts.change_password(ada, current=PASSWORD, new=OTHER)
        await sign_in(home, password="what the operator chose")

    async def test_of_an_account_that_is_given_up_meanwhile(self, home):
        ada = await member(home)

        async def give_up():
            await home.application.accounts.delete(ada, password=PASSWORD, images="delete")

        home.foundation.passwords.before["hash"].append(give_up)
        with pytest.raises(Unauthorized):
            await home.application.accounts.change_password(ada, current=PASSWORD, new=OTHER)
        assert await count_users(home) == 0

    async def test_is_for_sessions(self, home):
        ada = await member(home)
        script = await with_api_token(home, ada)
        for viewer, error in ((ANONYMOUS, Unauthorized), (script, Forbidden)):
            with pytest.raises(error):
                await home.application.accounts.change_password(viewer, current=PASSWORD, new=OTHER)
        assert "verify" not in home.foundation.passwords.work
