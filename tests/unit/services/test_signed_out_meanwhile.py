"""Requests whose bodies take their time: what was begun while signed in is not done once that has ended."""

import pytest

from chitram.domain.access import Viewer
from chitram.domain.api_tokens import Scope
from chitram.domain.errors import ChitramError, Unauthorized
from chitram.domain.images import Edit, Visibility
from tests.factories import pictures
from tests.unit.services.people import PASSWORD, again, member, seen, sign_in, upload, with_api_token

PHOTO = pictures.jpeg(40, 30)
PUBLISH = Edit(changed=frozenset({"visibility"}), visibility=Visibility.PUBLIC)


async def log_out_elsewhere(home, ada: Viewer) -> None:
    await home.application.sessions.end(await seen(home, await sign_in(home)), session_id=None)


async def log_out(home, ada: Viewer) -> None:
    await home.application.accounts.sign_out(ada)


async def change_password(home, ada: Viewer) -> None:
    await home.application.accounts.change_password(await again(home, ada), current=PASSWORD, new="quite another one")


async def close_account(home, ada: Viewer) -> None:
    await home.application.administration.set_active(ada.user.email, active=False)


ENDINGS = [log_out_elsewhere, log_out, change_password, close_account]


async def make_token(home, ada: Viewer, _kept) -> None:
    await home.application.api_tokens.create(ada, name="thief", scopes=frozenset({Scope.READ}), expires_at=None)


async def publish(home, ada: Viewer, kept) -> None:
    await home.application.ownership.edit(kept.record.image.id, edit=PUBLISH, viewer=ada)


async def erase(home, ada: Viewer, kept) -> None:
    await home.application.images.delete(kept.record.image.id, viewer=ada)


async def put_in(home, ada: Viewer, _kept) -> None:
    await upload(home, PHOTO, viewer=ada)


async def give_up(home, ada: Viewer, _kept) -> None:
    await home.application.accounts.delete(ada, password=PASSWORD, images="delete")


DEEDS = [make_token, publish, erase, put_in, give_up]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("deed", DEEDS)
async def test_nothing_is_done_any_more(home, ending, deed):
    ada = await member(home)
    kept = await upload(home, PHOTO, viewer=ada, visibility=Visibility.PRIVATE)
    home.foundation.database.before["begin"].append(lambda: ending(home, ada))
    with pytest.raises(ChitramError) as refused:
        await deed(home, ada, kept)
    assert refused.value.code in {"UNAUTHORIZED", "INVALID_CREDENTIALS"}
    async with home.foundation.database.read() as repositories:
        owned = await repositories.images.list_owned(ada.user_id, after=None, limit=9)
        assert [record.image.visibility for record in owned] == [Visibility.PRIVATE]
        assert not await repositories.api_tokens.of_user(ada.user_id)


@pytest.mark.parametrize("deed", [publish, erase, put_in])
async def test_nor_with_a_token_that_was_revoked(home, deed):
    ada = await member(home)
    kept = await upload(home, PHOTO, viewer=ada, visibility=Visibility.PRIVATE)
    script = await with_api_token(home, ada)

    async def revoke() -> None:
        await home.application.api_tokens.revoke(ada, token_id=None)

    home.foundation.database.before["begin"].append(revoke)
    with pytest.raises(Unauthorized):
        await deed(home, script, kept)
    found = await home.application.images.find(kept.record.image.id, viewer=ada)
    assert found.record.image.visibility is Visibility.PRIVATE
