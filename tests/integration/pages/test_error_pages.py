"""Errors as pages: for people alone, and saying what to do now."""

import pytest

from chitram.domain.errors import ServiceUnavailable, UploadBusy
from tests.factories.accounts import OWN_PAGE, bearer
from tests.factories.interleaving import failing, interpose
from tests.integration.pages.browsing import HTML, HTMX, Browser, Page, service
from tests.integration.requests import UNKNOWN, code


class TestFor:
    @pytest.mark.parametrize("path", ["/nowhere", "/image/x", f"/i/{UNKNOWN}", "/albums"])
    async def test_people(self, stranger, path):
        page = await stranger.open(path, status=404)
        assert page.answer.headers["content-type"] == "text/html; charset=utf-8"
        assert page.answer.headers["cache-control"] == "no-store"
        assert page.meta("robots") == page.answer.headers["x-robots-tag"] == "noindex"
        assert {"/", "/upload", "/login"} <= set(page.links)
        assert "404" in page.text
        assert "Request " not in page.text

    @pytest.mark.parametrize(
        ("path", "headers"),
        [
            ("/nowhere", {"Accept": "*/*"}),
            ("/nowhere", {"Accept": "application/json"}),
            ("/nowhere", HTMX),
            ("/api/v1/nowhere", {}),
            ("/static/nowhere.js", {}),
            (f"/api/v1/images/{UNKNOWN}", {}),
            ("/oembed?url=x", {}),
        ],
    )
    async def test_programs_get_what_they_understand(self, stranger, path, headers):
        answer = await stranger.client.get(path, headers=headers)
        assert answer.status_code == 404
        assert code(answer) in ("NOT_FOUND", "IMAGE_NOT_FOUND")

    async def test_members_keep_their_navigation(self, ada):
        page = await ada.open(f"/image/{UNKNOWN}", status=404)
        assert ada.account.email in page.text
        assert (await ada.send(page.form("/logout"))).headers["location"] == "/"


class TestOf:
    async def test_a_method_that_is_not_there(self, stranger):
        answer = await stranger.client.delete("/upload")
        assert answer.status_code == 405
        assert {"GET", "HEAD"} <= set(answer.headers["allow"].split(", "))
        assert "That did not work" in Page(answer).text

    async def test_credentials_that_are_not_good(self, stranger):
        page = await stranger.open("/", status=401, headers=bearer("x"))
        assert page.answer.headers["www-authenticate"] == "Bearer"
        assert "/login?next=/" in page.links

    async def test_a_form_that_is_none_of_ours(self, ada):
        answer = await ada.client.post("/account/sessions/end", headers={"Sec-Fetch-Site": "cross-site"})
        assert answer.status_code == 403
        assert "The page is too old" in Page(answer).text

    async def test_a_body_that_is_too_large(self, stranger):
        answer = await stranger.client.post("/login", data={"email": "x" * 70_000}, headers=OWN_PAGE)
        assert answer.status_code == 413
        assert "The file is too large" in Page(answer).text

    async def test_a_form_in_another_form(self, stranger):
        for body in ({"json": {"email": "x"}}, {"content": b"%ff=1", "headers": OWN_PAGE}):
            answer = await stranger.client.post("/login", **({"headers": OWN_PAGE} | body))
            assert answer.status_code == 400
            assert Page(answer).meta("robots") == "noindex"

    @pytest.mark.parametrize(
        ("error", "status", "words"),
        [
            (ServiceUnavailable(), 503, "The service is not available"),
            (UploadBusy(retry_after=7), 503, "The server is busy"),
            (RuntimeError("secret"), 500, "Something went wrong on our side"),
        ],
    )
    async def test_us(self, tmp_path, error, status, words):
        async with service(tmp_path, arrange=interpose) as (home, _):
            home.foundation.database.before["read"].append(failing(error))
            async with home.client(headers=HTML) as client:
                if status == 500:
                    client._transport.raise_app_exceptions = False
                page = await Browser(client).open("/?left=1", status=status)
        assert words in page.text
        assert "secret" not in page.answer.text
        assert page.answer.headers["x-request-id"] in page.text
        if status == 503:
            assert int(page.answer.headers["retry-after"]) == (error.retry_after or 5)
            assert f"Try again in {page.answer.headers['retry-after']} seconds." in page.text
            assert "/?left=1" in page.links
