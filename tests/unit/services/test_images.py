"""Looking at images and deleting them, in the middle of what others do."""

import pytest

from chitram.domain.access import ANONYMOUS, Viewer
from chitram.domain.errors import (
    DeleteTokenRequired,
    ImageNotFound,
    InvalidDeleteToken,
    PreconditionFailed,
    StorageUnavailable,
)
from chitram.domain.images import Visibility
from chitram.domain.uploads import UploadDetails
from chitram.settings import AppSettings, Settings, UploadSettings
from tests.factories import pictures
from tests.factories.interleaving import failing
from tests.unit.services.stores import delete, holder, original, overwrite, rows, waiting

PHOTO = pictures.jpeg(48, 32)


class TestFind:
    @pytest.mark.parametrize("image_id", ["", "short", "AAAAAAAAAAA", "AAAAAAAAAA\n"])
    async def test_unknown_ids(self, home, image_id):
        with pytest.raises(ImageNotFound):
            await home.application.images.find(image_id, viewer=ANONYMOUS)

    async def test_a_record_that_was_read_before_a_delete_is_not_cached_after_it(self, home):
        kept = await home.upload(PHOTO)
        images = home.application.images
        miss = await home.application.cache.get(kept.record.image.id)
        await delete(home, kept)
        await home.application.cache.fill(kept.record.image.id, kept.record, ticket=miss.ticket)
        with pytest.raises(ImageNotFound):
            await images.find(kept.record.image.id, viewer=ANONYMOUS)


class TestOpen:
    @pytest.mark.parametrize("rest", [None, b"", PHOTO + b"!"])
    async def test_rather_no_bytes_than_wrong_ones(self, home, rest):
        kept = await home.upload(PHOTO)
        original(home, kept).unlink()
        if rest is not None:
            original(home, kept).write_bytes(rest)
        with pytest.raises(StorageUnavailable):
            await home.application.images.open_original(kept.record)

    async def test_known_damage_is_not_even_opened(self, home):
        kept = await home.upload(PHOTO)
        overwrite(original(home, kept), PHOTO[:-1] + b"!")
        await home.application.integrity.verify(kept.record.image.id, viewer=holder(kept))
        found = await home.application.images.find(kept.record.image.id, viewer=ANONYMOUS)
        with pytest.raises(StorageUnavailable):
            await home.application.images.open_original(found.record)


class TestSimilar:
    async def test_without_a_perceptual_hash_there_are_none(self, tmp_path, home):
        kept = await home.upload(PHOTO)
        assert await home.application.images.similar(kept.record.image.id, distance=8, viewer=ANONYMOUS) == []

    class TestBackground:
        @pytest.fixture
        def settings(self, tmp_path) -> Settings:
            return Settings(
                app=AppSettings(env="test", data_dir=tmp_path), uploads=UploadSettings(thumbnail_mode="background")
            )

        async def test_before_the_decode_pass(self, home):
            kept = await home.upload(PHOTO)
            assert await home.application.images.similar(kept.record.image.id, distance=8, viewer=ANONYMOUS) == ()


class TestDelete:
    async def test_is_one_transaction_and_one_promise(self, home):
        kept = await home.upload(PHOTO)
        await delete(home, kept)
        assert [state for _, state in await rows(home)] == ["condemned"]
        assert await waiting(home) == ["invalidate"]
        await home.application.runner.run_due()
        assert await waiting(home) == []

    async def test_refusals_do_not_open_a_transaction(self, home):
        kept = await home.upload(PHOTO)
        home.foundation.database.before["begin"].append(failing(AssertionError("a writer was asked for")))
        image_id = kept.record.image.id
        for viewer, error in ((ANONYMOUS, DeleteTokenRequired), (Viewer(delete_token="x"), InvalidDeleteToken)):
            with pytest.raises(error):
                await home.application.images.delete(image_id, viewer=viewer)
        for unknown in ("AAAAAAAAAAA", "short"):
            with pytest.raises(ImageNotFound):
                await home.application.images.delete(unknown, viewer=holder(kept))

    async def test_of_two_at_the_same_time_one_finds_nothing(self, home):
        kept = await home.upload(PHOTO)

        async def overtake():
            await delete(home, kept)

        home.foundation.database.before["begin"].append(overtake)
        with pytest.raises(ImageNotFound):
            await delete(home, kept)

    async def test_of_what_it_is_no_more(self, home):
        kept = await home.upload(PHOTO)
        image_id, viewer, seen = kept.record.image.id, holder(kept), []

        def refuse(_record):
            raise PreconditionFailed

        with pytest.raises(PreconditionFailed):
            await home.application.images.delete(image_id, viewer=viewer, expect=refuse)
        found = (await home.application.images.find(image_id, viewer=ANONYMOUS)).record
        await home.application.images.delete(image_id, viewer=viewer, expect=seen.append)
        assert seen == [found]
        with pytest.raises(ImageNotFound):
            await home.application.images.find(image_id, viewer=ANONYMOUS)

    async def test_with_the_store_gone(self, home):
        kept = await home.upload(PHOTO)
        for key in home.objects():
            (home.root / key).unlink()
        await delete(home, kept)
        with pytest.raises(ImageNotFound):
            await home.application.images.find(kept.record.image.id, viewer=holder(kept))


class TestList:
    async def test_pages_end_where_the_list_ends(self, home):
        for _ in range(3):
            await home.upload(PHOTO, details=UploadDetails(visibility=Visibility.PUBLIC))
        images = home.application.images
        page = await images.list_public(after=None, limit=2)
        assert len(page.records) == 2
        rest = await images.list_public(after=page.next, limit=2)
        assert (len(rest.records), rest.next) == (1, None)
        assert len({record.image.id for record in (*page.records, *rest.records)}) == 3
        exact = await images.list_public(after=None, limit=3)
        assert (len(exact.records), exact.next) == (3, None)
