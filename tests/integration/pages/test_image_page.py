"""An image's page: who sees what of it, changing and deleting it there, and what other sites are told."""

from urllib.parse import quote

import pytest

from chitram.domain.images import MAX_DESCRIPTION, MAX_TITLE
from tests.factories import pictures
from tests.factories.accounts import OWN_PAGE, api_token, bearer
from tests.integration.pages.browsing import HTMX, Page
from tests.integration.requests import IMAGES, UNKNOWN, uploaded


async def owned(browser, visibility="unlisted", **options):
    return await uploaded(browser.client, headers=browser.account.bearer, fields={"visibility": visibility}, **options)


class TestWhoSees:
    @pytest.mark.parametrize("visibility", ["public", "unlisted"])
    async def test_what_is_shared_everybody(self, stranger, ada, bob, admin, visibility):
        image = await owned(ada, visibility)
        for visitor in (stranger, ada, bob, admin):
            for path in (f"/image/{image['id']}", f"/i/{image['id']}"):
                page = await visitor.open(path)
                assert page.has("image-form") is (visitor is ada)
                assert page.has("facts")
                assert f"/image/{image['id']}/delete" in page.links

    async def test_what_is_private_its_owner_alone(self, stranger, ada, bob, admin):
        image = await owned(ada, "private")
        for path in ("/image/{}", "/i/{}", "/image/{}/delete"):
            await ada.open(path.format(image["id"]))
            for visitor in (stranger, bob, *([] if path.endswith("delete") else [admin])):
                hidden = await visitor.open(path.format(image["id"]), status=404)
                missing = await visitor.open(path.format(UNKNOWN), status=404)
                assert hidden.answer.text.replace(image["id"], UNKNOWN) == missing.answer.text
                drop = ("x-request-id",)
                fields = [{k: v for k, v in p.answer.headers.items() if k not in drop} for p in (hidden, missing)]
                assert fields[0] == fields[1]
                assert "There is no such picture" in hidden.text

    async def test_changes_of_private_ones_are_missing_too(self, stranger, bob, ada):
        image = await owned(ada, "private")
        for visitor in (stranger, bob):
            for path in ("/image/{}", "/image/{}/delete"):
                answers = [
                    await visitor.client.post(path.format(each), data={"visibility": "public"}, headers=OWN_PAGE)
                    for each in (image["id"], UNKNOWN)
                ]
                assert [answer.status_code for answer in answers] == [404, 404]
                assert answers[0].text.replace(image["id"], UNKNOWN) == answers[1].text
        await ada.open(f"/image/{image['id']}")

    @pytest.mark.parametrize("image_id", ["x", "AAAAAAAAAA%41", "%3Cscript%3E"])
    async def test_what_is_no_id(self, stranger, image_id):
        assert (await stranger.client.get(f"/image/{image_id}")).status_code == 404

    async def test_the_facts(self, ada):
        image = await owned(ada, data=pictures.png(40, 30), name="naïve చిత్రం.png")
        page = await ada.open(f"/image/{image['id']}")
        for fact in ("naïve చిత్రం.png", "40 × 30", "PNG", image["sha256"], "Whoever has the link"):
            assert fact in page.text
        shown = page.all("img")[0]
        assert (shown["width"], shown["height"]) == ("40", "30")
        assert (await ada.client.get(shown["src"])).content == pictures.png(40, 30)
        (download,) = [link for link in page.links if "download=1" in link]
        assert "attachment" in (await ada.client.get(download)).headers["content-disposition"]

    async def test_a_broken_one_says_so(self, home, ada, stranger):
        image = await owned(ada)
        async with home.foundation.database.begin() as work:
            record = await work.images.get(image["id"])
            await work.blobs.set_broken(record.blob.id, reason="truncated")
        page = await ada.open(f"/image/{image['id']}")
        assert "This file turned out to be broken, so only you see it. This file ends before the picture" in page.text
        await stranger.open(f"/image/{image['id']}", status=404)


class TestOtherSites:
    async def test_of_public_ones_are_told_everything(self, stranger, ada):
        image = await owned(ada, "public", name="sea.jpg")
        page = await stranger.open(f"/image/{image['id']}")
        url = f"http://testserver/image/{image['id']}"
        assert (page.meta("og:title"), page.meta("og:url")) == ("sea.jpg", url)
        assert page.meta("twitter:card") == "summary_large_image"
        assert page.meta("og:image").startswith(f"http://testserver/i/{image['id']}.jpg?v=")
        assert (await stranger.client.get(page.meta("og:image"))).headers["content-type"] == page.meta("og:image:type")
        assert page.meta("robots") is None
        assert "x-robots-tag" not in page.answer.headers
        rels = {found["rel"]: found["href"] for found in page.all("link")}
        assert rels["canonical"] == url
        body = (await stranger.client.get(rels["alternate"])).json()
        assert (body["type"], body["version"], body["title"]) == ("photo", "1.0", "sea.jpg")
        assert (body["width"], body["height"], body["url"]) == (48, 32, page.meta("og:image"))
        assert (await stranger.client.get(body["thumbnail_url"])).status_code == 200

    async def test_unlisted_ones_are_not_for_search(self, stranger, ada):
        page = await stranger.open(f"/image/{(await owned(ada))['id']}")
        assert page.meta("robots") == page.answer.headers["x-robots-tag"] == "noindex"
        assert page.meta("og:image") is not None

    async def test_private_ones_have_nothing_to_tell(self, ada):
        image = await owned(ada, "private")
        page = await ada.open(f"/image/{image['id']}")
        assert page.meta("robots") == page.answer.headers["x-robots-tag"] == "noindex"
        assert page.meta("og:image") is None
        url = quote(f"http://testserver/image/{image['id']}", safe="")
        for query in (f"url={url}", "url=http://testserver/", "url=http://[", f"url={url}&format=xml"):
            answer = await ada.client.get(f"/oembed?{query}")
            assert answer.status_code == 404
            assert answer.json()["detail"]["code"] in ("IMAGE_NOT_FOUND", "NOT_FOUND")

    async def test_oembed_keeps_to_what_fits_and_to_the_name(self, stranger, ada):
        image = await owned(ada, "public")
        await ada.client.patch(f"{IMAGES}/{image['id']}", json={"title": "&lt;b&gt;"}, headers=ada.account.bearer)
        answer = await stranger.client.get(f"/oembed?url=/i/{image['id']}&maxwidth=24&maxheight=1000")
        body = answer.json()
        assert (body["width"], body["height"], body["title"]) == (24, 16, "&lt;b&gt;")
        assert answer.headers["x-robots-tag"] == "noindex"
        assert (await stranger.client.get("/oembed?url=/&maxwidth=0")).status_code == 422

    async def test_whoever_uploaded_without_an_account_has_links_too(self, stranger):
        page = await stranger.open(f"/image/{(await uploaded(stranger.client))['id']}")
        forms = [page.by_id(f"link-{kind}")["value"] for kind in ("page", "direct", "markdown", "html", "bbcode")]
        assert all("http://testserver/i" in text for text in forms)


class TestEdit:
    async def test_by_its_owner(self, ada, stranger):
        path = f"/image/{(await owned(ada))['id']}"
        answer = await ada.fill_in(path, path, title=" The  sea ", description="blue\r\ndeep", visibility="public")
        assert answer.headers["location"] == path
        page = await ada.open(path)
        assert page.form(path).filled({})["title"] == ["The sea"]
        assert page.form(path).filled({})["visibility"] == ["public"]
        assert page.form(path).filled({})["description"] == ["blue\ndeep"]
        assert "The sea" in (await stranger.open("/")).text

    @pytest.mark.parametrize(
        ("changes", "field"),
        [({"title": "x" * (MAX_TITLE + 1)}, "title"), ({"description": "x" * (MAX_DESCRIPTION + 1)}, "description")],
    )
    async def test_what_is_wrong_stands_beside_its_field(self, ada, changes, field):
        path = f"/image/{(await owned(ada))['id']}"
        page = Page(await ada.fill_in(path, path, status=422, **(changes | {"visibility": "public"})))
        assert page.by_id(field)["aria-describedby"] == f"{field}-error"
        sent = page.form(path).filled({})
        assert sent[field] == [changes[field]]
        assert sent["visibility"] == ["public"]
        assert "badge" in [found.get("class") for found in page.all("span")]

    async def test_an_unknown_visibility(self, ada):
        path = f"/image/{(await owned(ada))['id']}"
        await ada.fill_in(path, path, status=422, visibility="secret")
        await ada.fill_in(path, path, status=422, visibility=None)

    async def test_by_htmx(self, ada):
        path = f"/image/{(await owned(ada))['id']}"
        form = (await ada.open(path)).form(path)
        for title, status in (("The sea", 200), ("x" * (MAX_TITLE + 1), 422)):
            answer = await ada.client.post(path, data=form.filled({"title": title}), headers=HTMX | OWN_PAGE)
            part = Page(answer)
            assert answer.status_code == status
            assert part.elements[0][0] == "form"
            assert ("Saved." in part.text) is (status == 200)
            assert part.has("title-error") is (status == 422)
            assert part.form(path).filled({})["csrf_token"] == form.filled({})["csrf_token"]

    async def test_by_others_is_refused_before_anything_is_looked_at(self, ada, bob, admin, stranger):
        path = f"/image/{(await owned(ada))['id']}"
        for visitor in (bob, admin, stranger):
            answer = await visitor.client.post(path, data={"visibility": "?"}, headers=OWN_PAGE)
            assert answer.status_code == 403
            assert "This is not yours to change" in Page(answer).text

    async def test_a_token_that_may_not_edit_sees_no_form(self, ada):
        path = f"/image/{(await owned(ada))['id']}"
        reading = bearer(await api_token(ada.client, ada.account, "read"))
        assert not (await ada.open(path, headers=reading)).has("image-form")


class TestDelete:
    async def test_is_asked_for_and_changes_nothing(self, stranger, ada):
        image = await owned(ada)
        for visitor in (stranger, ada):
            page = await visitor.open(f"/image/{image['id']}/delete")
            assert page.has("delete-token") is (visitor is stranger)
            assert page.meta("robots") == "noindex"
        await ada.open(f"/image/{image['id']}")

    @pytest.mark.parametrize("visibility", ["public", "private"])
    async def test_by_owner_and_admin(self, ada, admin, visibility):
        for visitor in (ada, admin):
            path = f"/image/{(await owned(ada, visibility))['id']}"
            page = await visitor.open(f"{path}/delete")
            assert bool(page.all("img")) is (visitor is ada or visibility == "public")
            answer = await visitor.fill_in(f"{path}/delete", f"{path}/delete")
            assert answer.headers["location"] == "/my-images?deleted=1"
            await ada.open(path, status=404)

    async def test_what_an_admin_asks_for_has_to_be_an_id(self, admin):
        await admin.open("/image/x/delete", status=404)

    async def test_by_others_is_refused(self, ada, bob, stranger):
        path = f"/image/{(await owned(ada))['id']}/delete"
        await bob.fill_in(path, path, status=403)
        page = Page(await stranger.fill_in(path, path, status=403, delete_token="wrong"))
        assert page.all("p")
        await ada.open(path)

    async def test_by_token(self, stranger):
        image = await uploaded(stranger.client)
        path = f"/image/{image['id']}/delete"
        for wrong in ("", "wrong"):
            page = Page(await stranger.fill_in(path, path, status=403, delete_token=wrong))
            assert "alert" in [found.get("role") for found in page.all("p")]
        answer = await stranger.fill_in(path, path, delete_token=f" {image['delete_token']} ")
        assert answer.headers["location"].startswith("/?deleted=")
        await stranger.open(path, status=404)

    async def test_the_token_is_never_in_an_address(self, stranger):
        image = await uploaded(stranger.client)
        page = await stranger.open(f"/image/{image['id']}/delete")
        assert page.form(f"/image/{image['id']}/delete").method == "post"
        assert all("delete_token" not in link for link in page.links)
