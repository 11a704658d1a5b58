"""The hot look-up of images, on both databases."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from chitram.adapters.db.unit_of_work import SqlDatabase
from chitram.domain.errors import ServiceUnavailable
from chitram.domain.images import Visibility
from chitram.ports.lookup import Lookup
from tests.factories.databases import Databases, Lookups
from tests.factories.rows import NOW, add_blob, add_image, add_user, later, user_id_of


@pytest.fixture
def url(databases: Databases) -> str:
    return databases.new()


@pytest.fixture
async def database(databases: Databases, url: str) -> AsyncIterator[SqlDatabase]:
    async with databases.open(url) as opened:
        yield opened


@pytest.fixture
async def lookups(databases: Databases, url: str) -> AsyncIterator[Lookups]:
    async with databases.lookups(url) as opened:
        yield opened


@pytest.fixture
def lookup(lookups: Lookups) -> Lookup:
    return lookups.records


@pytest.mark.parametrize("bare", [False, True])
async def test_it_finds_what_the_repository_finds(database, lookup, bare):
    async with database.begin() as work:
        optional = dict.fromkeys(("perceptual_hash", "thumbnail_type", "placeholder"))
        blob = await add_blob(work, **(optional if bare else {}))
        image = await add_image(
            work, 1, blob_id=blob.id, delete_token_hash=None, visibility=Visibility.PRIVATE, created_at=later(-1e-6)
        )
        if not bare:
            await work.blobs.set_verified(blob.id, at=later(5), corrupt=True)
            await work.blobs.set_broken(blob.id, reason="truncated")
            await work.blobs.condemn(blob.id, at=NOW)
        expected = await work.images.get(image.id)
    assert await lookup.find(image.id) == expected
    assert await lookup.find("x" * 11) is None


@pytest.mark.parametrize("description", [None, "", "short", "చిత్రం " * 700])
async def test_owner_and_words_come_along_and_are_never_out_of_date(database, lookup, description):
    async with database.begin() as work:
        await add_user(work, 1)
        blob = await add_blob(work)
        image = await add_image(work, 1, blob_id=blob.id)
    assert (await lookup.find(image.id)).image == image
    owned = replace(image, owner_id=user_id_of(1), delete_token_hash=None, title="Title", description=description)
    for changed in (owned, replace(owned, visibility=Visibility.PRIVATE, title=None), image):
        async with database.begin() as work:
            await work.images.update(changed)
        for _ in range(2):
            assert (await lookup.find(image.id)).image == changed


async def test_it_sees_the_latest_commit_and_nothing_before(database, lookup):
    async with database.begin() as work:
        blob = await add_blob(work)
        image = await add_image(work, 1, blob_id=blob.id)
        assert await lookup.find(image.id) is None
    assert (await lookup.find(image.id)).image == image
    async with database.begin() as work:
        await work.images.remove(image.id)
        assert await lookup.find(image.id) is not None
    assert await lookup.find(image.id) is None


@pytest.mark.parametrize("text", ["", "x" * 1000, "' OR 1=1 --", "\x00", "IMAGE000001"])
async def test_what_is_not_there(database, lookup, text):
    async with database.begin() as work:
        blob = await add_blob(work)
        await add_image(work, 1, blob_id=blob.id)
    assert await lookup.find(text) is None


async def test_closed_is_closed(lookup, lookups):
    await lookup.find("x" * 11)
    await lookups.close()
    await lookups.close()
    with pytest.raises(ServiceUnavailable):
        await lookup.find("x" * 11)
