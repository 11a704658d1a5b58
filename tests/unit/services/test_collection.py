"""The collector erases what nothing names, and never anything else."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from chitram.domain.blobs import BlobState, thumbnail_prefix
from chitram.domain.errors import StorageUnavailable
from chitram.services import collection
from tests.factories import pictures
from tests.factories.interleaving import failing
from tests.unit.services.stores import GRACE, collect, consistent, delete, original, originals, rows, served

PHOTO = pictures.jpeg(48, 32)
LONG_AGO = timedelta(days=100_000)


class TestCondemned:
    async def test_are_erased_when_their_grace_is_over(self, home):
        await delete(home, await home.upload(PHOTO))
        home.clock.advance(GRACE - timedelta(seconds=1))
        assert await home.application.collector.collect() == 0
        assert len(originals(home)) == 1
        home.clock.advance(timedelta(seconds=1))
        assert await home.application.collector.collect() == 1
        assert (home.objects(), await rows(home)) == (set(), [])

    async def test_whatever_somebody_names_stays(self, home):
        first, second = await home.upload(PHOTO), await home.upload(PHOTO)
        await delete(home, first)
        assert await collect(home) == 0
        assert await served(home, second) == PHOTO

    async def test_one_that_is_named_again_lives(self, home):
        """The count is taken under the row lock; no other fact is trusted."""
        first, second = await home.upload(PHOTO), await home.upload(PHOTO)
        async with home.foundation.database.begin() as work:
            await work.blobs.condemn(first.record.blob.id, at=home.clock.now())
        assert await collect(home) == 0
        assert [state for _, state in await rows(home)] == [BlobState.LIVE]
        assert await served(home, second) == PHOTO

    async def test_one_that_was_revived_or_removed_meanwhile_is_left_alone(self, home):
        first = await home.upload(PHOTO)
        await delete(home, first)

        async def revive():
            await home.upload(PHOTO)

        home.foundation.database.before["begin"].append(revive)
        assert await collect(home) == 0
        other = await home.upload(pictures.png(8, 8))
        await delete(home, other)

        async def somebody_else_collects():
            assert await home.application.collector.collect() == 1

        home.clock.advance(GRACE)
        home.foundation.database.before["begin"].append(somebody_else_collects)
        assert await home.application.collector.collect() == 0

    @pytest.mark.parametrize("step", ["erase_prefix", "erase"])
    async def test_an_erasure_that_was_cut_short_is_finished_later(self, home, step):
        await delete(home, await home.upload(PHOTO))
        home.foundation.blobs.before[step].append(failing(StorageUnavailable()))
        with pytest.raises(StorageUnavailable):
            await collect(home)
        assert [state for _, state in await rows(home)] == [BlobState.ERASING]
        assert await home.application.collector.collect() == 1
        assert (home.objects(), await rows(home)) == (set(), [])

    async def test_two_collectors_at_the_same_time(self, home):
        for seed in range(4):
            await delete(home, await home.upload(pictures.jpeg(16, 16, seed=seed)))
        home.clock.advance(GRACE)
        found = await asyncio.gather(*(home.application.collector.collect() for _ in range(2)))
        assert sum(found) >= 4
        assert (home.objects(), await rows(home)) == (set(), [])


class TestOrphans:
    async def put(self, home, seed=0) -> str:
        """An object that no row names."""
        kept = await home.upload(pictures.jpeg(16, 16, seed=seed))
        async with home.foundation.database.begin() as work:
            await work.images.remove(kept.record.image.id)
            await work.blobs.condemn(kept.record.blob.id, at=home.clock.now())
            await work.blobs.mark_erasing(kept.record.blob.id)
            await work.blobs.remove(kept.record.blob.id)
        return kept.record.blob.key

    async def test_are_erased_with_their_thumbnails_when_they_are_old_enough(self, home):
        kept = await home.upload(PHOTO)
        orphan = await self.put(home)
        home.clock.jump(modified(home, orphan) - home.clock.now() + GRACE - timedelta(seconds=1))
        assert await home.application.collector.erase_orphans() == 0
        home.clock.advance(timedelta(days=1))
        assert await home.application.collector.erase_orphans() == 1
        assert originals(home) == {kept.record.blob.key}
        assert consistent(home.objects(), await rows(home))

    async def test_of_an_empty_store(self, home):
        assert await home.application.collector.erase_orphans() == 0

    async def test_in_batches(self, home, monkeypatch):
        monkeypatch.setattr(collection, "BATCH", 2)
        kept = await home.upload(PHOTO)
        for seed in range(5):
            await self.put(home, seed)
        home.clock.advance(LONG_AGO)
        assert await home.application.collector.erase_orphans() == 5
        assert originals(home) == {kept.record.blob.key}

    async def test_thumbnails_whose_original_is_gone_go_too(self, home):
        kept = await home.upload(PHOTO)
        orphan = await self.put(home)
        (home.root / orphan).unlink()
        assert any(key.startswith(thumbnail_prefix(orphan)) for key in home.objects())
        home.clock.jump(modified(home, kept.record.blob.key) - home.clock.now())
        assert await home.application.collector.erase_orphans() == 0
        home.clock.advance(LONG_AGO)
        assert await home.application.collector.erase_orphans() == 1
        assert not any(key.startswith(thumbnail_prefix(orphan)) for key in home.objects())
        assert consistent(home.objects(), await rows(home))
        assert await served(home, kept) == PHOTO

    async def test_thumbnails_beside_an_original_or_a_row_stay(self, home):
        kept = await home.upload(PHOTO)
        orphan = await self.put(home)
        original(home, kept).unlink()
        before = {key for key in home.objects() if key.startswith("thumbs/")}
        oldest = home.clock.now() + LONG_AGO
        assert await home.application.collector._erase_orphan_thumbnails(oldest) == 0
        assert {key for key in home.objects() if key.startswith("thumbs/")} == before
        assert orphan in home.objects()

    async def test_orphan_thumbnails_in_batches(self, home, monkeypatch):
        monkeypatch.setattr(collection, "BATCH", 2)
        for seed in range(5):
            (home.root / await self.put(home, seed)).unlink()
        home.clock.advance(LONG_AGO)
        assert await home.application.collector.erase_orphans() == 5
        assert home.objects() == set()

    async def test_an_unmounted_store_has_none(self, home):
        await self.put(home)
        home.clock.advance(LONG_AGO)
        (home.root / ".chitram-store").unlink()
        before = home.objects()
        with pytest.raises(StorageUnavailable):
            await home.application.collector.erase_orphans()
        assert home.objects() == before


def modified(home, key):
    """When the store says that the object was made."""
    return datetime.fromtimestamp((home.root / key).stat().st_mtime, UTC)


async def test_received_files_of_dead_processes_go(home, tmp_path):
    async with home.application.uploads.stage() as staged:
        await staged.write(b"x" * 500_000)
        await staged.flush()
        assert await home.application.collector.clear_staging() == 0


class TestCaution:
    async def test_one_erasure_that_fails_does_not_hold_up_the_others(self, home):
        for seed in range(3):
            await delete(home, await home.upload(pictures.jpeg(16, 16, seed=seed)))
        home.clock.advance(GRACE)
        home.foundation.blobs.before["erase"].append(failing(StorageUnavailable()))
        with pytest.raises(StorageUnavailable):
            await home.application.collector.collect()
        assert [state for _, state in await rows(home)] == [BlobState.ERASING]
        assert await home.application.collector.collect() == 1

    async def test_many_orphans_mean_lost_rows_and_none_is_erased(self, home, monkeypatch):
        monkeypatch.setattr(collection, "FEW_ORPHANS", 2)
        await home.upload(PHOTO)
        orphans = [await TestOrphans().put(home, seed) for seed in range(3)]
        home.clock.advance(LONG_AGO)
        with pytest.raises(StorageUnavailable, match="3 of 4"):
            await home.application.collector.erase_orphans()
        assert set(orphans) <= home.objects()

    async def test_what_is_not_ours_stays(self, home):
        for name in ("blobs/ab/readme.txt", "thumbs/readme/1/300", "thumbs/notes"):
            path = home.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"somebody's")
        before = home.objects()
        home.clock.advance(LONG_AGO)
        assert await home.application.collector.erase_orphans() == 0
        assert home.objects() == before
