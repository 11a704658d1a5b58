"""API tokens: shown once, kept as a hash, and never more than what they were made for."""

from datetime import timedelta

import pytest

from chitram.domain.access import ANONYMOUS
from chitram.domain.api_tokens import ALL_SCOPES, API_TOKEN_PREFIX, MAX_TOKENS, Scope, hash_secret
from chitram.domain.audit import AuditAction
from chitram.domain.errors import Forbidden, TokenNotFound, Unauthorized, ValidationFailed
from chitram.services.authentication import Credentials
from tests.unit.services.people import (
    ADA,
    ADDRESS,
    BOB,
    PASSWORD,
    SECOND,
    events,
    member,
    with_api_token,
)

READ = frozenset({Scope.READ})
OTHER = "another good password"


async def create(home, viewer, *, name="script", scopes=READ, expires_at=None):
    return await home.application.api_tokens.create(viewer, name=name, scopes=scopes, expires_at=expires_at)


async def works(home, secret: str) -> bool:
    try:
        await home.application.authentication.viewer(Credentials(bearer=secret))
    except Unauthorized:
        return False
    return True


async def test_only_the_hash_is_kept(home):
    ada = await member(home)
    token, secret = await create(home, ada, name="చిత్రం", expires_at=home.clock.now() + SECOND)
    assert secret.startswith(API_TOKEN_PREFIX)
    assert len(secret) == len(API_TOKEN_PREFIX) + 43
    assert token.token_hash == hash_secret(secret)
    assert secret not in repr(token)
    assert list(await home.application.api_tokens.list(ada)) == [token]
    assert (token.name, token.scopes, token.created_at) == ("చిత్రం", READ, home.clock.now())
    stored = b"".join(path.read_bytes() for path in home.root.parent.glob("chitram.db*"))
    assert token.token_hash.encode() in stored
    assert secret.encode() not in stored
    assert secret.removeprefix(API_TOKEN_PREFIX).encode() not in stored


async def test_no_two_are_alike(home):
    ada = await member(home)
    made = [await create(home, ada) for _ in range(3)]
    assert len({secret for _, secret in made}) == len({token.id for token, _ in made}) == 3


async def test_are_listed_newest_first_for_their_owner(home):
    ada, bob = await member(home), await member(home, BOB)
    made = []
    for _ in range(3):
        made.insert(0, (await create(home, ada))[0])
        home.clock.advance(SECOND)
    assert list(await home.application.api_tokens.list(ada)) == made
    assert list(await home.application.api_tokens.list(bob)) == []


@pytest.mark.parametrize(
    ("scopes", "life", "field"),
    [(frozenset(), None, "scopes"), (READ, timedelta(0), "expires_at"), (READ, -SECOND, "expires_at")],
)
async def test_what_would_be_good_for_nothing_is_not_made(home, scopes, life, field):
    ada = await member(home)
    expires_at = None if life is None else home.clock.now() + life
    with pytest.raises(ValidationFailed) as caught:
        await create(home, ada, scopes=scopes, expires_at=expires_at)
    assert caught.value.details["errors"][0]["field"] == field
    assert list(await home.application.api_tokens.list(ada)) == []


async def test_an_account_has_a_bounded_number(home):
    ada, bob = await member(home), await member(home, BOB)
    for _ in range(MAX_TOKENS):
        token, _ = await create(home, ada)
    with pytest.raises(ValidationFailed):
        await create(home, ada)
    await create(home, bob)
    await home.application.api_tokens.revoke(ada, token_id=token.id)
    await create(home, ada)


class TestRevoking:
    async def test_one(self, home):
        ada = await member(home)
        (token, secret), (_, other) = await create(home, ada), await create(home, ada)
        await home.application.api_tokens.revoke(ada, token_id=token.id)
        assert [await works(home, each) for each in (secret, other)] == [False, True]
        with pytest.raises(TokenNotFound):
            await home.application.api_tokens.revoke(ada, token_id=token.id)

    async def test_all_of_them_and_nobody_elses(self, home):
        ada, bob = await member(home), await member(home, BOB)
        secrets = [(await create(home, viewer))[1] for viewer in (ada, ada, bob)]
        await home.application.api_tokens.revoke(ada, token_id=None)
        assert [await works(home, secret) for secret in secrets] == [False, False, True]

    async def test_one_of_somebody_else_is_not_possible(self, home):
        ada, bob = await member(home), await member(home, BOB)
        token, secret = await create(home, bob)
        for token_id in (token.id, "A" * 11, ""):
            with pytest.raises(TokenNotFound):
                await home.application.api_tokens.revoke(ada, token_id=token_id)
        assert await works(home, secret)


async def test_tokens_do_not_make_see_or_revoke_tokens(home):
    script = await with_api_token(home, await member(home), *ALL_SCOPES)
    for viewer, error in ((ANONYMOUS, Unauthorized), (script, Forbidden)):
        for attempt in (
            create(home, viewer),
            home.application.api_tokens.list(viewer),
            home.application.api_tokens.revoke(viewer, token_id=None),
        ):
            with pytest.raises(error):
                await attempt


class TestMeanwhile:
    async def changed(self, home, ada):
        await home.application.accounts.change_password(ada, current=PASSWORD, new=OTHER)

    async def given_up(self, home, ada):
        await home.application.accounts.delete(ada, password=PASSWORD, images="delete")

    async def closed(self, home, _):
        await home.application.administration.set_active(ADA, active=False)

    @pytest.mark.parametrize("event", [changed, given_up, closed])
    async def test_no_token_is_made_behind_the_back_of_whoever_shuts_somebody_out(self, home, event):
        ada = await member(home)

        async def overtake():
            await event(self, home, ada)

        home.foundation.database.before["begin"].append(overtake)
        with pytest.raises(Unauthorized):
            await create(home, ada)
        async with home.foundation.database.read() as repositories:
            assert list(await repositories.api_tokens.of_user(ada.user_id)) == []


async def test_what_was_made_and_revoked_is_on_record_without_the_secret(home):
    ada = await member(home)
    token, secret = await create(home, ada, scopes=frozenset({Scope.UPLOAD, Scope.DELETE}))
    await home.application.api_tokens.revoke(ada, token_id=token.id)
    await home.application.api_tokens.revoke(ada, token_id=None)
    (made,) = events(home, AuditAction.TOKEN_CREATE)
    assert (made.subject, dict(made.details)) == (token.id, {"scopes": ["delete", "upload"]})
    assert [event.subject for event in events(home, AuditAction.TOKEN_REVOKE)] == [token.id, "all"]
    for event in home.audit.events[1:]:
        assert (event.actor, event.address) == (ada.user_id, ADDRESS)
    assert secret not in repr(home.audit.events)
    assert token.token_hash not in repr(home.audit.events)
