"""The states of a blob, its healing, and what the sweepers are given."""

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from chitram.adapters.db.tables import perceptual_bands
from chitram.domain.blobs import BlobState
from chitram.domain.media import PIPELINE_VERSION, Rendered
from chitram.ports.repositories.blobs import BlobCounts
from tests.factories.rows import NOW, add_blob, add_image, later, new_blob

RENDERED = Rendered(thumbnails={}, thumbnail_type="image/webp", perceptual_hash=2**64 - 1, placeholder="new")


async def band_rows(work) -> int:
    return (await work.blobs._statements.first(select(func.count()).select_from(perceptual_bands)))[0]


async def test_a_blob_comes_back_as_it_was_recorded(database):
    new = new_blob(created_at=later(1))
    async with database.begin() as work:
        blob = await work.blobs.add(new, pipeline_version=3)
    async with database.read() as view:
        assert await view.blobs.get(blob.id) == blob
        assert await view.blobs.find(blob.sha256) == blob
    for name in new.__dataclass_fields__:
        assert getattr(blob, name) == getattr(new, name)
    assert (blob.state, blob.pipeline_version, blob.key) == (BlobState.LIVE, 3, new.key)
    assert [blob.verified_at, blob.condemned_at, blob.corrupt_at, blob.broken_reason] == [None] * 4


async def test_the_same_bytes_are_recorded_once(database):
    async with database.begin() as work:
        await add_blob(work)
        assert await work.blobs.add(new_blob(generation="another"), pipeline_version=1) is None
    async with database.read() as view:
        assert (await view.blobs.counts()).live == 1


async def test_a_generation_is_never_used_twice(database):
    async with database.begin() as work:
        blob = await add_blob(work)
        await work.blobs.condemn(blob.id, at=NOW)
        await work.blobs.mark_erasing(blob.id)
    with pytest.raises(IntegrityError):
        async with database.begin() as work:
            await work.blobs.add(new_blob(), pipeline_version=1)
    async with database.read() as view:
        assert (await view.blobs.get(blob.id)).state is BlobState.ERASING


async def test_the_way_of_a_blob(database):
    async with database.begin() as work:
        blob = await add_blob(work)
        await work.blobs.condemn(blob.id, at=later(5))
        condemned = await work.blobs.take(blob.sha256)
        assert (condemned.state, condemned.condemned_at) == (BlobState.CONDEMNED, later(5))
        await work.blobs.revive(blob.id)
        assert await work.blobs.lock(blob.id) == blob
        await work.blobs.condemn(blob.id, at=later(6))
        await work.blobs.mark_erasing(blob.id)
        assert await work.blobs.take(blob.sha256) is None
        assert await work.blobs.find(blob.sha256) is None
        assert (await work.blobs.lock(blob.id)).state is BlobState.ERASING
        fresh = await add_blob(work, generation="fresh")
        assert fresh.id > blob.id
        assert (await work.blobs.find(blob.sha256)).id == fresh.id
        await work.blobs.remove(blob.id)
        assert await work.blobs.get(blob.id) is None


async def test_no_step_is_left_out(database):
    async with database.begin() as work:
        blob = await add_blob(work)
        await work.blobs.mark_erasing(blob.id)
        await work.blobs.revive(blob.id)
        await work.blobs.remove(blob.id)
        assert await work.blobs.get(blob.id) == blob
        await work.blobs.condemn(blob.id, at=NOW)
        await work.blobs.condemn(blob.id, at=later(9))
        await work.blobs.remove(blob.id)
        assert (await work.blobs.get(blob.id)).condemned_at == NOW
        await work.blobs.mark_erasing(blob.id)
        await work.blobs.revive(blob.id)
        await work.blobs.condemn(blob.id, at=NOW)
        assert (await work.blobs.get(blob.id)).state is BlobState.ERASING


async def test_what_is_not_there(database):
    async with database.begin() as work:
        assert await work.blobs.get(1) is None
        assert await work.blobs.lock(1) is None
        assert await work.blobs.take("0" * 64) is None
        assert await work.blobs.count_images(1) == 0
        await work.blobs.remove(1)
        await work.blobs.set_rendered(1, rendered=RENDERED, pipeline_version=1)


async def test_numbers_of_removed_blobs_are_not_given_again(database):
    async with database.begin() as work:
        blob = await add_blob(work)
        await work.blobs.condemn(blob.id, at=NOW)
        await work.blobs.mark_erasing(blob.id)
        await work.blobs.remove(blob.id)
    async with database.begin() as work:
        assert (await add_blob(work)).id > blob.id


async def test_a_blob_that_images_name_cannot_be_removed(database):
    async with database.begin() as work:
        blob = await add_blob(work)
        await add_image(work, 1, blob_id=blob.id)
        await add_image(work, 2, blob_id=blob.id)
        assert await work.blobs.count_images(blob.id) == 2
        await work.blobs.condemn(blob.id, at=NOW)
        await work.blobs.mark_erasing(blob.id)
    with pytest.raises(IntegrityError):
        async with database.begin() as work:
            await work.blobs.remove(blob.id)


async def test_bands_follow_the_hash(database):
    async with database.begin() as work:
        blob = await add_blob(work, perceptual_hash=None)
        assert await band_rows(work) == 0
        await work.blobs.set_rendered(blob.id, rendered=RENDERED, pipeline_version=1)
        assert await band_rows(work) == 4
        await work.blobs.set_rendered(blob.id, rendered=RENDERED, pipeline_version=2)
        assert await band_rows(work) == 4
        other = new_blob(generation="fresh", perceptual_hash=5)
        await work.blobs.replace(blob.id, other, pipeline_version=2)
        assert await band_rows(work) == 4
        await work.blobs.replace(blob.id, new_blob(generation="again", perceptual_hash=None), pipeline_version=0)
        assert await band_rows(work) == 0
        await work.blobs.replace(blob.id, other, pipeline_version=2)
        await work.blobs.condemn(blob.id, at=NOW)
        await work.blobs.mark_erasing(blob.id)
        await work.blobs.remove(blob.id)
        assert await band_rows(work) == 0


async def test_a_fresh_generation_heals(database):
    async with database.begin() as work:
        blob = await add_blob(work)
        await work.blobs.set_verified(blob.id, at=later(1), corrupt=True)
        await work.blobs.set_broken(blob.id, reason="corrupt")
        new = new_blob(generation="fresh", created_at=later(2), thumbnail_type=None)
        await work.blobs.replace(blob.id, new, pipeline_version=0)
        healed = await work.blobs.get(blob.id)
    assert healed.key == new.key
    assert (healed.created_at, healed.thumbnail_ready) == (later(2), False)
    assert [healed.corrupt_at, healed.verified_at, healed.broken_reason] == [None] * 3


@pytest.mark.parametrize("blob_id", [1, 2])
async def test_other_bytes_do_not_replace_a_blob(database, blob_id):
    async with database.begin() as work:
        await add_blob(work)
        with pytest.raises(ValueError, match="same bytes"):
            await work.blobs.replace(blob_id, new_blob("other"), pipeline_version=1)


async def test_thumbnails_are_recorded(database):
    async with database.begin() as work:
        blob = await add_blob(work, pipeline_version=0, thumbnail_type=None, perceptual_hash=None, placeholder=None)
        await work.blobs.set_broken(blob.id, reason="decode_timeout")
        assert (await work.blobs.get(blob.id)).broken_reason == "decode_timeout"
        await work.blobs.set_rendered(blob.id, rendered=RENDERED, pipeline_version=2)
        done = await work.blobs.get(blob.id)
    assert (done.thumbnail_type, done.placeholder, done.perceptual_hash) == ("image/webp", "new", 2**64 - 1)
    assert (done.pipeline_version, done.thumbnail_ready, done.broken_reason) == (2, True, None)


async def test_a_corrupt_blob_remembers_when_it_was_found(database):
    async with database.begin() as work:
        blob = await add_blob(work)
        moments = []
        for second, corrupt in ((1, False), (2, True), (3, True), (4, False)):
            await work.blobs.set_verified(blob.id, at=later(second), corrupt=corrupt)
            found = await work.blobs.get(blob.id)
            moments.append((found.verified_at, found.corrupt_at))
    assert moments == [(later(1), None), (later(2), later(2)), (later(3), later(2)), (later(4), None)]


async def test_what_the_collector_is_given(database):
    async with database.begin() as work:
        ids = [(await add_blob(work, number)).id for number in range(5)]
        for blob_id, second in zip(ids[:4], (30, 10, 20, 99), strict=True):
            await work.blobs.condemn(blob_id, at=later(second))
        await work.blobs.mark_erasing(ids[3])
        due = await work.blobs.condemned_before(later(20), limit=10)
        assert due == [ids[3], ids[1], ids[2]]
        assert await work.blobs.condemned_before(later(20), limit=2) == due[:2]
        assert await work.blobs.condemned_before(later(5), limit=10) == [ids[3]]


async def test_what_the_thumbnail_sweeper_is_given(database):
    async with database.begin() as work:
        ids = [
            (await add_blob(work, number, pipeline_version=version)).id
            for number, version in enumerate([1, 0, 2, 0, 0, 0])
        ]
        await work.blobs.set_broken(ids[3], reason="corrupt")
        await work.blobs.set_verified(ids[4], at=NOW, corrupt=True)
        await work.blobs.condemn(ids[5], at=NOW)
        assert await work.blobs.without_thumbnails(pipeline_version=2, limit=10) == [ids[1], ids[0]]
        assert await work.blobs.without_thumbnails(pipeline_version=2, limit=1) == [ids[1]]
        assert await work.blobs.without_thumbnails(pipeline_version=0, limit=10) == []


async def test_what_the_scrubber_is_given(database):
    async with database.begin() as work:
        blobs = [await add_blob(work, number, created_at=later(number)) for number in range(5)]
        ids = [blob.id for blob in blobs]
        await work.blobs.set_verified(ids[0], at=later(2.5), corrupt=True)
        await work.blobs.set_verified(ids[1], at=later(90), corrupt=False)
        await work.blobs.condemn(ids[4], at=NOW)
        found = await work.blobs.verified_before(later(80), limit=10)
        assert [blob.id for blob in found] == [ids[2], ids[0], ids[3]]
        assert [blob.id for blob in await work.blobs.verified_before(later(80), limit=2)] == [ids[2], ids[0]]
        assert [blob.id for blob in await work.blobs.verified_before(later(2), limit=9)] == [ids[2]]
        assert len(await work.blobs.verified_before(later(90), limit=10)) == 4


async def test_which_corrupt_blobs_the_scrubber_is_given(database):
    async with database.begin() as work:
        ids = [(await add_blob(work, number)).id for number in range(6)]
        for blob_id, second in zip(ids, (30, 10, 20, 99, 5, 5), strict=True):
            await work.blobs.set_verified(blob_id, at=later(second), corrupt=blob_id != ids[4])
        await work.blobs.set_verified(ids[1], at=later(40), corrupt=True)
        await work.blobs.condemn(ids[5], at=NOW)
        found = await work.blobs.corrupt_before(later(40), limit=10)
        assert [(blob.id, blob.corrupt_at) for blob in found] == [
            (ids[2], later(20)),
            (ids[0], later(30)),
            (ids[1], later(10)),
        ]
        assert [blob.id for blob in await work.blobs.corrupt_before(later(40), limit=2)] == [ids[2], ids[0]]
        assert [blob.id for blob in await work.blobs.corrupt_before(later(39), limit=9)] == [ids[2], ids[0]]


async def test_which_keys_are_known(database):
    async with database.begin() as work:
        blobs = [await add_blob(work, number) for number in range(600)]
        await work.blobs.condemn(blobs[0].id, at=NOW)
        await work.blobs.mark_erasing(blobs[0].id)
        keys = [blob.key for blob in blobs]
        strangers = ["", "blobs/", "thumbs/x", keys[1] + "x", keys[1].replace("blobs/", ""), "blobs/zz/" + keys[2][9:]]
        assert await work.blobs.known_keys([*keys, *strangers]) == frozenset(keys)
        assert await work.blobs.known_keys([]) == frozenset()


async def test_a_walk_over_all_blobs(database):
    async with database.begin() as work:
        blobs = [await add_blob(work, number) for number in range(5)]
        await work.blobs.condemn(blobs[1].id, at=NOW)
        walked, last = [], 0
        while page := await work.blobs.page(after_id=last, limit=2):
            walked += page
            last = page[-1].id
    assert [blob.id for blob in walked] == [blob.id for blob in blobs]


async def test_counts(database):
    async with database.begin() as work:
        nothing = await work.blobs.counts()
        assert nothing == BlobCounts(0, 0, 0, 0, 0, 0, 0, 0, None)
        versions = [PIPELINE_VERSION] * 4 + [0] * 4
        ids = [
            (await add_blob(work, number, size=10**number, pipeline_version=version)).id
            for number, version in enumerate(versions)
        ]
        await work.blobs.condemn(ids[0], at=NOW)
        await work.blobs.condemn(ids[1], at=NOW)
        await work.blobs.mark_erasing(ids[1])
        await work.blobs.set_verified(ids[2], at=later(7), corrupt=False)
        await work.blobs.set_verified(ids[3], at=later(3), corrupt=True)
        await work.blobs.set_broken(ids[4], reason="truncated")
        counts = await work.blobs.counts()
    assert counts == BlobCounts(
        live=6,
        bytes=11_111_100,
        condemned=1,
        erasing=1,
        without_thumbnails=3,
        broken=1,
        corrupt=1,
        never_verified=4,
        oldest_verified_at=later(3),
    )
