"""Verification: what is damaged is found and marked, what is repaired is cleared; an unmounted store marks nothing."""

import errno
import hashlib
from datetime import timedelta

import pytest

from chitram.adapters.blobs.failures import translated
from chitram.adapters.blobs.marker import MARKER
from chitram.domain.access import ANONYMOUS, Viewer
from chitram.domain.errors import DeleteTokenRequired, ImageNotFound, InvalidDeleteToken, StorageUnavailable
from chitram.services import integrity
from tests.factories import pictures
from tests.factories.interleaving import failing
from tests.unit.services.stores import blobs, collect, delete, holder, original, overwrite, served, waiting

PHOTO = pictures.jpeg(48, 32)
DAMAGED = PHOTO[:-1] + b"!"
MONTH = timedelta(days=30)
HOUR = timedelta(hours=1)


def refusing(code: int):
    """An action after which a local store says what it says when the system answers with that error."""

    async def refuse() -> None:
        with translated():
            raise OSError(code, "as the system says it")

    return refuse


#: What a store may answer without a byte being damaged.
PASSING = [
    failing(StorageUnavailable()),
    failing(StorageUnavailable("the object ends before its byte 7")),
    *map(refusing, (errno.EMFILE, errno.ESTALE, errno.EACCES)),
]


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

    @pytest.mark.parametrize("refusal", PASSING)
    async def test_what_cannot_be_read_now_is_not_blamed(self, home, refusal):
        kept = await home.upload(PHOTO)
        home.foundation.blobs.before["open"].append(refusal)
        with pytest.raises(StorageUnavailable):
            await verify(home, kept)
        (blob,) = await blobs(home)
        assert (blob.verified_at, blob.corrupt_at) == (None, None)
        assert await served(home, kept) == PHOTO

    async def test_what_its_disk_can_never_read_is_damaged(self, home, caplog):
        kept = await home.upload(PHOTO)
        home.foundation.blobs.before["open"].extend([refusing(errno.EIO)] * integrity.READS)
        result = await verify(home, kept)
        assert (result.match, result.stored_sha256) == (False, None)
        with pytest.raises(StorageUnavailable):
            await served(home, kept)
        assert "the disk cannot read" in caplog.text

    async def test_what_its_disk_reads_at_a_second_try_is_not(self, home):
        kept = await home.upload(PHOTO)
        home.foundation.blobs.before["open"].append(refusing(errno.EIO))
        assert (await verify(home, kept)).match

    async def test_a_disk_that_reads_nothing_at_all_marks_nothing(self, home):
        kept = await home.upload(PHOTO)
        home.foundation.blobs.before["open"].extend([refusing(errno.EIO)] * integrity.READS)
        home.foundation.blobs.before["check"].append(refusing(errno.EIO))
        with pytest.raises(StorageUnavailable):
            await verify(home, kept)
        assert [blob.corrupt_at for blob in await blobs(home)] == [None]

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

    @pytest.mark.parametrize("refusal", PASSING)
    async def test_leaves_what_cannot_be_read_now_for_the_next_round(self, home, caplog, refusal):
        first, second = [await home.upload(pictures.jpeg(16, 16, seed=seed)) for seed in range(2)]
        home.clock.advance(MONTH)
        home.foundation.blobs.before["open"].append(refusal)
        assert await home.application.integrity.scrub() == 0
        now = home.clock.now()
        assert [(blob.verified_at, blob.corrupt_at) for blob in await blobs(home)] == [(None, None), (now, None)]
        assert f"{first.record.blob.key} cannot be read now" in caplog.text
        assert second.record.blob.key not in caplog.text
        assert await home.application.integrity.scrub() == 0
        assert [blob.verified_at for blob in await blobs(home)] == [now, now]

    async def test_does_not_try_the_others_when_the_store_is_away(self, home):
        for seed in range(2):
            await home.upload(pictures.jpeg(16, 16, seed=seed))
        home.clock.advance(MONTH)
        home.foundation.blobs.before["open"].append(failing(StorageUnavailable()))
        home.foundation.blobs.before["check"].append(failing(StorageUnavailable()))
        with pytest.raises(StorageUnavailable):
            await home.application.integrity.scrub()
        assert [(blob.verified_at, blob.corrupt_at) for blob in await blobs(home)] == [(None, None)] * 2

    async def test_looks_at_the_damaged_again_after_an_hour(self, home):
        kept, other = [await home.upload(pictures.jpeg(16, 16, seed=seed)) for seed in range(2)]
        sound = original(home, kept).read_bytes()
        overwrite(original(home, kept), b"rot")
        await verify(home, kept)
        await verify(home, other)
        overwrite(original(home, kept), sound)
        home.clock.advance(HOUR - timedelta(seconds=1))
        await home.application.integrity.scrub()
        with pytest.raises(StorageUnavailable):
            await served(home, kept)
        home.clock.advance(timedelta(seconds=1))
        assert await home.application.integrity.scrub() == 0
        assert await served(home, kept) == sound
        assert [blob.verified_at for blob in await blobs(home)] == [home.clock.now(), home.clock.now() - HOUR]

    async def test_reads_what_is_due_for_both_reasons_once(self, home):
        kept = await home.upload(PHOTO)
        overwrite(original(home, kept), b"rot")
        await verify(home, kept)
        home.clock.advance(MONTH)
        assert await home.application.integrity.scrub() == 1
