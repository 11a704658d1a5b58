"""Uploading by a plain form: with and without an account, and what is said when it does not work."""

import json

import pytest

from chitram.domain.errors import InvalidReason
from chitram.entrypoints.support.errors import STATUS_BY_CODE
from chitram.settings import AccountSettings, LimitSettings, UploadSettings
from tests.factories.accounts import OWN_PAGE, api_token, bearer, browser_signed_in, signed_up
from tests.integration.pages.browsing import Browser, Page, service
from tests.integration.requests import IMAGES, UPLOAD, photo


def picture(data=None, name="sea.jpg"):
    return {"file": (name, photo() if data is None else data, "image/jpeg")}


async def send(browser, *, status, files=None, **changes):
    form = (await browser.open("/upload")).form("/upload")
    return await browser.send(form, status=status, files=files or picture(), **changes)


class TestForm:
    async def test_of_strangers_and_members(self, stranger, ada):
        for visitor, expected in ((stranger, ["unlisted", "public"]), (ada, ["unlisted", "public", "private"])):
            page = await visitor.open("/upload")
            assert [f["value"] for f in page.all("input") if f.get("name") == "visibility"] == expected
            assert page.form("/upload").filled({})["visibility"] == ["unlisted"]
            assert page.by_id("file")["accept"] == "image/jpeg,image/png"
            assert "required" in page.by_id("file")
            assert "5.0 MB" in page.text

    async def test_the_file_comes_last(self, ada):
        """What stands behind it is only read when it is stored."""
        page = await ada.open("/upload")
        names = [found.get("name") for tag, found in page.elements if tag == "input"]
        assert names.index("file") > max(names.index(each) for each in ("csrf_token", "idempotency_key", "visibility"))

    async def test_has_another_key_each_time(self, stranger):
        keys = {(await stranger.open("/upload")).form("/upload").filled({})["idempotency_key"][0] for _ in range(3)}
        assert len(keys) == 3

    async def test_members_only(self, tmp_path):
        async with service(tmp_path, uploads=UploadSettings(anonymous=False)) as (_, visitor):
            page = await visitor.open("/upload")
            assert "Uploading needs an account" in page.text
            assert "/login?next=/upload" in page.links
            assert not page.has("file")
            answer = await visitor.client.post("/upload", files=picture(), headers=OWN_PAGE)
            assert answer.status_code == 401
            assert "Uploading needs an account" in Page(answer).text


class TestScript:
    """What the script says of an upload that failed is what the form says of it."""

    async def refusals(self, visitor):
        (_, _, rest) = (await visitor.open("/upload")).answer.text.partition(
            '<script type="application/json" id="refusals">'
        )
        return json.loads(rest.partition("</script>")[0])

    async def test_has_the_words_of_every_refusal(self, stranger):
        said = await self.refusals(stranger)
        assert said.keys() == {*STATUS_BY_CODE, *InvalidReason, "empty_file"}
        assert all(words[0].isupper() and words.endswith(".") and "{" not in words for words in said.values())

    @pytest.mark.parametrize("data", [b"no picture" * 10, b"\xff\xd8" + bytes(5 * 1024 * 1024), photo()[:300]])
    async def test_says_what_the_form_says(self, stranger, data):
        said = await self.refusals(stranger)
        answer = await stranger.client.post(UPLOAD, files=picture(data))
        detail = answer.json()["detail"]
        words = said.get(detail["details"].get("reason")) or said[detail["code"]]
        assert words != detail["message"]
        assert words in Page(await send(stranger, status=answer.status_code, files=picture(data))).text

    async def test_is_told_on_this_page_alone(self, stranger):
        for path in ("/", "/login", "/nowhere"):
            page = Page(await stranger.client.get(path))
            assert not page.has("refusals")
            assert page.has("texts")


class TestUpload:
    async def test_of_a_stranger_shows_the_token_once(self, stranger):
        answer = await send(stranger, status=201, visibility="public")
        page = Page(answer)
        assert "Save this token! It's the only way to delete this image." in page.text
        token = page.by_id("new-delete-token")["value"]
        assert len(token) == 43
        assert answer.headers["cache-control"] == "no-store"
        (path,) = {link for link in page.links if link.startswith("/image/")}
        assert page.by_id("link-page")["value"] == f"http://testserver{path}"
        again = await stranger.open(path)
        assert token not in again.answer.text
        gone = await stranger.fill_in(f"{path}/delete", f"{path}/delete", delete_token=token)
        assert gone.headers["location"].startswith("/?deleted=")

    @pytest.mark.parametrize("visibility", ["public", "unlisted", "private"])
    async def test_of_a_member_leads_to_its_page(self, ada, visibility):
        answer = await send(ada, status=303, visibility=visibility)
        page = await ada.open(answer.headers["location"])
        assert page.has("image-form")
        assert page.form(answer.headers["location"]).filled({})["visibility"] == [visibility]

    async def test_sent_twice_is_one(self, stranger, ada):
        for visitor, status in ((stranger, 201), (ada, 303)):
            form = (await visitor.open("/upload")).form("/upload")
            first, second = [await visitor.send(form, status=status, files=picture()) for _ in range(2)]
            assert first.text == second.text or form.filled({})["csrf_token"]
            assert first.headers.get("location") == second.headers.get("location")
        assert len((await ada.client.get("/api/v1/users/me/images")).json()["items"]) == 1

    async def test_the_same_form_with_another_picture(self, stranger):
        form = (await stranger.open("/upload")).form("/upload")
        await stranger.send(form, status=201, files=picture())
        answer = await stranger.send(form, status=422, files=picture(photo(1)))
        assert Page(answer).form("/upload").filled({})["idempotency_key"] != form.filled({})["idempotency_key"]


class TestRefused:
    @pytest.mark.parametrize(
        ("data", "status", "words"),
        [
            (b"no picture" * 10, 400, "This is no picture of a kind that is accepted here. JPEG and PNG are."),
            (b"", 400, "This file is empty."),
            (b"\xff\xd8" + bytes(5 * 1024 * 1024), 413, "up to 5.0 MB"),
        ],
    )
    async def test_says_why_on_the_page(self, stranger, data, status, words):
        page = Page(await send(stranger, status=status, files=picture(data)))
        alert = page.by_id("upload-error")
        assert alert["role"] == "alert"
        assert words in page.text
        assert page.by_id("file")["aria-invalid"] == "true"

    async def test_no_file_chosen(self, stranger):
        page = Page(await send(stranger, status=422, files={"file": ("", b"", "application/octet-stream")}))
        assert page.has("upload-error")
        assert "Choose a picture first." in page.text

    async def test_private_without_an_account(self, stranger):
        page = Page(await send(stranger, status=422, visibility="private"))
        assert "Only pictures of an account can be private." in page.text

    async def test_too_often(self, tmp_path):
        async with service(tmp_path, limits=LimitSettings(per_minute=1)) as (_, visitor):
            await send(visitor, status=201)
            answer = await send(visitor, status=429)
            assert int(answer.headers["retry-after"]) > 0
            assert "There is a limit" in Page(answer).text

    async def test_a_busy_server(self, tmp_path):
        limits = UploadSettings(concurrency_limit=1, concurrency_timeout=0.05)
        async with (
            service(tmp_path, uploads=limits) as (home, visitor),
            home.application.admission.slot(address="192.0.2.1"),
        ):
            answer = await send(visitor, status=503)
            by_program = await visitor.client.post(UPLOAD, files=picture())
        assert "Nothing of yours was lost. Try again in 5 seconds." in Page(answer).text
        assert answer.headers["retry-after"] == by_program.headers["retry-after"]

    async def test_a_full_account(self, tmp_path):
        async with service(tmp_path, accounts=AccountSettings(quota_files=1)) as (_, visitor):
            ada = Browser(visitor.client, await signed_up(visitor.client))
            await browser_signed_in(ada.client, ada.account)
            await send(ada, status=303)
            answer = await send(ada, status=507)
            assert "Delete something first" in Page(answer).text

    async def test_by_a_token_that_is_not_for_it(self, ada):
        reading = bearer(await api_token(ada.client, ada.account, "read"))
        answer = await ada.client.post("/upload", files=picture(), headers=reading)
        assert answer.status_code == 403
        page = await ada.open("/upload", status=403, headers=reading)
        assert "This is not yours to change" in page.text

    async def test_nothing_is_kept(self, home, stranger):
        await send(stranger, status=400, files=picture(b"no picture"))
        assert home.objects() == set()
        assert (await stranger.client.get(IMAGES)).json()["items"] == []
