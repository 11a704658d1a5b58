"""Thumbnails are disposable: read from memory or the store, made again when they are lost."""

import asyncio
import zlib
from datetime import timedelta

import pytest

from chitram.domain.access import ANONYMOUS
from chitram.domain.blobs import thumbnail_key
from chitram.domain.errors import InvalidFileFormat, InvalidReason, StorageFull, StorageUnavailable, ThumbnailNotReady
from chitram.domain.jobs import JobState
from chitram.domain.media import PIPELINE_VERSION
from chitram.services import thumbnails
from chitram.settings import AppSettings, CacheSettings, Settings, UploadSettings
from tests.factories import pictures
from tests.factories.applications import house
from tests.factories.interleaving import failing
from tests.unit.services.stores import blobs, collect, consistent, delete, holder, original, overwrite, rows, waiting

PHOTO = pictures.jpeg(320, 200)


@pytest.fixture
def settings(tmp_path) -> Settings:
    """No memory cache: every read goes to the store."""
    return Settings(app=AppSettings(env="test", data_dir=tmp_path), cache=CacheSettings(thumbnail_mb=0))


def path_of(home, uploaded, size=300):
    return home.root / thumbnail_key(uploaded.record.blob.key, size=size)


async def read(home, uploaded, size=300) -> bytes:
    found = await home.application.images.find(uploaded.record.image.id, viewer=holder(uploaded))
    return await home.application.thumbnails.read(found.record, size=size)


class TestRead:
    async def test_is_what_lies_in_the_store(self, home):
        kept = await home.upload(PHOTO)
        for size in (150, 300, 600):
            assert await read(home, kept, size) == path_of(home, kept, size).read_bytes()

    @pytest.mark.parametrize("rest", [None, b"", b"\xff\xd8 cut off by a power cut"])
    async def test_lost_and_cut_ones_are_made_again(self, home, rest):
        kept = await home.upload(PHOTO)
        expected = path_of(home, kept).read_bytes()
        path_of(home, kept).unlink()
        if rest is not None:
            path_of(home, kept).write_bytes(rest)
        assert await read(home, kept) == expected
        assert path_of(home, kept).read_bytes() == expected

    async def test_everybody_who_asks_meanwhile_waits_for_the_same_decode(self, home):
        kept = await home.upload(PHOTO)
        for size in (150, 300, 600):
            path_of(home, kept, size).unlink()
        decodes = 0
        real = home.foundation.codec.ingest

        async def counted(fd, *, budget):
            nonlocal decodes
            decodes += 1
            return await real(fd, budget=budget)

        home.foundation.codec.ingest = counted
        read_all = [read(home, kept, size) for size in (150, 300, 600) for _ in range(3)]
        assert all(await asyncio.gather(*read_all))
        assert decodes == 1

    async def test_without_the_original_there_is_none(self, home):
        kept = await home.upload(PHOTO)
        original(home, kept).unlink()
        path_of(home, kept).unlink()
        with pytest.raises(ThumbnailNotReady) as caught:
            await read(home, kept)
        assert caught.value.retry_after == 30

    async def test_of_a_corrupt_original_none_is_made(self, home):
        kept = await home.upload(PHOTO)
        original(home, kept).unlink()
        await home.application.integrity.verify(kept.record.image.id, viewer=holder(kept))
        path_of(home, kept).unlink()
        with pytest.raises(ThumbnailNotReady):
            await read(home, kept)
        assert await read(home, kept, 150)

    async def test_a_store_that_cannot_be_reached_is_no_lost_thumbnail(self, home):
        kept = await home.upload(PHOTO)
        home.foundation.blobs.before["open"].append(failing(StorageUnavailable()))
        with pytest.raises(StorageUnavailable):
            await read(home, kept)

    async def test_memory_answers_without_the_store(self, home, tmp_path):
        (tmp_path / "second").mkdir()
        settings = Settings(app=AppSettings(env="test", data_dir=tmp_path / "second"))
        async with house(tmp_path / "second", settings=settings) as second:
            kept = await second.upload(PHOTO)
            first = await read(second, kept)
            path_of(second, kept).unlink()
            original(second, kept).unlink()
            assert await read(second, kept) == first


class TestRender:
    @pytest.fixture
    def settings(self, tmp_path) -> Settings:
        return Settings(
            app=AppSettings(env="test", data_dir=tmp_path), uploads=UploadSettings(thumbnail_mode="background")
        )

    async def test_makes_what_the_upload_promised(self, home):
        kept = await home.upload(PHOTO)
        with pytest.raises(ThumbnailNotReady) as caught:
            await read(home, kept)
        assert caught.value.retry_after == 2
        await home.application.thumbnails.render(blob_id=kept.record.blob.id)
        (blob,) = await blobs(home)
        assert blob.pipeline_version == PIPELINE_VERSION
        assert blob.perceptual_hash is not None
        assert await read(home, kept)

    async def test_in_pieces(self, home, monkeypatch):
        monkeypatch.setattr(thumbnails, "CHUNK", 100)
        kept = await home.upload(PHOTO)
        await home.application.thumbnails.render(blob_id=kept.record.blob.id)
        assert await read(home, kept)

    async def test_twice_is_once(self, home):
        kept = await home.upload(PHOTO)
        for _ in range(2):
            await home.application.thumbnails.render(blob_id=kept.record.blob.id)
        await home.application.thumbnails.render(blob_id=12345)
        assert consistent(home.objects(), await rows(home))

    async def test_leaves_a_blob_alone_that_is_being_erased(self, home):
        kept = await home.upload(PHOTO)
        async with home.foundation.database.begin() as work:
            await work.images.remove(kept.record.image.id)
            await work.blobs.condemn(kept.record.blob.id, at=home.clock.now())
            await work.blobs.mark_erasing(kept.record.blob.id)
        before = home.objects()
        await home.application.thumbnails.render(blob_id=kept.record.blob.id)
        assert home.objects() == before

    async def test_a_blob_that_vanishes_meanwhile_is_not_recorded(self, home):
        kept = await home.upload(PHOTO)

        async def vanish():
            await delete(home, kept)
            await collect(home)

        home.foundation.database.before["begin"].append(vanish)
        await home.application.thumbnails.render(blob_id=kept.record.blob.id)
        assert await rows(home) == []
        home.clock.advance(timedelta(days=30_000))
        await home.application.collector.erase_orphans()
        assert home.objects() == set()

    async def test_a_blob_that_vanishes_during_the_decode_gets_no_thumbnails(self, home):
        kept = await home.upload(PHOTO)

        async def vanish():
            await delete(home, kept)
            assert await collect(home) == 1

        home.foundation.blobs.before["put_disposable"].append(vanish)
        await home.application.thumbnails.render(blob_id=kept.record.blob.id)
        assert await rows(home) == []
        assert home.objects() == set()

    async def test_thumbnails_of_which_one_found_no_room_go_with_a_blob_that_vanishes(self, home):
        kept = await home.upload(PHOTO)

        async def vanish():
            await delete(home, kept)
            assert await collect(home) == 1

        home.foundation.blobs.before["put_disposable"] += [vanish, failing(StorageFull())]
        with pytest.raises(StorageFull):
            await home.application.thumbnails.render(blob_id=kept.record.blob.id)
        assert home.objects() == set()

    async def test_a_store_that_fails_is_worth_another_try(self, home):
        kept = await home.upload(PHOTO)
        home.foundation.blobs.before["open"].append(failing(StorageUnavailable()))
        with pytest.raises(StorageUnavailable):
            await home.application.thumbnails.render(blob_id=kept.record.blob.id)
        await home.application.thumbnails.render(blob_id=kept.record.blob.id)
        assert await read(home, kept)

    @pytest.mark.parametrize("reason", [InvalidReason.DECODE_TIMEOUT, InvalidReason.DECODER_CRASHED])
    async def test_a_decoder_that_fails_says_nothing_about_the_file(self, home, reason):
        kept = await home.upload(PHOTO)
        home.foundation.blobs.before["open"].append(failing(InvalidFileFormat(reason)))
        with pytest.raises(InvalidFileFormat):
            await home.application.thumbnails.render(blob_id=kept.record.blob.id)
        assert [blob.broken_reason for blob in await blobs(home)] == [None]

    async def test_a_file_that_cannot_be_decoded_is_marked(self, home):
        rotten = pictures.png_of(64, 48, rows=zlib.compress(bytes(9000))[:40] + b"\xff" * 40)
        kept = await home.upload(rotten)
        found = await home.application.images.find(kept.record.image.id, viewer=ANONYMOUS)
        assert found.record.blob.broken_reason is None
        await home.application.thumbnails.render(blob_id=kept.record.blob.id)
        assert [blob.broken_reason for blob in await blobs(home)] == ["corrupt"]
        with pytest.raises(ThumbnailNotReady) as caught:
            await read(home, kept)
        assert caught.value.details == {"reason": "corrupt"}
        assert "invalidate" in await waiting(home)


class TestDamage:
    @pytest.fixture
    def settings(self, tmp_path) -> Settings:
        return Settings(
            app=AppSettings(env="test", data_dir=tmp_path), uploads=UploadSettings(thumbnail_mode="background")
        )

    async def test_bit_rot_does_not_pass_for_a_broken_upload(self, home):
        kept = await home.upload(PHOTO)
        overwrite(original(home, kept), PHOTO[:-1] + b"!")
        with pytest.raises(StorageUnavailable):
            await home.application.thumbnails.render(blob_id=kept.record.blob.id)
        (blob,) = await blobs(home)
        assert blob.corrupt_at == home.clock.now()
        assert blob.broken_reason is None
        before = home.objects()
        await home.application.thumbnails.render(blob_id=kept.record.blob.id)
        assert home.objects() == before

    async def test_what_lost_its_last_image_meanwhile_is_recorded_all_the_same(self, home):
        kept = await home.upload(PHOTO)

        async def vanish():
            await delete(home, kept)

        home.foundation.database.before["begin"].append(vanish)
        await home.application.thumbnails.render(blob_id=kept.record.blob.id)
        assert [blob.pipeline_version for blob in await blobs(home)] == [PIPELINE_VERSION]


async def test_what_had_thumbnails_once_is_not_called_broken(home, monkeypatch):
    kept = await home.upload(PHOTO)
    monkeypatch.setattr(thumbnails, "PIPELINE_VERSION", PIPELINE_VERSION + 1)
    home.foundation.blobs.before["open"].append(failing(InvalidFileFormat(InvalidReason.CORRUPT)))
    await home.application.thumbnails.render(blob_id=kept.record.blob.id)
    assert [blob.broken_reason for blob in await blobs(home)] == [None]


async def test_restoring_ends_with_the_service(home):
    kept = await home.upload(PHOTO)
    path_of(home, kept).unlink()
    begun, never = asyncio.Event(), asyncio.Event()

    async def hang():
        begun.set()
        await never.wait()

    home.foundation.blobs.before["open"].extend([nothing, hang])
    reading = asyncio.create_task(read(home, kept))
    await begun.wait()
    await home.application.thumbnails.aclose()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def nothing() -> None:
    """An action that lets the first call through."""


class TestBackfill:
    async def test_finds_nothing_where_nothing_lacks(self, home):
        await home.upload(PHOTO)
        assert await home.application.thumbnails.backfill() == 0
        assert await waiting(home) == []

    async def test_promises_one_job_a_blob(self, home, monkeypatch):
        await home.upload(PHOTO)
        await home.upload(pictures.png(20, 20))
        monkeypatch.setattr(thumbnails, "PIPELINE_VERSION", PIPELINE_VERSION + 1)
        assert [await home.application.thumbnails.backfill() for _ in range(2)] == [2, 0]
        assert len(await home.application.jobs.list(state=JobState.READY, limit=10)) == 2
