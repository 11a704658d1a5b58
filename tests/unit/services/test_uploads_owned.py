"""Uploads into an account: what they cost, who sees them, and that the count is right whatever happens."""

from dataclasses import replace
from functools import partial

import pytest

from chitram.domain.access import ANONYMOUS
from chitram.domain.blobs import BlobState
from chitram.domain.errors import (
    Forbidden,
    ImageNotFound,
    InvalidFileFormat,
    QuotaExceeded,
    StorageFull,
    Unauthorized,
    ValidationFailed,
)
from chitram.domain.images import Edit, Visibility
from chitram.domain.users import Quota, Role
from chitram.settings import AccountSettings, AppSettings, Settings
from tests.factories import pictures
from tests.factories.interleaving import failing
from tests.unit.services.people import (
    ADA,
    BOB,
    PASSWORD,
    SECOND,
    again,
    at_once,
    member,
    recount,
    upload,
    used,
    with_api_token,
)
from tests.unit.services.stores import blobs, collect, delete, original, originals, rows, served

PHOTO = pictures.jpeg(48, 32)
PUBLIC, UNLISTED, PRIVATE = Visibility.PUBLIC, Visibility.UNLISTED, Visibility.PRIVATE


async def find(home, uploaded, viewer=ANONYMOUS):
    return (await home.application.images.find(uploaded.record.image.id, viewer=viewer)).record


async def remove(home, uploaded, viewer):
    await home.application.images.delete(uploaded.record.image.id, viewer=viewer)


class TestOwners:
    async def test_need_no_delete_token(self, home):
        ada = await member(home)
        kept = await upload(home, PHOTO, viewer=ada)
        image = kept.record.image
        assert (kept.delete_token, image.delete_token_hash, image.owner_id) == (None, None, ada.user_id)
        assert (await find(home, kept)).image == image

    async def test_may_hide_what_strangers_cannot(self, home):
        ada, bob = await member(home), await member(home, BOB)
        kept = await upload(home, PHOTO, viewer=ada, visibility=PRIVATE)
        assert (await find(home, kept, ada)).image.visibility is PRIVATE
        for viewer in (ANONYMOUS, bob):
            with pytest.raises(ImageNotFound):
                await find(home, kept, viewer)
        with pytest.raises(ValidationFailed) as caught:
            await upload(home, PHOTO, visibility=PRIVATE)
        assert caught.value.details["errors"][0]["field"] == "visibility"

    async def test_see_a_broken_file_which_is_hidden_from_others(self, home):
        ada, bob = await member(home), await member(home, BOB)
        kept = await upload(home, PHOTO, viewer=ada)
        async with home.foundation.database.begin() as work:
            await work.blobs.set_broken(kept.record.blob.id, reason="corrupt")
        assert (await find(home, kept, ada)).blob.broken_reason == "corrupt"
        for viewer in (ANONYMOUS, bob):
            with pytest.raises(ImageNotFound):
                await find(home, kept, viewer)


class TestDuplicates:
    async def test_are_told_of_within_an_account_alone(self, home):
        ada, bob = await member(home), await member(home, BOB)
        assert (await upload(home, PHOTO)).duplicate_of is None
        first = await upload(home, PHOTO, viewer=ada)
        assert first.duplicate_of is None
        home.clock.advance(SECOND)
        second = await upload(home, PHOTO, viewer=ada)
        assert second.duplicate_of == first.record.image.id
        home.clock.advance(SECOND)
        assert (await upload(home, PHOTO, viewer=ada)).duplicate_of == first.record.image.id
        assert (await upload(home, PHOTO, viewer=bob)).duplicate_of is None
        assert (await upload(home, pictures.jpeg(48, 32, seed=1), viewer=ada)).duplicate_of is None
        await remove(home, first, ada)
        assert (await upload(home, PHOTO, viewer=ada)).duplicate_of == second.record.image.id

    async def test_count_as_often_as_they_were_uploaded(self, home):
        ada, bob = await member(home), await member(home, BOB)
        for viewer in (ada, ada, bob):
            await upload(home, PHOTO, viewer=viewer)
        assert len(originals(home)) == 1
        assert await used(home, ada) == await recount(home, ada) == Quota(2 * len(PHOTO), 2)
        assert await used(home, bob) == await recount(home, bob) == Quota(len(PHOTO), 1)


class TestCounting:
    async def test_is_of_the_bytes_that_are_stored(self, home):
        ada = await member(home)
        kept = await upload(home, pictures.jpeg(48, 32, secrets=True), viewer=ada)
        assert await used(home, ada) == Quota(kept.record.blob.size, 1)

    async def test_follows_everything_that_happens(self, home):
        ada, bob = await member(home), await member(home, BOB)
        mine = [await upload(home, pictures.jpeg(16, 16, seed=n % 3), viewer=ada) for n in range(6)]
        anonymous = await upload(home, PHOTO)
        await remove(home, mine[0], ada)
        await home.application.ownership.claim(
            anonymous.record.image.id, viewer=replace(ada, delete_token=anonymous.delete_token)
        )
        await upload(home, PHOTO, viewer=bob)
        for error, attempt in (
            (InvalidFileFormat, upload(home, b"no picture", viewer=ada)),
            (Forbidden, remove(home, mine[1], bob)),
            (ImageNotFound, remove(home, mine[0], ada)),
        ):
            with pytest.raises(error):
                await attempt
        assert await used(home, ada) == await recount(home, ada)
        await home.application.accounts.delete(bob, password=PASSWORD, images="delete")
        assert await used(home, ada) == await recount(home, ada)
        for uploaded in (*mine[1:], anonymous):
            await remove(home, uploaded, ada)
        assert await used(home, ada) == Quota(0, 0)
        assert {blob.state for blob in await blobs(home)} == {BlobState.CONDEMNED}

    async def test_holds_when_a_file_had_to_be_healed_and_stored_anew(self, home):
        ada = await member(home)
        first = await upload(home, PHOTO, viewer=ada)
        original(home, first).unlink()
        await upload(home, PHOTO, viewer=ada)
        assert await used(home, ada) == await recount(home, ada) == Quota(2 * len(PHOTO), 2)
        await remove(home, first, ada)
        assert await used(home, ada) == await recount(home, ada)

    async def test_holds_when_the_blob_that_was_counted_on_vanished(self, home):
        ada = await member(home)
        first = await upload(home, PHOTO)

        async def vanish():
            await delete(home, first)
            assert await collect(home) == 1

        home.foundation.database.before["begin"].append(vanish)
        await upload(home, PHOTO, viewer=ada)
        assert await used(home, ada) == await recount(home, ada) == Quota(len(PHOTO), 1)

    async def test_holds_under_parallel_uploads_and_deletes(self, home):
        ada = await member(home)
        mine = [await upload(home, pictures.jpeg(16, 16, seed=n), viewer=ada) for n in range(6)]
        work = [partial(remove, home, uploaded, ada) for uploaded in (*mine, *mine)]
        work += [partial(upload, home, pictures.jpeg(16, 16, seed=n % 4), viewer=ada) for n in range(8)]
        outcomes = await at_once(*work)
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert [type(failure) for failure in failures] == [ImageNotFound] * 6
        assert await used(home, ada) == await recount(home, ada)
        assert (await used(home, ada)).files == 8

    async def test_counts_nothing_for_a_store_that_fails(self, home):
        ada = await member(home)
        home.foundation.blobs.before["put"].append(failing(StorageFull()))
        with pytest.raises(StorageFull):
            await upload(home, PHOTO, viewer=ada)
        assert await used(home, ada) == Quota(0, 0)


class TestQuota:
    @pytest.fixture
    def settings(self, tmp_path) -> Settings:
        return Settings(app=AppSettings(env="test", data_dir=tmp_path), accounts=AccountSettings(quota_files=5))

    async def test_is_exact_under_parallel_uploads(self, home):
        ada = await member(home)
        scenes = [pictures.jpeg(16, 16, seed=seed) for seed in range(7)]
        outcomes = await at_once(*(partial(upload, home, scenes[n % 7], viewer=ada) for n in range(50)))
        refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert [type(outcome) for outcome in refused] == [QuotaExceeded] * 45
        assert await used(home, ada) == await recount(home, ada)
        assert (await used(home, ada)).files == 5
        await collect(home)
        assert originals(home) == {blob.key for blob in await blobs(home)}

    async def test_may_be_used_up_to_the_last_byte(self, home):
        ada = await member(home)
        await home.application.administration.set_quota(ADA, quota_bytes=2 * len(PHOTO), quota_files=None)
        kept = [await upload(home, PHOTO, viewer=ada) for _ in range(2)]
        with pytest.raises(QuotaExceeded):
            await upload(home, PHOTO, viewer=ada)
        await remove(home, kept[0], ada)
        await upload(home, PHOTO, viewer=ada)
        await home.application.administration.set_quota(ADA, quota_bytes=3 * len(PHOTO) - 1, quota_files=None)
        with pytest.raises(QuotaExceeded):
            await upload(home, PHOTO, viewer=ada)
        assert await used(home, ada) == Quota(2 * len(PHOTO), 2)

    async def test_refuses_and_keeps_nothing(self, home):
        ada = await member(home)
        await home.application.administration.set_quota(ADA, quota_bytes=1, quota_files=None)
        with pytest.raises(QuotaExceeded):
            await upload(home, PHOTO, viewer=ada)
        assert (home.objects(), await rows(home), await used(home, ada)) == (set(), [], Quota(0, 0))

    async def test_of_an_account_is_not_anybody_elses(self, home):
        ada, bob = await member(home), await member(home, BOB)
        for _ in range(5):
            await upload(home, PHOTO, viewer=ada)
        with pytest.raises(QuotaExceeded):
            await upload(home, PHOTO, viewer=ada)
        await upload(home, PHOTO, viewer=bob)
        kept = await upload(home, PHOTO)
        assert await served(home, kept) == PHOTO

    async def test_that_shrank_stops_uploads_and_takes_nothing_away(self, home):
        ada = await member(home)
        kept = [await upload(home, PHOTO, viewer=ada) for _ in range(3)]
        await home.application.administration.set_quota(ADA, quota_bytes=None, quota_files=1)
        with pytest.raises(QuotaExceeded):
            home.application.admission.require_quota(await again(home, ada))
        with pytest.raises(QuotaExceeded):
            await upload(home, PHOTO, viewer=ada)
        for uploaded in kept:
            await find(home, uploaded)


class TestLists:
    async def test_of_ones_own_have_everything_newest_first_page_by_page(self, home):
        ada, bob = await member(home), await member(home, BOB)
        mine = []
        for visibility in (PUBLIC, PRIVATE, UNLISTED):
            mine.insert(0, (await upload(home, PHOTO, viewer=ada, visibility=visibility)).record.image.id)
            await upload(home, PHOTO, viewer=bob, visibility=visibility)
            await upload(home, PHOTO)
            home.clock.advance(SECOND)
        images = home.application.images
        page = await images.list_owned(viewer=ada, after=None, limit=2)
        rest = await images.list_owned(viewer=ada, after=page.next, limit=2)
        assert [record.image.id for record in (*page.records, *rest.records)] == mine
        assert rest.next is None
        exact = await images.list_owned(viewer=ada, after=None, limit=3)
        assert (len(exact.records), exact.next) == (3, None)

    async def test_of_ones_own_need_an_account(self, home):
        with pytest.raises(Unauthorized):
            await home.application.images.list_owned(viewer=ANONYMOUS, after=None, limit=2)

    async def test_of_everybody_have_no_private_images_nor_unlisted_ones(self, home):
        ada = await member(home)
        ids = {v: (await upload(home, PHOTO, viewer=ada, visibility=v)).record.image.id for v in Visibility}
        page = await home.application.images.list_public(after=None, limit=9)
        assert [record.image.id for record in page.records] == [ids[PUBLIC]]


class TestSimilar:
    SCENE = pictures.jpeg(320, 240, seed=1)
    ALIKE = pictures.jpeg(320, 240, seed=1, quality=60)

    async def similar(self, home, uploaded, viewer) -> list[str]:
        found = await home.application.images.similar(uploaded.record.image.id, distance=8, viewer=viewer)
        return sorted(similar.record.image.id for similar in found)

    async def test_are_shown_to_whom_they_are_shown_anyhow(self, home):
        ada, bob = await member(home), await member(home, BOB)
        asked = await upload(home, self.SCENE, visibility=PUBLIC)
        ids = {v: (await upload(home, self.ALIKE, viewer=ada, visibility=v)).record.image.id for v in Visibility}
        reader = await with_api_token(home, ada)
        assert await self.similar(home, asked, ada) == await self.similar(home, asked, reader) == sorted(ids.values())
        await home.application.administration.set_role(BOB, role=Role.ADMIN)
        for viewer in (ANONYMOUS, bob, await again(home, bob)):
            assert await self.similar(home, asked, viewer) == [ids[PUBLIC]]

    async def test_to_a_hidden_image_are_shown_to_its_owner_alone(self, home):
        ada, bob = await member(home), await member(home, BOB)
        asked = await upload(home, self.SCENE, viewer=ada, visibility=PRIVATE)
        shown = await upload(home, self.ALIKE, viewer=bob, visibility=PUBLIC)
        assert await self.similar(home, asked, ada) == [shown.record.image.id]
        for viewer in (ANONYMOUS, bob):
            with pytest.raises(ImageNotFound):
                await self.similar(home, asked, viewer)

    async def test_change_with_visibility(self, home):
        ada = await member(home)
        asked = await upload(home, self.SCENE)
        kept = await upload(home, self.ALIKE, viewer=ada, visibility=PUBLIC)
        assert await self.similar(home, asked, ANONYMOUS) == [kept.record.image.id]
        hide = Edit(frozenset({"visibility"}), visibility=PRIVATE)
        await home.application.ownership.edit(kept.record.image.id, edit=hide, viewer=ada)
        assert await self.similar(home, asked, ANONYMOUS) == []
        assert await self.similar(home, asked, ada) == [kept.record.image.id]
