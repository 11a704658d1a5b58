"""Taking an anonymous image into an account: once, by whoever holds its token, which is worthless from then on."""

from dataclasses import replace
from functools import partial

import pytest

from chitram.domain.access import ANONYMOUS, Viewer
from chitram.domain.audit import AuditAction
from chitram.domain.errors import (
    ChitramError,
    DeleteTokenRequired,
    Forbidden,
    ImageNotFound,
    InvalidDeleteToken,
    QuotaExceeded,
    Unauthorized,
)
from chitram.domain.images import Edit, Visibility
from chitram.domain.users import Quota
from tests.factories import pictures
from tests.unit.services.people import (
    ADA,
    ADDRESS,
    BOB,
    PASSWORD,
    account,
    at_once,
    events,
    member,
    on_record,
    recount,
    upload,
    used,
)
from tests.unit.services.stores import delete, waiting

PHOTO = pictures.jpeg(48, 32)


async def claim(home, uploaded, viewer, *, token=None):
    holder = replace(viewer, delete_token=uploaded.delete_token if token is None else token)
    return await home.application.ownership.claim(uploaded.record.image.id, viewer=holder)


def failure(outcome: object) -> str:
    """The code of what went wrong."""
    return outcome.code if isinstance(outcome, ChitramError) else "none"


async def test_gives_the_image_an_owner_and_takes_its_token(home):
    ada = await member(home)
    kept = await upload(home, PHOTO)
    claimed = await claim(home, kept, ada)
    assert claimed.image == replace(kept.record.image, owner_id=ada.user_id, delete_token_hash=None)
    assert await used(home, ada) == await recount(home, ada) == Quota(kept.record.blob.size, 1)
    (event,) = events(home, AuditAction.IMAGE_CLAIM)
    assert (event.actor, event.subject, event.address) == (ada.user_id, kept.record.image.id, ADDRESS)
    assert kept.delete_token not in repr(home.audit.events)
    assert await waiting(home) == ["invalidate"]


async def test_the_token_does_nothing_any_more(home):
    ada, bob = await member(home), await member(home, BOB)
    kept = await upload(home, PHOTO)
    await claim(home, kept, ada)
    image_id, holder = kept.record.image.id, Viewer(delete_token=kept.delete_token)
    with pytest.raises(InvalidDeleteToken):
        await delete(home, kept)
    with pytest.raises(InvalidDeleteToken):
        await home.application.integrity.verify(image_id, viewer=holder)
    with pytest.raises(Forbidden):
        await claim(home, kept, bob)
    hide = Edit(frozenset({"visibility"}), visibility=Visibility.PRIVATE)
    await home.application.ownership.edit(image_id, edit=hide, viewer=ada)
    for attempt in (
        delete(home, kept),
        claim(home, kept, bob),
        home.application.integrity.verify(image_id, viewer=holder),
        home.application.images.find(image_id, viewer=holder),
    ):
        with pytest.raises(ImageNotFound):
            await attempt


async def test_a_second_time_changes_nothing_and_costs_nothing(home):
    ada = await member(home)
    kept = await upload(home, PHOTO)
    first = await claim(home, kept, ada)
    again = await home.application.ownership.claim(kept.record.image.id, viewer=ada)
    assert again == first
    assert (await used(home, ada)).files == 1
    assert len(events(home, AuditAction.IMAGE_CLAIM)) == 1


async def test_is_refused_without_the_right_token(home):
    ada, bob = await member(home), await member(home, BOB)
    kept, other = await upload(home, PHOTO), await upload(home, PHOTO)
    owned = await upload(home, PHOTO, viewer=bob)
    image_id = kept.record.image.id
    with pytest.raises(Unauthorized):
        await home.application.ownership.claim(image_id, viewer=Viewer(delete_token=kept.delete_token))
    with pytest.raises(DeleteTokenRequired):
        await home.application.ownership.claim(image_id, viewer=ada)
    for wrong in ("", "x" * 43, other.delete_token):
        with pytest.raises(InvalidDeleteToken):
            await claim(home, kept, ada, token=wrong)
    with pytest.raises(Forbidden):
        await claim(home, owned, ada, token=kept.delete_token)
    assert await used(home, ada) == Quota(0, 0)
    assert events(home, AuditAction.IMAGE_CLAIM) == []


class TestQuota:
    async def test_holds_for_what_is_claimed(self, home):
        ada = await member(home)
        await home.application.administration.set_quota(ADA, quota_bytes=None, quota_files=1)
        first, second = await upload(home, PHOTO), await upload(home, PHOTO)
        await claim(home, first, ada)
        with pytest.raises(QuotaExceeded):
            await claim(home, second, ada)
        assert await used(home, ada) == await recount(home, ada)
        await delete(home, second)

    async def test_is_exact_when_many_are_claimed_at_once(self, home):
        ada = await member(home)
        kept = [await upload(home, pictures.jpeg(16, 16, seed=seed % 3)) for seed in range(8)]
        await home.application.administration.set_quota(ADA, quota_bytes=None, quota_files=3)
        outcomes = await at_once(*(partial(claim, home, each, ada) for each in kept))
        assert sorted(map(failure, outcomes)) == ["QUOTA_EXCEEDED"] * 5 + ["none"] * 3
        assert await used(home, ada) == await recount(home, ada)
        assert (await used(home, ada)).files == 3


class TestRaces:
    async def test_of_two_who_claim_it_one_gets_it(self, home):
        ada, bob = await member(home), await member(home, BOB)
        kept = await upload(home, PHOTO)
        outcomes = [failure(each) for each in await at_once(*(partial(claim, home, kept, v) for v in (ada, bob)))]
        assert sorted(outcomes) == ["FORBIDDEN", "none"]
        assert [(await used(home, viewer)).files for viewer in (ada, bob)] == [int(each == "none") for each in outcomes]
        for viewer in (ada, bob):
            assert await used(home, viewer) == await recount(home, viewer)

    async def test_of_two_by_the_same_account_one_is_charged(self, home):
        ada = await member(home)
        kept = await upload(home, PHOTO)
        assert [failure(each) for each in await at_once(*[partial(claim, home, kept, ada)] * 2)] == ["none"] * 2
        assert (await used(home, ada)).files == 1
        assert len(events(home, AuditAction.IMAGE_CLAIM)) == 1

    async def test_against_a_delete_that_is_first(self, home):
        ada = await member(home)
        kept = await upload(home, PHOTO)

        async def overtake():
            await delete(home, kept)

        home.foundation.database.before["begin"].append(overtake)
        with pytest.raises(ImageNotFound):
            await claim(home, kept, ada)
        assert await used(home, ada) == Quota(0, 0)

    async def test_against_a_delete_that_comes_too_late(self, home):
        ada = await member(home)
        kept = await upload(home, PHOTO)

        async def overtake():
            await claim(home, kept, ada)

        home.foundation.database.before["begin"].append(overtake)
        with pytest.raises(InvalidDeleteToken):
            await delete(home, kept)
        found = await home.application.images.find(kept.record.image.id, viewer=ANONYMOUS)
        assert found.record.image.owner_id == ada.user_id
        assert await used(home, ada) == await recount(home, ada) == Quota(kept.record.blob.size, 1)

    async def test_against_an_admin_who_deletes_it_the_new_owner_is_not_charged(self, home):
        ada = await member(home)
        await home.application.administration.create(BOB, password=PASSWORD)
        async with home.foundation.database.read() as repositories:
            admin = Viewer(user=await repositories.users.find(BOB))
        kept = await upload(home, PHOTO)

        async def overtake():
            await claim(home, kept, ada)

        home.foundation.database.before["begin"].append(overtake)
        await home.application.images.delete(kept.record.image.id, viewer=admin)
        assert await used(home, ada) == Quota(0, 0)

    async def test_into_an_account_that_is_given_up_meanwhile(self, home):
        ada = await member(home)
        kept = await upload(home, PHOTO)

        async def overtake():
            await home.application.accounts.delete(ada, password=PASSWORD, images="delete")

        home.foundation.database.before["begin"].append(overtake)
        with pytest.raises(Unauthorized):
            await claim(home, kept, ada)
        await delete(home, kept)

    async def test_into_an_account_that_is_closed_meanwhile(self, home):
        ada = await member(home)
        kept = await upload(home, PHOTO)

        async def overtake():
            await home.application.administration.set_active(ADA, active=False)

        home.foundation.database.before["begin"].append(overtake)
        with pytest.raises(Unauthorized):
            await claim(home, kept, ada)
        assert (await account(home, ada.user_id)).used_files == 0
        assert on_record(home, AuditAction.IMAGE_CLAIM) == []
