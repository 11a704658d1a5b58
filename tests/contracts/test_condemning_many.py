"""Blobs whose last images went with an account."""

import asyncio

import pytest
from sqlalchemy import insert

from chitram.adapters.db.records import new_blob_values
from chitram.adapters.db.tables import blobs
from chitram.domain.blobs import BlobState
from tests.factories.databases import open_twice
from tests.factories.rows import NOW, add_blob, add_image, add_user, later, new_blob, user_id_of


async def test_those_that_no_image_names(database):
    async with database.begin() as work:
        unnamed, named, condemned, erasing, other = [(await add_blob(work, number)).id for number in range(5)]
        await add_image(work, 1, blob_id=named)
        for blob_id in (condemned, erasing):
            await work.blobs.condemn(blob_id, at=NOW)
        await work.blobs.mark_erasing(erasing)
        these = [erasing, unnamed, named, condemned, unnamed, 404]
        assert await work.blobs.condemn_unnamed(these, at=later(5)) == 1
        assert await work.blobs.condemn_unnamed(these, at=later(6)) == 0
        states = {blob_id: (await work.blobs.get(blob_id)).state for blob_id in (*these[:4], other)}
        assert states == {
            unnamed: BlobState.CONDEMNED,
            named: BlobState.LIVE,
            condemned: BlobState.CONDEMNED,
            erasing: BlobState.ERASING,
            other: BlobState.LIVE,
        }
        assert (await work.blobs.get(unnamed)).condemned_at == later(5)
        assert (await work.blobs.get(condemned)).condemned_at == NOW


async def test_none(database):
    async with database.begin() as work:
        blob = await add_blob(work)
        assert await work.blobs.condemn_unnamed([], at=NOW) == 0
        assert (await work.blobs.get(blob.id)).state is BlobState.LIVE


@pytest.mark.slow  # as many rows as SQLite takes parameters
async def test_more_than_a_statement_has_parameters(database):
    many = 33_000
    async with database.begin() as work:
        blob = await add_blob(work)
        rows = [new_blob_values(new_blob(number), pipeline_version=1) for number in range(1, many)]
        await work.blobs._statements.change_each(insert(blobs).values(state=BlobState.LIVE), rows)
        ids = range(blob.id, blob.id + many)
        await add_image(work, 1, blob_id=ids[many // 2])
        assert await work.blobs.condemn_unnamed(ids[::-1], at=NOW) == many - 1
        assert (await work.blobs.counts()).live == 1


async def test_one_that_is_uploaded_again_meanwhile_is_never_condemned_with_an_image(databases):
    async with open_twice(databases) as databases:
        async with databases[0].begin() as work:
            await add_user(work, 1)
            blob = await add_blob(work)
            for number in range(5):
                await add_image(work, number, blob_id=blob.id, owner_id=user_id_of(1), delete_token_hash=None)

        async def clear() -> None:
            async with databases[0].begin() as work:
                removed = await work.images.remove_owned(user_id_of(1))
                await work.blobs.condemn_unnamed([blob_id for _, blob_id in removed], at=NOW)

        async def upload() -> None:
            async with databases[1].begin() as work:
                found = await work.blobs.take(blob.sha256)
                assert found is not None
                await work.blobs.revive(found.id)
                await add_image(work, 9, blob_id=found.id)

        await asyncio.gather(clear(), upload())
        async with databases[0].read() as view:
            assert (await view.blobs.get(blob.id)).state is BlobState.LIVE
            assert await view.images.ids_of_blob(blob.id) == ["image000009"]
