"""The doctor: finds what is not as it should be, and only reads."""

from datetime import timedelta

import pytest

from chitram.adapters.blobs.marker import MARKER
from chitram.domain.blobs import NewBlob
from chitram.domain.errors import StorageUnavailable
from chitram.domain.jobs import JobKind, NewJob
from chitram.services import doctor
from chitram.services.doctor import EXAMPLES, Finding
from tests.factories import pictures
from tests.unit.services.people import BOB, member, upload
from tests.unit.services.stores import delete, holder, original, overwrite

PHOTO = pictures.jpeg(48, 32)
LONG_AGO = timedelta(days=30_000)


async def examine(home):
    before = home.objects()
    diagnosis = await home.application.doctor.examine()
    assert home.objects() == before
    return diagnosis


async def test_an_empty_service_is_well(home):
    diagnosis = await examine(home)
    assert diagnosis.clean
    assert not diagnosis.damaging
    assert (diagnosis.blobs, diagnosis.images, diagnosis.bytes) == (0, 0, 0)


async def test_counts_what_is_there(home):
    await home.upload(PHOTO)
    await home.upload(PHOTO)
    await delete(home, await home.upload(pictures.png(8, 8)))
    diagnosis = await examine(home)
    assert (diagnosis.blobs, diagnosis.images, diagnosis.bytes) == (1, 2, len(PHOTO))
    assert diagnosis.clean


async def test_names_every_kind_of_damage(home):
    gone, short, rotten = [await home.upload(pictures.jpeg(16, 16, seed=seed)) for seed in range(3)]
    original(home, gone).unlink()
    overwrite(original(home, short), b"short")
    data = original(home, rotten).read_bytes()
    overwrite(original(home, rotten), data[:-1] + b"!")
    await home.application.integrity.verify(rotten.record.image.id, viewer=holder(rotten))
    diagnosis = await examine(home)
    assert diagnosis.damaging
    assert not diagnosis.clean
    assert diagnosis.missing == Finding(1, [gone.record.blob.key])
    assert diagnosis.wrong_length == Finding(1, [short.record.blob.key])
    assert diagnosis.corrupt == Finding(1, [rotten.record.blob.key])


async def test_names_what_repairs_itself_or_needs_a_look(home):
    first, second, third = [await home.upload(pictures.jpeg(16, 16, seed=seed)) for seed in range(3)]
    async with home.foundation.database.begin() as work:
        await work.images.remove(third.record.image.id)
        await work.blobs.condemn(third.record.blob.id, at=home.clock.now())
        await work.blobs.mark_erasing(third.record.blob.id)
        await work.blobs.remove(third.record.blob.id)
        await work.blobs.set_broken(first.record.blob.id, reason="corrupt")
        bare = second.record.blob
        fresh = {f: getattr(bare, f) for f in ("sha256", "generation", "size", "content_type", "width", "height")}
        await work.blobs.replace(bare.id, NewBlob(**fresh, created_at=bare.created_at), pipeline_version=0)
        await work.jobs.add(NewJob(JobKind.RENDER, {"blob_id": 1}, run_at=home.clock.now()))
        (job,) = await work.jobs.claim(now=home.clock.now(), lease_until=home.clock.now(), limit=1)
        await work.jobs.bury(job.id, error="worn out")
    assert (await examine(home)).unnamed_objects.count == 0  # it may be that of an upload under way
    home.clock.advance(LONG_AGO)
    diagnosis = await examine(home)
    assert not diagnosis.damaging
    assert not diagnosis.clean
    assert diagnosis.broken.examples == [first.record.blob.key]
    assert diagnosis.without_thumbnails.examples == [second.record.blob.key]
    assert diagnosis.unnamed_objects.examples == [third.record.blob.key]
    assert diagnosis.dead_jobs == Finding(1, [f"{job.id} render: worn out"])


async def test_names_accounts_that_are_charged_something_else_than_they_have(home):
    ada, bob = await member(home), await member(home, BOB)
    for viewer in (ada, ada, bob, None):
        await upload(home, PHOTO, viewer=viewer)
    assert (await examine(home)).clean
    async with home.foundation.database.begin() as work:
        await work.users.release(ada.user.id, size=0, files=1)
    diagnosis = await examine(home)
    assert not diagnosis.damaging
    assert not diagnosis.clean
    both = 2 * len(PHOTO)
    assert diagnosis.miscounted_accounts == Finding(1, [f"{ada.user.id}: charged {both} bytes in 1, has {both} in 2"])


async def test_walks_in_batches(home, monkeypatch):
    monkeypatch.setattr(doctor, "BATCH", 2)
    for seed in range(4):
        await home.upload(pictures.jpeg(16, 16, seed=seed))
    home.clock.advance(LONG_AGO)
    diagnosis = await examine(home)
    assert diagnosis.blobs == 4
    assert diagnosis.clean


async def test_what_is_healed_meanwhile_is_not_missing(home):
    kept = await home.upload(PHOTO)
    original(home, kept).unlink()

    async def heal():
        await home.upload(PHOTO)

    home.foundation.blobs.before["head"].append(heal)
    home.foundation.blobs.before["head"].append(unlink(original(home, kept)))
    assert not (await home.application.doctor.examine()).damaging


def unlink(path):
    async def act():
        path.unlink(missing_ok=True)

    return act


def test_a_finding_counts_all_and_names_some():
    finding = Finding()
    for number in range(EXAMPLES + 5):
        finding.add(str(number))
    assert (finding.count, len(finding.examples)) == (EXAMPLES + 5, EXAMPLES)


async def test_an_unmounted_store_is_no_diagnosis(home):
    await home.upload(PHOTO)
    (home.root / MARKER).unlink()
    with pytest.raises(StorageUnavailable):
        await home.application.doctor.examine()
