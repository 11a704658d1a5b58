"""What the first view costs: bytes, rounds of asking, and nothing again for those who have it. No clock is read."""

import pytest

from tests.factories import pictures
from tests.integration.pages.browsing import HTMX
from tests.integration.pages.weighing import GZIP, imported, loaded, raw, weights
from tests.integration.requests import uploaded

#: Bytes of HTML, style sheets and scripts, compressed, without pictures and fonts.
BUDGET = 60_000
#: Bytes of all fonts that a page in English asks for.
FONTS = 75_000
PUBLIC = {"visibility": "public"}


async def full(client, *, count=24, **options):
    """A gallery with a first page of different names; the id of the newest image."""
    image = {}
    for number in range(count):
        image = await uploaded(client, name=f"{number} naïve చిత్రం {number * 7919:x}.jpg", fields=PUBLIC, **options)
    return image["id"]


class TestWeight:
    async def test_of_what_strangers_see_first(self, home, client, stranger):
        image = await full(client)
        for path in ("/", f"/image/{image}", "/upload", "/login", "/register"):
            found = await weights(stranger.client, await stranger.open(path), path=path)
            assert len(found) > 6
            assert sum(found.values()) < BUDGET, found

    async def test_of_what_members_see_first(self, home, ada):
        # Nothing that holds a session's secret is compressed: these are the heavier ones.
        image = await full(ada.client, headers=ada.account.bearer)
        for path in ("/", f"/image/{image}", "/account"):
            found = await weights(ada.client, await ada.open(path), path=path)
            assert sum(found.values()) < BUDGET, found

    async def test_of_the_fonts(self, stranger):
        page = await stranger.open("/")
        (sheet,) = [path for path in loaded(page) if path.endswith(".css")]
        text = (await stranger.client.get(sheet)).text
        names = {part.partition(")")[0].strip("\"'") for part in text.split("url(")[1:]}
        latin = [name for name in names if "-latin-wght" in name or "telugu" in name]
        assert len(latin) == 3
        sizes = {name: len((await stranger.client.get(f"/static/{name}")).content) for name in latin}
        assert sum(sizes.values()) < FONTS, sizes
        (preloaded,) = [found for found in page.all("link") if found.get("as") == "font"]
        assert preloaded["href"].removeprefix("/static/") in latin

    async def test_is_sent_compressed_to_strangers_alone(self, stranger, ada):
        headers, body = await raw(stranger.client, "/")
        assert headers["content-encoding"] == "gzip"
        assert "Accept-Encoding" in headers["vary"]
        assert len(body) < len((await stranger.client.get("/", headers={"Accept-Encoding": "identity"})).content) / 2
        headers, _ = await raw(ada.client, "/")
        assert "content-encoding" not in headers


class TestRounds:
    async def test_every_script_is_named_in_the_page(self, stranger):
        page = await stranger.open("/")
        (module,) = [found["src"] for found in page.all("script") if found.get("type") == "module"]
        named = [found["href"] for found in page.all("link") if found.get("rel") == "modulepreload"]
        assert len(named) == len(set(named)) > 5
        assert set(named) == await imported(stranger.client, module)

    async def test_only_what_is_shown_first_holds_it_up(self, stranger):
        page = await stranger.open("/")
        late = [found for found in page.all("script") if "src" in found and "theme." not in found["src"]]
        assert late
        assert all("defer" in found or found.get("type") == "module" for found in late)
        # Fonts and scripts are wanted soon, but not before the style sheet and the first pictures.
        ahead = [found for found in page.all("link") if found.get("rel") in ("preload", "modulepreload")]
        assert {found.get("fetchpriority") for found in ahead} == {"low"}


class TestPreview:
    """A large file is shown as its largest thumbnail until it is there."""

    async def shown(self, visitor, image):
        return (await visitor.open(f"/image/{image['id']}")).all("img")

    async def test_of_a_large_file(self, client, stranger):
        image = await uploaded(client, pictures.jpeg(900, 700, grain=0.2, quality=92), fields=PUBLIC)
        preview, picture, _ = await self.shown(stranger, image)
        assert (preview["alt"], preview["fetchpriority"], picture["fetchpriority"]) == ("", "high", "low")
        assert "/600.jpg" in preview["src"]
        assert (preview["width"], preview["height"]) == (picture["width"], picture["height"]) == ("900", "700")
        assert (await stranger.client.get(preview["src"])).headers["content-type"] == "image/jpeg"

    async def test_not_of_what_is_small_or_transparent(self, client, stranger):
        for data in (pictures.png(40, 30), pictures.png(900, 700, mode="RGBA")):
            image = await uploaded(client, data, fields=PUBLIC)
            picture, _ = await self.shown(stranger, image)
            assert (picture["alt"] != "", picture["fetchpriority"]) == (True, "high")


class TestAgain:
    """Strangers who have a page are told so, and not sent it."""

    @pytest.mark.parametrize("path", ["/", "/login", "/register"])
    async def test_nothing_is_sent_twice(self, stranger, path):
        first = await stranger.client.get(path, headers=GZIP)
        again = await stranger.client.get(path, headers=GZIP | {"If-None-Match": first.headers["etag"]})
        assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
        # What a browser keeps of the page is replaced by what comes now.
        for name in ("etag", "content-security-policy", "cache-control", "vary", "referrer-policy"):
            assert again.headers[name] == first.headers[name], name

    async def test_a_new_picture_is_news(self, client, stranger):
        first = await stranger.client.get("/")
        await uploaded(client, fields=PUBLIC)
        again = await stranger.client.get("/", headers={"If-None-Match": first.headers["etag"]})
        assert again.status_code == 200
        assert again.headers["etag"] != first.headers["etag"]

    async def test_members_and_others_have_different_pages(self, stranger, ada):
        first = await stranger.client.get("/")
        again = await ada.client.get("/", headers={"If-None-Match": first.headers["etag"]})
        assert again.status_code == 200
        assert "etag" not in again.headers

    async def test_neither_errors_nor_parts(self, stranger):
        missing = await stranger.client.get("/image/AAAAAAAAAAA")
        assert (missing.status_code, "etag" in missing.headers) == (404, False)
        part = await stranger.client.get("/", headers=HTMX)
        assert (part.status_code, "etag" in part.headers) == (200, False)
