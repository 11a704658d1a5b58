"""Images, the public list, and what looks alike."""

import random
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from chitram.domain.images import MAX_DESCRIPTION, MAX_TITLE, ImageRecord, Visibility
from chitram.ports.repositories.images import Position
from tests.factories.rows import NOW, add_blob, add_image, add_user, later, new_image, user_id_of

MINE = user_id_of(1)


async def test_an_image_comes_back_with_its_blob(database):
    async with database.begin() as work:
        blob = await add_blob(work)
        image = await add_image(work, 1, blob_id=blob.id, delete_token_hash=None, visibility=Visibility.PRIVATE)
        assert await work.images.lock(image.id) == image
        assert await work.images.count() == 1
    async with database.read() as view:
        assert await view.images.get(image.id) == ImageRecord(image, blob)
        assert await view.images.ids_of_blob(blob.id) == [image.id]


async def test_what_is_not_there(database):
    async with database.begin() as work:
        assert await work.images.get("x" * 11) is None
        assert await work.images.lock("x" * 11) is None
        assert await work.images.ids_of_blob(1) == []
        assert await work.images.list_public(after=None, limit=5) == []
        assert await work.images.similar(0, distance=16, exclude="", limit=5) == []
        assert await work.images.count() == 0
        await work.images.remove("x" * 11)


async def test_removing_one_leaves_the_others(database):
    async with database.begin() as work:
        blob = await add_blob(work)
        images = [await add_image(work, number, blob_id=blob.id) for number in range(3)]
        await work.images.remove(images[1].id)
        assert sorted(await work.images.ids_of_blob(blob.id)) == [images[0].id, images[2].id]


async def test_ids_tell_upper_from_lower_case(database):
    async with database.begin() as work:
        blob = await add_blob(work)
        await add_image(work, 1, blob_id=blob.id, id="AAAAAAAAAAA")
        assert await work.images.get("aaaaaaaaaaa") is None
        await add_image(work, 2, blob_id=blob.id, id="aaaaaaaaaaa")
        assert await work.images.count() == 2


class TestUpdating:
    async def test_what_may_be_changed_is_changed_and_nothing_else(self, database):
        async with database.begin() as work:
            await add_user(work, 1)
            blob = await add_blob(work)
            image, other = await add_image(work, 1, blob_id=blob.id), await add_image(work, 2, blob_id=blob.id)
            mine = replace(
                image,
                owner_id=MINE,
                delete_token_hash=None,
                visibility=Visibility.PRIVATE,
                title="చి" * (MAX_TITLE // 2),
                description="\N{GRINNING FACE}\r\n'" * (MAX_DESCRIPTION // 4),
            )
            foreign = replace(mine, filename="other.png", received_sha256="0" * 64, created_at=later(9))
            await work.images.update(foreign)
            assert await work.images.lock(image.id) == mine
            assert await work.images.lock(other.id) == other
            await work.images.update(image)
            assert await work.images.lock(image.id) == image

    async def test_of_nothing(self, database):
        async with database.begin() as work:
            await work.images.update(new_image(1, blob_id=1))
            assert await work.images.count() == 0

    @pytest.mark.parametrize("way", ["add", "update"])
    async def test_an_owner_that_does_not_exist_is_refused(self, database, way):
        async with database.begin() as work:
            blob = await add_blob(work)
            image = await add_image(work, 1, blob_id=blob.id)
        with pytest.raises(IntegrityError):  # noqa: PT012 - the last of the two is what is refused
            async with database.begin() as work:
                if way == "add":
                    await work.images.remove(image.id)
                await getattr(work.images, way)(replace(image, owner_id=MINE))


class TestPublicList:
    async def test_only_public_ones_that_can_be_shown_newest_first(self, database):
        async with database.begin() as work:
            whole = await add_blob(work)
            broken = await add_blob(work, "broken")
            await work.blobs.set_broken(broken.id, reason="truncated")
            shown = [await add_image(work, number, blob_id=whole.id, created_at=later(number)) for number in range(3)]
            await add_image(work, 7, blob_id=whole.id, visibility=Visibility.UNLISTED)
            await add_image(work, 8, blob_id=whole.id, visibility=Visibility.PRIVATE)
            await add_image(work, 9, blob_id=broken.id)
            records = await work.images.list_public(after=None, limit=10)
        assert [record.image for record in records] == shown[::-1]

    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
    async def test_pages_miss_nothing_and_repeat_nothing_though_times_are_equal(self, database, limit):
        generator = random.Random(limit)
        async with database.begin() as work:
            blob = await add_blob(work)
            images = [
                await add_image(work, number, blob_id=blob.id, created_at=later(generator.choice([0, 0, 1e-6, 2])))
                for number in range(20)
            ]
        expected = [i.id for i in sorted(images, key=lambda image: (image.created_at, image.id), reverse=True)]
        listed: list[str] = []
        after = None
        async with database.read() as view:
            while page := await view.images.list_public(after=after, limit=limit):
                assert len(page) <= limit
                listed += [record.image.id for record in page]
                after = Position(page[-1].image.created_at, page[-1].image.id)
        assert listed == expected

    async def test_a_page_goes_on_where_it_was_though_the_image_there_is_gone(self, database):
        async with database.begin() as work:
            blob = await add_blob(work)
            for number in range(4):
                await add_image(work, number, blob_id=blob.id)
            first = await work.images.list_public(after=None, limit=2)
            last = first[-1].image
            await work.images.remove(last.id)
            after = Position(last.created_at, last.id)
            rest = await work.images.list_public(after=after, limit=5)
        assert [record.image.id for record in rest] == ["image000001", "image000000"]


class TestSimilar:
    async def test_nearest_first_then_newest_without_the_image_itself(self, database):
        async with database.begin() as work:
            for number, value in enumerate([0b0, 0b111, 0b1, 0b1, (1 << 17) - 1]):
                blob = await add_blob(work, number, perceptual_hash=value)
                await add_image(work, number, blob_id=blob.id, created_at=later(number))
            found = await work.images.similar(0, distance=16, exclude="image000000", limit=10)
            assert [(s.record.image.id, s.distance) for s in found] == [
                ("image000003", 1),
                ("image000002", 1),
                ("image000001", 3),
            ]
            assert await work.images.similar(0, distance=16, exclude="image000000", limit=1) == found[:1]
            assert await work.images.similar(0, distance=2, exclude="image000000", limit=10) == found[:2]
            assert await work.images.similar(0, distance=16, exclude="", limit=0) == []
            every = await work.images.similar(0, distance=0, exclude="", limit=10)
            assert [s.record.image.id for s in every] == ["image000000"]

    async def test_only_what_a_stranger_may_see(self, database):
        async with database.begin() as work:
            ids = [(await add_blob(work, number)).id for number in range(5)]
            await work.blobs.set_broken(ids[1], reason="truncated")
            await work.blobs.set_verified(ids[2], at=NOW, corrupt=True)
            await work.blobs.condemn(ids[4], at=NOW)
            for number, blob_id in enumerate(ids):
                await add_image(work, number, blob_id=blob_id)
            await add_image(work, 8, blob_id=ids[3], visibility=Visibility.UNLISTED)
            await add_image(work, 9, blob_id=ids[3], visibility=Visibility.PRIVATE)
            blob = await work.blobs.get(ids[0])
            found = await work.images.similar(blob.perceptual_hash, distance=8, exclude="", limit=10)
        assert sorted(s.record.image.id for s in found) == ["image000000", "image000003"]

    async def test_more_near_blobs_than_fit_one_statement(self, database):
        async with database.begin() as work:
            for number in range(600):
                blob = await add_blob(work, number, perceptual_hash=3)
                await add_image(work, number, blob_id=blob.id, created_at=later(number % 7))
            found = await work.images.similar(1, distance=4, exclude="", limit=90)
        expected = sorted(((later(n % 7), f"image{n:06d}") for n in range(600)), reverse=True)[:90]
        assert [(s.record.image.created_at, s.record.image.id) for s in found] == expected
        assert {s.distance for s in found} == {1}

    @pytest.mark.parametrize("distance", [-1, 17])
    async def test_other_distances_are_refused(self, database, distance):
        async with database.read() as view:
            with pytest.raises(ValueError, match="0 to 16"):
                await view.images.similar(0, distance=distance, exclude="", limit=1)

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        query=st.integers(0, 2**64 - 1),
        flips=st.lists(st.sets(st.integers(0, 63), max_size=20), min_size=1, max_size=12),
        distance=st.integers(0, 16),
    )
    async def test_finds_exactly_what_comparing_with_everything_finds(self, database, query, flips, distance):
        hashes = [query ^ sum(1 << bit for bit in each) for each in flips]
        with pytest.raises(LookupError):  # noqa: PT012 - the block as a whole fails, at its end
            async with database.begin() as work:
                for number, value in enumerate(hashes):
                    blob = await add_blob(work, number, perceptual_hash=value)
                    await add_image(work, number, blob_id=blob.id)
                found = await work.images.similar(query, distance=distance, exclude="", limit=100)
                raise LookupError  # Each example begins with an empty database again.
        expected = sorted((bits, -number) for number, each in enumerate(flips) if (bits := len(each)) <= distance)
        assert [(s.distance, -int(s.record.image.id[5:])) for s in found] == expected
