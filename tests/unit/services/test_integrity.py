"""Verification: what is damaged is found and marked, what is repaired is cleared; an unmounted store marks nothing."""

import hashlib
from datetime import timedelta

import pytest

from chitram.adapters.blobs.marker import MARKER
from chitram.domain.access import ANONYMOUS, Viewer
from chitram.domain.errors import DeleteTokenRequired, ImageNotFound, InvalidDeleteToken, StorageUnavailable
from chitram.services import integrity
from tests.factories import pictures
from tests.unit.services.stores import blobs, collect, delete, holder, original, overwrite, served, waiting

PHOTO = pictures.jpeg(48, 32)
DAMAGED = PHOTO[:-1] + b"!"
MONTH = timedelta(days=30)


async def verify(home, uploaded):
    return await home.application.integrity.verify(uploaded.record.image.id, viewer=holder(uploaded))


class TestVerify:
    async def test_a_whole_file(self, home):
        kept = await home.upload(PHOTO)
        result = await verify(home, kept)
        assert (result.match, result.sha256, result.stored_sha256) == (True, *[hashlib.sha256(PHOTO).hexdigest()] * 2)
        assert result.verified_at == home.clock.now()
        assert [blob.verified_at for blob in await blobs(home)] == [home.clock.now()]
        assert await waiting(home) == []

    async def test_in_pieces(self, home, monkeypatch):
        monkeypatch.setattr(integrity, "CHUNK", 100)
        assert (await verify(home, await home.upload(PHOTO))).match

    @pytest.mark.parametrize("rest", [None, DAMAGED, b""])
    async def test_a_damaged_file_is_served_no_more_not_even_from_the_cache(self, home, rest):
        kept, other = await home.upload(PHOTO), await home.upload(PHOTO)
        assert await served(home, other) == PHOTO
        if rest is None:
            original(home, kept).unlink()
        else:
            overwrite(original(home, kept), rest)
        result = await verify(home, kept)
        assert not result.match
        assert result.stored_sha256 == (None if rest is None else hashlib.sha256(rest).hexdigest())
        for uploaded in (kept, other):
            with pytest.raises(StorageUnavailable):
                await served(home, uploaded)
        assert await waiting(home) == ["invalidate"]

    async def test_a_repaired_file_is_served_again(self, home):
        kept = await home.upload(PHOTO)
        overwrite(original(home, kept), DAMAGED)
        await verify(home, kept)
        assert not (await verify(home, kept)).match
        overwrite(original(home, kept), PHOTO)
        assert (await verify(home, kept)).match
        assert await served(home, kept) == PHOTO

    async def test_an_unmounted_store_marks_nothing(self, home):
        kept = await home.upload(PHOTO)
        (home.root / MARKER).unlink()
        original(home, kept).unlink()
        with pytest.raises(StorageUnavailable):
            await verify(home, kept)
        home.clock.advance(MONTH)
        with pytest.raises(StorageUnavailable):
            await home.application.integrity.scrub()
        (blob,) = await blobs(home)
        assert (blob.verified_at, blob.corrupt_at) == (None, None)

    async def test_a_blob_that_was_healed_meanwhile_is_not_blamed(self, home):
        kept = await home.upload(PHOTO)
        original(home, kept).unlink()

        async def heal():
            await home.upload(PHOTO)

        home.foundation.database.before["begin"].append(heal)
        assert not (await verify(home, kept)).match
        (blob,) = await blobs(home)
        assert (blob.verified_at, blob.corrupt_at) == (None, None)
        assert await served(home, kept) == PHOTO

    async def test_a_blob_that_is_gone_meanwhile(self, home):
        kept = await home.upload(PHOTO)

        async def vanish():
            await delete(home, kept)
            await collect(home)

        home.foundation.database.before["begin"].append(vanish)
        assert (await verify(home, kept)).match
        assert await blobs(home) == []

    async def test_is_refused_to_others(self, home):
        kept = await home.upload(PHOTO)
        check = home.application.integrity.verify
        with pytest.raises(DeleteTokenRequired):
            await check(kept.record.image.id, viewer=ANONYMOUS)
        with pytest.raises(InvalidDeleteToken):
            await check(kept.record.image.id, viewer=Viewer(delete_token="x"))
        for unknown in ("AAAAAAAAAAA", "short"):
            with pytest.raises(ImageNotFound):
                await check(unknown, viewer=holder(kept))


class TestScrub:
    async def test_takes_what_was_not_verified_for_too_long(self, home):
        await home.upload(PHOTO)
        assert await home.application.integrity.scrub() == 0
        assert [blob.verified_at for blob in await blobs(home)] == [None]
        home.clock.advance(MONTH)
        assert await home.application.integrity.scrub() == 0
        assert [blob.verified_at for blob in await blobs(home)] == [home.clock.now()]

    async def test_counts_the_damaged(self, home):
        whole, rotten, gone = [await home.upload(pictures.jpeg(16, 16, seed=seed)) for seed in range(3)]
        overwrite(original(home, rotten), b"rot")
        original(home, gone).unlink()
        home.clock.advance(MONTH)
        assert await home.application.integrity.scrub() == 2
        assert [blob.corrupt_at is None for blob in await blobs(home)] == [True, False, False]
        assert await served(home, whole)
