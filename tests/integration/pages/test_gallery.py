"""The first page: what is public, page by page, and what it says when one comes back from elsewhere."""

from datetime import timedelta

import pytest

from chitram.entrypoints.web.gallery import EAGER, PAGE_SIZE
from tests.factories import pictures
from tests.integration.pages.browsing import HTMX, Page
from tests.integration.requests import uploaded

PUBLIC = {"visibility": "public"}


async def fill(home, client, count):
    """Public images, the newest first."""
    made = []
    for number in range(count):
        home.clock.advance(timedelta(seconds=number % 2))
        made.append((await uploaded(client, name=f"{number}.jpg", fields=PUBLIC))["id"])
    return made


def shown(page):
    return [link.rpartition("/")[2] for link in page.links if link.startswith("/image/")]


class TestGallery:
    async def test_empty(self, stranger):
        page = await stranger.open("/")
        assert "Nothing here yet" in page.text
        assert "/upload" in page.links
        assert not page.has("gallery")
        assert not page.has("load-more")

    async def test_public_images_alone_whoever_looks(self, stranger, ada):
        public = await uploaded(ada.client, headers=ada.account.bearer, fields=PUBLIC)
        for visibility in ("unlisted", "private"):
            await uploaded(ada.client, headers=ada.account.bearer, fields={"visibility": visibility})
        for visitor in (stranger, ada):
            assert shown(await visitor.open("/")) == [public["id"]]

    async def test_pages_miss_nothing_and_repeat_nothing(self, home, client, stranger):
        made = await fill(home, client, PAGE_SIZE + 3)
        page = await stranger.open("/")
        seen = shown(page)
        assert len(seen) == PAGE_SIZE
        (more,) = [found for found in page.all("a") if found.get("rel") == "next"]
        assert more["href"] == more["hx-get"]
        rest = await stranger.open(more["href"])
        assert sorted(seen + shown(rest)) == sorted(made)
        assert not rest.has("load-more")
        assert rest.text.startswith("\n")
        assert "html" in dict(rest.elements)

    async def test_htmx_gets_tiles_alone(self, home, client, stranger):
        await fill(home, client, PAGE_SIZE + 1)
        more = next(found for found in (await stranger.open("/")).all("a") if found.get("rel") == "next")
        part = await stranger.open(more["href"], headers=HTMX)
        assert len(shown(part)) == 1
        assert {"html", "head", "body", "script"}.isdisjoint(dict(part.elements))
        assert [found["hx-swap-oob"] for found in part.all("ul")] == ["beforeend:#gallery"]
        assert part.answer.headers["cache-control"] == "private, no-store"
        assert "HX-Request" in part.answer.headers["vary"]
        assert "HX-Request" in (await stranger.open("/")).answer.headers["vary"]

    async def test_tiles_have_their_place_before_they_are_loaded(self, home, client, stranger):
        await fill(home, client, EAGER + 2)
        page = await stranger.open("/")
        images = page.all("img")
        assert all(int(found["width"]) > 0 and int(found["height"]) > 0 and found["alt"] for found in images)
        assert [found.get("loading") for found in images] == [None] * EAGER + ["lazy"] * 2
        assert [found.get("fetchpriority") for found in images] == ["high"] + ["low"] * (EAGER - 1) + [None] * 2
        for found in images:
            for source in found["srcset"].split(", "):
                answer = await stranger.client.get(source.partition(" ")[0])
                assert answer.status_code == 200
                assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"

    async def test_what_looks_like_no_cursor_of_ours(self, stranger):
        page = await stranger.open("/?cursor=x", status=422)
        assert "That did not work" in page.text

    async def test_a_broken_picture_has_no_tile(self, home, client, stranger):
        image = await uploaded(client, pictures.png(20, 10), fields=PUBLIC)
        async with home.foundation.database.begin() as work:
            record = await work.images.get(image["id"])
            await work.blobs.set_broken(record.blob.id, reason="truncated")
        assert shown(await stranger.open("/")) == []

    @pytest.mark.parametrize(
        ("query", "words"), [("deleted=1", "The picture has been deleted."), ("left=1", "The account is gone.")]
    )
    async def test_says_what_was_done(self, stranger, query, words):
        assert words in (await stranger.open(f"/?{query}")).text
        assert words not in (await stranger.open("/")).text


class TestNavigation:
    async def test_of_strangers(self, stranger):
        page = await stranger.open("/")
        assert {"/", "/upload", "/login", "/register", "/docs"} <= set(page.links)
        assert {"/my-images", "/account"}.isdisjoint(page.links)
        assert page.forms == []

    async def test_of_members(self, ada):
        page = await ada.open("/")
        assert {"/", "/upload", "/my-images", "/account"} <= set(page.links)
        assert {"/login", "/register"}.isdisjoint(page.links)
        assert ada.account.email in page.text
        assert page.form("/logout").fields[0][0] == "csrf_token"

    async def test_leads_nowhere_dead(self, stranger, ada):
        for visitor in (stranger, ada):
            page = await visitor.open("/")
            assert [found["href"] for found in page.all("a") if found.get("aria-current") == "page"] == ["/", "/"]
            for link in set(page.links) - {"#main"}:
                assert (await visitor.client.get(link)).status_code == 200, link

    async def test_the_name_in_telugu(self, stranger):
        assert "చిత్రం" in Page((await stranger.open("/")).answer).text
