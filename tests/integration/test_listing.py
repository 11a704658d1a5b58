"""`GET /api/v1/images`: the public list, page by page; and near-duplicates."""

import base64
from datetime import timedelta

import httpx
import pytest

from chitram.domain.images import Visibility
from chitram.domain.uploads import UploadDetails
from tests.factories import pictures
from tests.integration.requests import IMAGES, UNKNOWN, code, photo, token, uploaded

PUBLIC = {"visibility": "public"}


async def fill(home, *, count: int, apart: timedelta = timedelta(seconds=1)) -> list[str]:
    """`count` public images of the same bytes, `apart` from each other; their ids, newest first."""
    ids = []
    for _ in range(count):
        home.clock.advance(apart)
        kept = await home.upload(photo(), details=UploadDetails(visibility=Visibility.PUBLIC))
        ids.append(kept.record.image.id)
    return ids[::-1]


async def walk(client: httpx.AsyncClient, *, limit: int) -> list[list[str]]:
    """The ids of every page, following the Link fields."""
    pages, address = [], f"{IMAGES}?limit={limit}"
    while address:
        answer = await client.get(address)
        assert answer.status_code == 200
        pages.append([item["id"] for item in answer.json()["items"]])
        address = str(answer.links["next"]["url"]) if "next" in answer.links else ""
        assert (answer.json()["next_cursor"] is None) is (not address)
    return pages


class TestPublicList:
    async def test_is_empty_at_first(self, client):
        answer = await client.get(IMAGES)
        assert answer.json() == {"items": [], "next_cursor": None}
        assert "link" not in answer.headers
        assert answer.headers["cache-control"] == "no-cache"

    async def test_shows_metadata_and_no_secret(self, client):
        image = await uploaded(client, fields=PUBLIC)
        (item,) = (await client.get(IMAGES)).json()["items"]
        assert item == (await client.get(f"{IMAGES}/{image['id']}")).json()

    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
    async def test_goes_through_all_newest_first_and_each_once(self, client, home, limit):
        ids = await fill(home, count=7)
        pages = await walk(client, limit=limit)
        assert [image_id for page in pages for image_id in page] == ids
        assert all(len(page) == limit for page in pages[:-1])
        assert pages[-1]

    async def test_images_of_one_moment_are_told_apart_by_their_id(self, client, home):
        ids = await fill(home, count=6, apart=timedelta(0))
        pages = await walk(client, limit=2)
        assert [image_id for page in pages for image_id in page] == sorted(ids, reverse=True)

    async def test_new_and_deleted_images_do_not_shift_the_next_page(self, client, home):
        ids = await fill(home, count=4)
        first = (await client.get(IMAGES, params={"limit": 2})).json()
        await fill(home, count=3)
        async with home.foundation.database.begin() as work:
            await work.images.remove(ids[1])
        second = (await client.get(IMAGES, params={"limit": 2, "cursor": first["next_cursor"]})).json()
        assert [item["id"] for item in second["items"]] == ids[2:]

    async def test_twenty_four_unless_asked(self, client, home):
        await fill(home, count=25)
        answer = await client.get(IMAGES)
        assert len(answer.json()["items"]) == 24
        assert answer.links["next"]["url"].startswith(f"http://testserver{IMAGES}?cursor=")

    async def test_unlisted_ones_are_never_in_it(self, client):
        unlisted = await uploaded(client)
        public = await uploaded(client, fields=PUBLIC)
        text = (await client.get(IMAGES)).text
        assert public["id"] in text
        assert unlisted["id"] not in text

    @pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "", "1e3", "9" * 30])
    async def test_bounds_of_a_page(self, client, limit):
        answer = await client.get(IMAGES, params={"limit": limit})
        assert (answer.status_code, code(answer)) == (422, "VALIDATION_ERROR")
        assert answer.json()["detail"]["details"]["errors"][0]["field"] == "limit"

    async def test_a_hundred_at_most(self, client):
        assert (await client.get(IMAGES, params={"limit": 100})).status_code == 200


class TestCursors:
    async def test_that_were_tampered_with(self, client, home):
        await fill(home, count=3)
        good = (await client.get(IMAGES, params={"limit": 1})).json()["next_cursor"]
        data = base64.urlsafe_b64decode(good + "=" * (-len(good) % 4))
        for position in range(len(data)):
            turned = bytearray(data)
            turned[position] ^= 1
            cursor = base64.urlsafe_b64encode(turned).decode().rstrip("=")
            answer = await client.get(IMAGES, params={"cursor": cursor})
            assert (answer.status_code, code(answer)) == (422, "VALIDATION_ERROR")
        assert (await client.get(IMAGES, params={"cursor": good})).status_code == 200

    @pytest.mark.parametrize("cursor", ["", "x", "AAAA", "చిత్రం", "%00", "=" * 50, "a" * 200, "a" * 201, "-_-_"])
    async def test_that_were_never_ours(self, client, cursor):
        answer = await client.get(IMAGES, params={"cursor": cursor})
        assert (answer.status_code, code(answer)) == (422, "VALIDATION_ERROR")

    async def test_say_nothing_about_a_table_or_an_offset(self, client, home):
        await fill(home, count=3)
        assert (await client.get(IMAGES, params={"offset": "2"})).json()["items"].__len__() == 3


class TestSimilar:
    async def test_finds_the_same_motif_among_public_images(self, client):
        motif = pictures.jpeg(320, 240, seed=5)
        image = await uploaded(client, motif)
        near = await uploaded(client, pictures.jpeg(160, 120, seed=5, quality=60), fields=PUBLIC)
        hidden = await uploaded(client, pictures.jpeg(200, 150, seed=5))
        far = await uploaded(client, pictures.jpeg(320, 240, seed=77), fields=PUBLIC)
        answer = await client.get(f"{IMAGES}/{image['id']}/similar")
        found = {item["id"]: item["distance"] for item in answer.json()["items"]}
        assert set(found) == {near["id"]}
        assert 0 <= found[near["id"]] <= 8
        assert {hidden["id"], far["id"], image["id"]}.isdisjoint(found)

    async def test_the_same_bytes_have_distance_0_and_nearest_come_first(self, client):
        image = await uploaded(client, pictures.jpeg(320, 240, seed=5))
        await uploaded(client, pictures.jpeg(160, 120, seed=5, quality=30), fields=PUBLIC)
        same = await uploaded(client, pictures.jpeg(320, 240, seed=5), fields=PUBLIC)
        items = (await client.get(f"{IMAGES}/{image['id']}/similar", params={"distance": 16})).json()["items"]
        assert (items[0]["id"], items[0]["distance"]) == (same["id"], 0)
        assert [item["distance"] for item in items] == sorted(item["distance"] for item in items)

    @pytest.mark.parametrize(("distance", "status"), [("0", 200), ("16", 200), ("17", 422), ("-1", 422), ("x", 422)])
    async def test_bounds_of_the_distance(self, client, distance, status):
        image = await uploaded(client)
        answer = await client.get(f"{IMAGES}/{image['id']}/similar", params={"distance": distance})
        assert answer.status_code == status

    async def test_what_is_not_there_is_said_before_what_is_wrong(self, client):
        image = await uploaded(client)
        assert (await client.get(f"{IMAGES}/{image['id']}/similar?distance=17")).status_code == 422
        assert (await client.get(f"{IMAGES}/{UNKNOWN}/similar?distance=17")).status_code == 404

    async def test_a_deleted_one_is_gone_from_it(self, client):
        image, other = await uploaded(client), await uploaded(client, fields=PUBLIC)
        address = f"{IMAGES}/{image['id']}/similar"
        assert [item["id"] for item in (await client.get(address)).json()["items"]] == [other["id"]]
        await client.delete(f"{IMAGES}/{other['id']}", headers=token(other))
        assert (await client.get(address)).json()["items"] == []
