"""Images of accounts: their lists, their twins, what looks alike, and what becomes of them without their owner."""

import random
from dataclasses import replace

import pytest

from chitram.domain.images import Image, Order, Visibility
from chitram.domain.users import Quota
from chitram.ports.repositories.images import Miscount, Position
from chitram.ports.unit_of_work import UnitOfWork
from tests.factories.rows import NOW, add_blob, add_image, add_user, later, user_id_of

MINE, THEIRS = user_id_of(1), user_id_of(2)


async def add_owned(work: UnitOfWork, number: int, *, blob_id: int, owner_id: str = MINE, **changes) -> Image:
    return await add_image(work, number, blob_id=blob_id, owner_id=owner_id, delete_token_hash=None, **changes)


class TestOwnedList:
    async def test_all_of_the_owner_whatever_others_may_see_newest_first(self, database):
        async with database.begin() as work:
            await add_user(work, 1)
            await add_user(work, 2)
            whole, broken = await add_blob(work), await add_blob(work, "broken")
            await work.blobs.set_broken(broken.id, reason="truncated")
            await add_image(work, 9, blob_id=whole.id)
            theirs = await add_owned(work, 8, blob_id=whole.id, owner_id=THEIRS)
            mine = [
                await add_owned(work, number, blob_id=blob_id, visibility=visibility, created_at=later(number))
                for number, (visibility, blob_id) in enumerate([(v, b.id) for v in Visibility for b in (whole, broken)])
            ]
            records = await work.images.list_owned(MINE, after=None, limit=10)
            assert [record.image for record in records] == mine[::-1]
            assert [record.blob.broken_reason for record in records] == ["truncated", None] * 3
            assert [r.image for r in await work.images.list_owned(THEIRS, after=None, limit=10)] == [theirs]
            assert await work.images.list_owned(user_id_of(3), after=None, limit=10) == []

    @pytest.mark.parametrize("limit", [1, 3, 100])
    async def test_pages_miss_nothing_and_repeat_nothing_though_times_are_equal(self, database, limit):
        generator = random.Random(limit)
        async with database.begin() as work:
            await add_user(work, 1)
            await add_user(work, 2)
            blob = await add_blob(work)
            images = [
                await add_owned(
                    work,
                    number,
                    blob_id=blob.id,
                    owner_id=user_id_of(1 + number % 2),
                    created_at=later(generator.choice([0, 0, 1e-6, 2])),
                )
                for number in range(20)
            ]
            mine = [image for image in images if image.owner_id == MINE]
            listed: list[str] = []
            after = None
            while page := await work.images.list_owned(MINE, after=after, limit=limit):
                assert len(page) <= limit
                listed += [record.image.id for record in page]
                after = Position(page[-1].image.created_at, page[-1].image.id)
        assert listed == [i.id for i in sorted(mine, key=lambda image: (image.created_at, image.id), reverse=True)]

    async def test_the_oldest_first(self, database):
        generator = random.Random(7)
        async with database.begin() as work:
            await add_user(work, 1)
            await add_user(work, 2)
            blob = await add_blob(work)
            times = [generator.choice([0, 0, 1e-6, 2]) for _ in range(12)]
            images = [
                await add_owned(
                    work, number, blob_id=blob.id, owner_id=user_id_of(1 + number % 2), created_at=later(time)
                )
                for number, time in enumerate(times)
            ]
            listed: list[str] = []
            after = None
            while page := await work.images.list_owned(MINE, after=after, limit=2, order=Order.OLDEST):
                listed += [record.image.id for record in page]
                after = Position(page[-1].image.created_at, page[-1].image.id)
        mine = [image for image in images if image.owner_id == MINE]
        assert listed == [i.id for i in sorted(mine, key=lambda image: (image.created_at, image.id))]

    @pytest.mark.parametrize("limit", [1, 2, 5, 100])
    @pytest.mark.parametrize("order", [Order.NAME, Order.SIZE])
    async def test_by_name_and_by_size_each_once_though_many_are_equal(self, database, order, limit):
        generator = random.Random(limit)
        names = ["b.jpg", "B.JPG", "a.jpg", "é.jpg", "Zebra.jpg", "zoo.jpg", "%_'.jpg", "చిత్రం.jpg"]
        async with database.begin() as work:
            await add_user(work, 1)
            await add_user(work, 2)
            images, sizes = [], {}
            for number in range(40):
                size = generator.choice([7, 7, 1000, 10_000_000_000])
                blob = await add_blob(work, number, size=size)
                values = {"filename": generator.choice(names), "title": generator.choice([None, None, *names])}
                values |= {"blob_id": blob.id, "owner_id": user_id_of(1 + number % 2)}
                images.append(await add_owned(work, generator.randrange(10**6), **values))
                sizes[images[-1].id] = size
            listed: list[str] = []
            after = None
            while page := await work.images.list_owned(MINE, after=after, limit=limit, order=order):
                assert len(page) <= limit
                listed += [record.image.id for record in page]
                after = Position.of(page[-1], order=order)
                if len(listed) == 2 * limit:
                    # The page that follows does not need the image that the last one ended with.
                    await work.images.remove(page[-1].image.id)
        mine = [image for image in images if image.owner_id == MINE]
        # As SQLite compares: letters of ASCII without their case, others by their code points.
        by_name = sorted(mine, key=lambda image: (image.name.encode().lower(), image.id))
        by_size = sorted(mine, key=lambda image: (sizes[image.id], image.id), reverse=True)
        assert listed == [image.id for image in (by_name if order is Order.NAME else by_size)]

    @pytest.mark.parametrize("order", [Order.NAME, Order.SIZE])
    async def test_by_name_and_by_size_whose_name_contains_a_text(self, database, order):
        async with database.begin() as work:
            await add_user(work, 1)
            for number, filename in enumerate(["the sea.jpg", "hill.jpg", "Sea.jpg", "a sea.jpg"]):
                blob = await add_blob(work, number, size=100 - number)
                await add_owned(work, number, blob_id=blob.id, filename=filename)
            first = await work.images.list_owned(MINE, after=None, limit=2, order=order, name="sea")
            after = Position.of(first[-1], order=order)
            rest = await work.images.list_owned(MINE, after=after, limit=2, order=order, name="sea")
        numbers = [int(record.image.id[5:]) for record in (*first, *rest)]
        assert numbers == ([3, 2, 0] if order is Order.NAME else [0, 2, 3])

    @pytest.mark.parametrize(
        ("name", "numbers"),
        [
            ("sea", [0, 1, 3]),
            ("SEA", [0, 1, 3]),
            ("a b", [3]),
            ("%", [4]),
            ("_", [4]),
            ("\\", [5]),
            ("'", [5]),
            ("చిత్రం", [6]),
            ("zebra", []),
            ("", [0, 1, 2, 3, 4, 5, 6]),
        ],
    )
    async def test_whose_title_or_file_name_contains_a_text(self, database, name, numbers):
        names = [
            ("The Sea.jpg", None),
            ("1.jpg", "at sea"),
            ("hill.jpg", "hill"),
            ("sea a B.jpg", "hill"),
            ("100%_x.jpg", None),
            ("it's\\.jpg", None),
            ("చిత్రం.jpg", None),
        ]
        async with database.begin() as work:
            await add_user(work, 1)
            await add_user(work, 2)
            blob = await add_blob(work)
            for number, (filename, title) in enumerate(names):
                await add_owned(work, number, blob_id=blob.id, filename=filename, title=title, created_at=later(number))
                texts = {"filename": filename, "title": title}
                await add_owned(work, 10 + number, blob_id=blob.id, owner_id=THEIRS, **texts)
            for order in (Order.OLDEST, Order.NEWEST):
                found = await work.images.list_owned(MINE, after=None, limit=9, order=order, name=name)
                assert [int(record.image.id[5:]) for record in found] == numbers[:: 1 if order is Order.OLDEST else -1]


class TestTwins:
    async def test_the_oldest_of_the_same_account_with_the_same_bytes(self, database):
        async with database.begin() as work:
            await add_user(work, 1)
            await add_user(work, 2)
            blob, other = await add_blob(work), await add_blob(work, "other")
            assert await work.images.twin(MINE, blob_id=blob.id) is None
            await add_image(work, 0, blob_id=blob.id, created_at=later(-9))
            await add_owned(work, 1, blob_id=other.id, created_at=later(-8))
            await add_owned(work, 2, blob_id=blob.id, owner_id=THEIRS, created_at=later(-7))
            assert await work.images.twin(MINE, blob_id=blob.id) is None
            for number in (6, 5, 4):
                await add_owned(work, number, blob_id=blob.id, visibility=Visibility.PRIVATE)
            await add_owned(work, 3, blob_id=blob.id, created_at=later(1))
            assert await work.images.twin(MINE, blob_id=blob.id) == "image000004"
            assert await work.images.twin(THEIRS, blob_id=blob.id) == "image000002"


class TestGivingUp:
    """What becomes of the images of an account that ends."""

    async def fill(self, work: UnitOfWork) -> dict[str, Image]:
        await add_user(work, 1)
        await add_user(work, 2)
        blob, other = await add_blob(work), await add_blob(work, "other")
        images = [
            await add_owned(work, 1, blob_id=blob.id),
            await add_owned(work, 2, blob_id=blob.id, visibility=Visibility.UNLISTED, title="t", description="d"),
            await add_owned(work, 3, blob_id=other.id, visibility=Visibility.PRIVATE),
            await add_owned(work, 4, blob_id=blob.id, visibility=Visibility.PRIVATE, owner_id=THEIRS),
            await add_image(work, 5, blob_id=blob.id, visibility=Visibility.PRIVATE),
        ]
        return {image.id: image for image in images}

    async def left(self, work: UnitOfWork, images: dict[str, Image]) -> dict[str, Image]:
        found = {image_id: await work.images.lock(image_id) for image_id in images}
        return {image_id: image for image_id, image in found.items() if image is not None}

    async def test_left_without_an_owner(self, database):
        async with database.begin() as work:
            images = await self.fill(work)
            mine = [image_id for image_id, image in images.items() if image.owner_id == MINE]
            assert sorted(await work.images.disown(MINE)) == mine
            assert await self.left(work, images) == images | {i: replace(images[i], owner_id=None) for i in mine}
            assert await work.images.disown(MINE) == []

    async def test_without_an_owner_no_token_opens_it(self, database):
        async with database.begin() as work:
            await add_user(work, 1)
            blob = await add_blob(work)
            await add_image(work, 1, blob_id=blob.id, owner_id=MINE, delete_token_hash="d" * 64)
            await work.images.disown(MINE)
            assert (await work.images.lock("image000001")).delete_token_hash is None

    @pytest.mark.parametrize(
        ("visibility", "numbers"),
        [(None, [1, 2, 3]), (Visibility.PUBLIC, [1]), (Visibility.UNLISTED, [2]), (Visibility.PRIVATE, [3])],
    )
    async def test_removed_all_or_those_of_one_visibility(self, database, visibility, numbers):
        async with database.begin() as work:
            images = await self.fill(work)
            expected = [(f"image{number:06d}", images[f"image{number:06d}"].blob_id) for number in numbers]
            assert sorted(await work.images.remove_owned(MINE, visibility=visibility)) == expected
            gone = {image_id for image_id, _ in expected}
            assert await self.left(work, images) == {i: image for i, image in images.items() if i not in gone}
            assert await work.images.remove_owned(MINE, visibility=visibility) == []


class TestMiscounts:
    async def test_are_told_of_bytes_and_of_files_by_account(self, database):
        async with database.begin() as work:
            first, second = await add_blob(work, size=100), await add_blob(work, "other", size=2**40)
            charged = [(300, 3), (200, 2), (2**40 + 99, 2), (0, 0), (1, 0), (0, 1)]
            for number, (used_bytes, used_files) in enumerate(charged, start=1):
                await add_user(work, number, used_bytes=used_bytes, used_files=used_files)
            await add_image(work, 90, blob_id=first.id)
            for number, (user, blob) in enumerate(
                [(1, first), (1, first), (2, first), (2, first), (3, first), (3, second)]
            ):
                await add_owned(work, number, blob_id=blob.id, owner_id=user_id_of(user))
        async with database.read() as view:
            assert await view.images.miscounts() == [
                Miscount(user_id_of(1), Quota(300, 3), Quota(200, 2)),
                Miscount(user_id_of(3), Quota(2**40 + 99, 2), Quota(2**40 + 100, 2)),
                Miscount(user_id_of(5), Quota(1, 0), Quota(0, 0)),
                Miscount(user_id_of(6), Quota(0, 1), Quota(0, 0)),
            ]

    async def test_there_are_none_without_accounts(self, database):
        async with database.begin() as work:
            await add_image(work, 1, blob_id=(await add_blob(work)).id)
            assert await work.images.miscounts() == []


class TestSimilar:
    async def test_the_owner_finds_their_own_as_well_each_of_them_once(self, database):
        async with database.begin() as work:
            await add_user(work, 1)
            await add_user(work, 2)
            blob, corrupt = await add_blob(work), await add_blob(work, "corrupt")
            await work.blobs.set_verified(corrupt.id, at=NOW, corrupt=True)
            for number, visibility in enumerate(Visibility):
                await add_owned(work, number, blob_id=blob.id, visibility=visibility)
                await add_owned(work, 10 + number, blob_id=blob.id, visibility=visibility, owner_id=THEIRS)
                await add_image(work, 20 + number, blob_id=blob.id, visibility=visibility)
                await add_owned(work, 30 + number, blob_id=corrupt.id, visibility=visibility)

            async def found(owner_id: str | None, *, limit: int = 100) -> list[int]:
                similar = await work.images.similar(
                    blob.perceptual_hash, distance=8, exclude="image000020", limit=limit, owner_id=owner_id
                )
                return [int(one.record.image.id[5:]) for one in similar]

            assert await found(None) == [10, 0]
            assert await found(MINE) == [10, 2, 1, 0]
            assert await found(THEIRS) == [12, 11, 10, 0]
            assert await found(user_id_of(3)) == [10, 0]
            assert await found(MINE, limit=2) == [10, 2]
