"""Uploads that meet other uploads, deletions, the collector and damaged files in between two of their steps."""

from datetime import timedelta

import pytest

from chitram.domain.api_tokens import hash_secret
from chitram.domain.blobs import BlobState
from chitram.domain.errors import (
    ChecksumMismatch,
    InvalidFileFormat,
    InvalidReason,
    InvalidRequest,
    ServiceUnavailable,
    StorageFull,
    StorageUnavailable,
)
from chitram.domain.images import Visibility
from chitram.domain.media import PIPELINE_VERSION
from chitram.domain.uploads import DeclaredDigest, UploadDetails
from chitram.services.uploads.use_case import ATTEMPTS
from chitram.settings import AppSettings, Settings, UploadSettings
from tests.factories import pictures
from tests.factories.applications import house
from tests.factories.interleaving import Interposed, failing, interpose
from tests.unit.services.databases import Mute, Unsighted
from tests.unit.services.stores import (
    blobs,
    collect,
    consistent,
    delete,
    holder,
    original,
    originals,
    overwrite,
    rows,
    served,
    waiting,
)

PHOTO = pictures.jpeg(48, 32)


async def settled(home) -> None:
    """Nothing is left over and nothing is missing, without any sweep."""
    assert consistent(home.objects(), await rows(home)), (home.objects(), await rows(home))


class TestKeeping:
    async def test_records_what_was_understood(self, home):
        kept = await home.upload(PHOTO, details=UploadDetails(filename="a/b.jpg", visibility=Visibility.PUBLIC))
        image, blob = kept.record.image, kept.record.blob
        assert (image.filename, image.visibility) == ("b.jpg", Visibility.PUBLIC)
        assert image.delete_token_hash == hash_secret(kept.delete_token)
        assert image.created_at == blob.created_at == home.clock.now()
        assert (blob.width, blob.height, blob.size, blob.content_type) == (48, 32, len(PHOTO), "image/jpeg")
        assert (blob.state, blob.pipeline_version) == (BlobState.LIVE, PIPELINE_VERSION)
        assert await served(home, kept) == PHOTO
        assert await waiting(home) == []
        await settled(home)

    @pytest.mark.parametrize(
        ("data", "details", "error"),
        [
            (b"", UploadDetails(), InvalidRequest),
            (PHOTO, UploadDetails(declared_digest=DeclaredDigest("digest", "0" * 64)), ChecksumMismatch),
            (PHOTO, UploadDetails(declared_type="text/html"), InvalidFileFormat),
            (b"GIF89a", UploadDetails(), InvalidFileFormat),
        ],
    )
    async def test_nothing_is_kept_of_what_is_refused(self, home, data, details, error):
        with pytest.raises(error):
            await home.upload(data, details=details)
        assert (home.objects(), await rows(home)) == (set(), [])

    async def test_what_is_refused_is_refused_before_it_costs_anything(self, home):
        with pytest.raises(InvalidFileFormat) as caught:
            await home.upload(b"no picture", details=UploadDetails(declared_type="text/html"))
        assert caught.value.reason is InvalidReason.TYPE_MISMATCH
        assert "JPEG and PNG" in caught.value.message

    async def test_only_pixels_and_what_they_need_are_kept(self, home):
        kept = await home.upload(pictures.jpeg(48, 32, secrets=True))
        assert pictures.SECRET not in await served(home, kept)
        assert kept.record.image.received_sha256 != kept.record.blob.sha256

    @pytest.mark.parametrize("error", [StorageFull(), StorageUnavailable()])
    async def test_a_store_that_fails_leaves_no_row(self, home, error):
        home.foundation.blobs.before["put"].append(failing(error))
        with pytest.raises(type(error)):
            await home.upload(PHOTO)
        assert await rows(home) == []
        home.clock.advance(timedelta(days=30_000))
        await home.application.collector.erase_orphans()
        assert home.objects() == set()

    async def test_thumbnails_that_cannot_be_stored_are_left_to_a_job(self, home):
        home.foundation.blobs.before["put_disposable"].append(failing(StorageFull()))
        kept = await home.upload(PHOTO)
        assert not kept.record.blob.thumbnail_ready
        assert await served(home, kept) == PHOTO
        assert await waiting(home) == ["render"]
        await home.application.runner.run_due()
        assert [blob.pipeline_version for blob in await blobs(home)] == [PIPELINE_VERSION]

    async def test_a_database_that_cannot_begin_leaves_nothing_behind(self, home):
        home.foundation.database.before["begin"].append(failing(ServiceUnavailable()))
        with pytest.raises(ServiceUnavailable):
            await home.upload(PHOTO)
        assert home.objects() == set()

    async def test_bytes_stay_when_nobody_knows_whether_the_row_was_committed(self, home):
        database = home.foundation.database
        database.real = Mute(database.real, ServiceUnavailable())
        with pytest.raises(ServiceUnavailable):
            await home.upload(PHOTO)
        database.real = database.real.real
        assert len(originals(home)) == 1
        await settled(home)

    async def test_a_disk_that_is_full_at_the_commit_is_not_filled_further(self, home):
        database = home.foundation.database
        database.real = Mute(database.real, StorageFull(), commits=False)
        with pytest.raises(StorageFull):
            await home.upload(PHOTO)
        database.real = database.real.real
        assert (home.objects(), await rows(home)) == (set(), [])


class TestSameBytes:
    async def test_twice_in_a_row_are_one_file(self, home):
        first, second = await home.upload(PHOTO), await home.upload(PHOTO)
        assert first.record.blob.id == second.record.blob.id
        await settled(home)

    async def test_at_the_same_time_both_succeed_and_the_loser_erases_its_own_object(self, home):
        others = []

        async def overtake():
            others.append(await home.upload(PHOTO))

        home.foundation.database.before["begin"].append(overtake)
        kept = await home.upload(PHOTO)
        assert kept.record.blob == others[0].record.blob
        assert len(originals(home)) == 1
        await settled(home)
        assert await served(home, kept) == await served(home, others[0]) == PHOTO

    async def test_when_the_winner_is_only_seen_on_insert_the_loser_starts_again(self, home):
        """Without the one writer of an embedded database, the unique hash may be the first that is heard of it."""
        await home.upload(PHOTO)
        home.foundation.database.real = Unsighted(home.foundation.database.real, views=1, transactions=1)
        kept = await home.upload(PHOTO)
        assert await served(home, kept) == PHOTO
        await settled(home)

    async def test_who_is_outrun_every_time_gives_up_and_leaves_nothing(self, home):
        await home.upload(PHOTO)
        before = home.objects()
        home.foundation.database.real = Unsighted(home.foundation.database.real, views=ATTEMPTS, transactions=ATTEMPTS)
        with pytest.raises(ServiceUnavailable) as caught:
            await home.upload(PHOTO)
        assert caught.value.retry_after == 1
        assert home.objects() == before
        assert await waiting(home) == []


class TestCollection:
    async def test_a_condemned_blob_lives_again(self, home):
        first = await home.upload(PHOTO)
        await delete(home, first)
        assert [state for _, state in await rows(home)] == [BlobState.CONDEMNED]
        kept = await home.upload(PHOTO)
        assert kept.record.blob.state is BlobState.LIVE
        assert kept.record.blob.condemned_at is None
        assert await collect(home) == 0
        assert await served(home, kept) == PHOTO

    async def test_between_put_and_record_the_counted_on_row_vanishes(self, home):
        first = await home.upload(PHOTO)

        async def vanish():
            await delete(home, first)
            assert await collect(home) == 1

        home.foundation.database.before["begin"].append(vanish)
        kept = await home.upload(PHOTO)
        assert kept.record.blob.id != first.record.blob.id
        assert await served(home, kept) == PHOTO
        await settled(home)

    async def test_between_put_and_record_it_turns_to_erasing(self, home):
        first = await home.upload(PHOTO)
        await delete(home, first)

        async def begin_to_erase():
            home.foundation.blobs.before["erase_prefix"].append(failing(StorageUnavailable()))
            with pytest.raises(StorageUnavailable):
                await collect(home)

        home.foundation.database.before["begin"].append(begin_to_erase)
        kept = await home.upload(PHOTO)
        assert sorted(state for _, state in await rows(home)) == [BlobState.ERASING, BlobState.LIVE]
        assert await served(home, kept) == PHOTO
        assert await home.application.collector.collect() == 1
        assert await served(home, kept) == PHOTO
        await settled(home)

    async def test_it_is_condemned_between_put_and_record(self, home):
        first = await home.upload(PHOTO)

        async def condemn():
            await delete(home, first)

        home.foundation.database.before["begin"].append(condemn)
        kept = await home.upload(PHOTO)
        assert kept.record.blob.id == first.record.blob.id
        assert await collect(home) == 0
        assert await served(home, kept) == PHOTO

    async def test_a_condemned_blob_that_lost_its_bytes_is_healed_and_lives(self, home):
        first = await home.upload(PHOTO)
        await delete(home, first)
        original(home, first).unlink()
        kept = await home.upload(PHOTO)
        assert kept.record.blob.state is BlobState.LIVE
        assert await collect(home) == 0
        assert await served(home, kept) == PHOTO
        await settled(home)

    async def test_the_blob_to_heal_vanishes_before_it_is_recorded(self, home):
        first = await home.upload(PHOTO)
        original(home, first).unlink()

        async def vanish():
            await delete(home, first)
            assert await collect(home) == 1

        home.foundation.database.before["begin"].append(vanish)
        kept = await home.upload(PHOTO)
        assert await served(home, kept) == PHOTO
        await settled(home)


class TestHealing:
    @pytest.mark.parametrize("rest", [None, b"", PHOTO[:-1], PHOTO + b"!"])
    async def test_of_files_that_are_gone_or_have_another_length(self, home, rest):
        first = await home.upload(PHOTO)
        if rest is None:
            original(home, first).unlink()
        else:
            overwrite(original(home, first), rest)
        kept = await home.upload(PHOTO)
        assert kept.record.blob.generation != first.record.blob.generation
        assert await served(home, first) == await served(home, kept) == PHOTO
        await settled(home)

    async def test_of_a_file_that_was_found_corrupt(self, home):
        first = await home.upload(PHOTO)
        overwrite(original(home, first), PHOTO[:-1] + b"!")
        assert not (await home.application.integrity.verify(first.record.image.id, viewer=holder(first))).match
        kept = await home.upload(PHOTO)
        assert kept.record.blob.corrupt_at is None
        assert await served(home, first) == PHOTO
        await settled(home)

    async def test_records_that_were_cached_before_name_the_new_file(self, home):
        first = await home.upload(PHOTO)
        assert await served(home, first) == PHOTO
        original(home, first).unlink()
        await home.upload(PHOTO)
        found = await home.application.images.find(first.record.image.id, viewer=holder(first))
        assert (home.root / found.record.blob.key).exists()
        assert await waiting(home) == ["invalidate"]

    async def test_two_at_the_same_time(self, home):
        first = await home.upload(PHOTO)
        original(home, first).unlink()
        others = []

        async def overtake():
            others.append(await home.upload(PHOTO))

        home.foundation.database.before["begin"].append(overtake)
        kept = await home.upload(PHOTO)
        for uploaded in (first, kept, others[0]):
            assert await served(home, uploaded) == PHOTO
        await settled(home)

    async def test_it_turns_out_corrupt_between_put_and_record(self, home):
        first = await home.upload(PHOTO)

        async def rot():
            overwrite(original(home, first), PHOTO[:-1] + b"!")
            await home.application.integrity.verify(first.record.image.id, viewer=holder(first))

        home.foundation.database.before["begin"].append(rot)
        kept = await home.upload(PHOTO)
        assert await served(home, first) == await served(home, kept) == PHOTO
        await settled(home)

    async def test_the_winner_of_a_race_turns_out_corrupt(self, home):
        others = []

        async def overtake_and_rot():
            others.append(await home.upload(PHOTO))
            overwrite(original(home, others[0]), PHOTO[:-1] + b"!")
            await home.application.integrity.verify(others[0].record.image.id, viewer=holder(others[0]))

        home.foundation.database.before["begin"].append(overtake_and_rot)
        kept = await home.upload(PHOTO)
        assert await served(home, others[0]) == await served(home, kept) == PHOTO
        await settled(home)


class TestBackground:
    @pytest.fixture
    def settings(self, tmp_path) -> Settings:
        return Settings(
            app=AppSettings(env="test", data_dir=tmp_path), uploads=UploadSettings(thumbnail_mode="background")
        )

    async def test_promises_one_decode_pass(self, home):
        kept = await home.upload(PHOTO)
        await home.upload(PHOTO)
        assert kept.record.blob.pipeline_version == 0
        assert kept.record.blob.perceptual_hash is None
        assert await waiting(home) == ["render"]
        await settled(home)

    async def test_the_promise_wakes_the_runner(self, home):
        await home.upload(PHOTO)
        assert home.application.runner._woken.is_set()

    async def test_healing_keeps_the_promise(self, home):
        first = await home.upload(PHOTO)
        await home.application.runner.run_due()
        original(home, first).unlink()
        kept = await home.upload(PHOTO)
        assert kept.record.blob.pipeline_version == 0
        await home.application.runner.run_due()
        (blob,) = await blobs(home)
        assert blob.pipeline_version == PIPELINE_VERSION
        await settled(home)

    async def test_thumbnails_for_a_blob_that_vanishes_meanwhile_go_with_it(self, home, tmp_path):
        first = await home.upload(PHOTO)

        async def vanish():
            await delete(home, first)
            assert await collect(home) == 1

        inline = Settings(app=AppSettings(env="test", data_dir=tmp_path))
        async with house(tmp_path, settings=inline, clock=home.clock, arrange=interpose) as second:
            second.foundation.blobs.before["put_disposable"].append(vanish)
            kept = await second.upload(PHOTO)
            assert kept.record.blob.id != first.record.blob.id
            assert await served(second, kept) == PHOTO
        assert consistent(home.objects(), await rows(home))

    async def test_an_inline_upload_adds_the_thumbnails_that_were_promised(self, home, tmp_path):
        first = await home.upload(PHOTO)
        found = await home.application.images.find(first.record.image.id, viewer=holder(first))
        assert not found.record.blob.thumbnail_ready
        inline = Settings(app=AppSettings(env="test", data_dir=tmp_path))
        async with house(tmp_path, settings=inline, clock=home.clock, arrange=interpose) as second:
            kept = await second.upload(PHOTO)
            assert kept.record.blob.id == first.record.blob.id
            assert kept.record.blob.pipeline_version == PIPELINE_VERSION
            assert await waiting(second) == ["invalidate", "render"]
            data = await second.application.thumbnails.read(kept.record, size=300)
        assert data
        await home.application.runner.run_due()
        found = await home.application.images.find(first.record.image.id, viewer=holder(first))
        assert await home.application.thumbnails.read(found.record, size=300) == data


def test_interposed_parts_are_the_real_ones_otherwise(home):
    assert isinstance(home.foundation.blobs, Interposed)
    assert home.foundation.blobs.name == "local"
