"""Errors as pages: for people alone, and saying what to do now; for who looks at a part of a page their words alone."""

import re

import pytest

from chitram.domain.errors import ServiceUnavailable, UploadBusy
from chitram.entrypoints.asgi import PAGE_ROUTERS
from chitram.entrypoints.web.rendering import CONTENT_SECURITY_POLICY
from tests.factories.accounts import OWN_PAGE, bearer
from tests.factories.interleaving import failing, interpose
from tests.integration.pages.browsing import HTML, HTMX, Browser, Page, service
from tests.integration.requests import UNKNOWN, code, uploaded


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
            ("/api/v1/nowhere", {}),
            ("/api/v1/nowhere", HTMX),
            ("/static/nowhere.js", {}),
            (f"/api/v1/images/{UNKNOWN}", {}),
            ("/oembed?url=x", {}),
        ],
    )
    async def test_programs_get_what_they_understand(self, stranger, path, headers):
        answer = await stranger.client.get(path, headers=headers)
        assert answer.status_code == 404
        assert code(answer) in ("NOT_FOUND", "IMAGE_NOT_FOUND")

    @pytest.mark.parametrize("path", ["/nowhere", f"/image/{UNKNOWN}", f"/i/{UNKNOWN}.jpg"])
    async def test_parts_of_pages_are_the_words_of_the_page_alone(self, stranger, path):
        page = await stranger.open(path, status=404)
        part = await stranger.client.get(path, headers=HTMX)
        assert (part.status_code, part.headers["content-type"]) == (404, "text/plain; charset=utf-8")
        assert part.headers["cache-control"] == "no-store"
        assert part.text
        assert f'<p class="text-muted">{part.text}</p>' in page.answer.text

    async def test_members_keep_their_navigation(self, ada):
        page = await ada.open(f"/image/{UNKNOWN}", status=404)
        assert ada.account.email in page.text
        assert (await ada.send(page.form("/logout"))).headers["location"] == "/"


#: What browsers send when somebody opens an address, and when a page shows a picture.
OPENED = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}
SHOWN = {"Accept": "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"}


class TestOfBytes:
    """Addresses of bytes: people who open them get a page, pages that show them and programs what they understand."""

    @pytest.mark.parametrize("rest", [".jpg", "/300.jpg", "/150.png", ".webp", ".nothing"])
    async def test_missing_and_private_are_the_same_page(self, ada, bob, stranger, rest):
        image = await uploaded(ada.client, headers=ada.account.bearer, fields={"visibility": "private"})
        for visitor in (bob, stranger):
            private = await visitor.client.get(f"/i/{image['id']}{rest}", headers=OPENED)
            missing = await visitor.client.get(f"/i/{UNKNOWN}{rest}", headers=OPENED)
            none = await visitor.client.get(f"/i/x{rest}", headers=OPENED)
            assert private.status_code == missing.status_code == none.status_code == 404
            assert private.content == missing.content == none.content
            assert kept(private) == kept(missing) == kept(none)
            page = Page(private)
            assert "There is no such picture" in page.text
            assert page.answer.headers["cache-control"] == "no-store"
            assert page.answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
            assert image["id"] not in page.answer.text
            assert (visitor is bob) == (visitor is not stranger and bob.account.email in page.text)

    @pytest.mark.parametrize("headers", [SHOWN, {"Accept": "*/*"}, {"Accept": "application/json"}])
    async def test_programs_and_pages_that_show_them(self, stranger, headers):
        for path in (f"/i/{UNKNOWN}.jpg", f"/i/{UNKNOWN}/300.jpg"):
            answer = await stranger.client.get(path, headers=headers)
            assert (answer.status_code, code(answer)) == (404, "IMAGE_NOT_FOUND")

    async def test_the_api_answers_everybody_alike(self, stranger):
        for rest in ("", "/file", "/thumbnail"):
            answer = await stranger.client.get(f"/api/v1/images/{UNKNOWN}{rest}", headers=OPENED)
            assert (answer.status_code, code(answer)) == (404, "IMAGE_NOT_FOUND")

    async def test_without_the_page_where_only_its_head_is_asked_for(self, stranger):
        page = await stranger.client.get(f"/i/{UNKNOWN}.jpg", headers=OPENED)
        head = await stranger.client.head(f"/i/{UNKNOWN}.jpg", headers=OPENED)
        assert (head.status_code, head.content) == (404, b"")
        assert kept(head) == kept(page)

    async def test_a_wrong_method(self, stranger):
        answer = await stranger.client.post(f"/i/{UNKNOWN}.jpg", headers=OPENED)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
        assert "This cannot be done at this address." in Page(answer).text


def kept(answer):
    """The header fields without those that differ from one request to the next."""
    return [pair for pair in answer.headers.multi_items() if pair[0] not in ("x-request-id", "date")]


#: Every address of pages, and what is answered there.
ALLOWED = {
    "/": "GET, HEAD",
    "/upload": "GET, HEAD, POST",
    "/login": "GET, HEAD, POST",
    "/register": "GET, HEAD, POST",
    "/logout": "POST",
    "/my-images": "GET, HEAD, POST",
    "/account": "GET, HEAD",
    "/account/sessions/end": "POST",
    "/account/sessions/x/end": "POST",
    "/account/tokens": "POST",
    "/account/tokens/x/revoke": "POST",
    "/account/password": "POST",
    "/account/delete": "POST",
    f"/image/{UNKNOWN}": "GET, HEAD, POST",
    f"/image/{UNKNOWN}/delete": "GET, HEAD, POST",
    f"/i/{UNKNOWN}": "GET, HEAD",
    "/oembed": "GET, HEAD",
}


class TestMethods:
    @pytest.mark.parametrize("path", ALLOWED)
    async def test_those_that_are_answered_are_named(self, stranger, path):
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} - set(ALLOWED[path].split(", ")):
            answer = await stranger.client.request(method, path)
            assert (answer.status_code, answer.headers["allow"]) == (405, ALLOWED[path]), method

    def test_no_page_is_left_out(self):
        paths = {route.path for router in PAGE_ROUTERS for route in router.routes}
        asked = {p.replace(f"/{UNKNOWN}", "/{image_id}") for p in ALLOWED}
        asked = {
            p.replace("sessions/x", "sessions/{session_id}").replace("tokens/x", "tokens/{token_id}") for p in asked
        }
        assert asked == paths


#: What goes wrong on our side, and what the page says of it.
OURS = [
    (ServiceUnavailable(), 503, "The service is not available"),
    (UploadBusy(retry_after=7), 503, "The server is busy"),
    (RuntimeError("secret"), 500, "Something went wrong on our side"),
]


class TestOf:
    async def test_a_method_that_is_not_there(self, stranger):
        answer = await stranger.client.delete("/upload")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")
        assert "That did not work" in Page(answer).text

    async def test_credentials_that_are_not_good(self, stranger):
        page = await stranger.open("/", status=401, headers=bearer("x"))
        assert page.answer.headers["www-authenticate"] == "Bearer"
        assert "/login?next=/" in page.links

    async def test_a_form_that_is_none_of_ours(self, ada):
        answer = await ada.client.post("/account/sessions/end", headers={"Sec-Fetch-Site": "cross-site"})
        assert answer.status_code == 403
        page = Page(answer)
        assert "The page is too old" in page.text
        # The page that the form stands on is one step away.
        offered = [found["href"] for found in page.all("a") if "button-primary" in (found.get("class") or "")]
        assert offered == ["/account"]

    async def test_a_body_that_is_too_large(self, stranger):
        answer = await stranger.client.post("/login", data={"email": "x" * 70_000}, headers=OWN_PAGE)
        assert answer.status_code == 413
        assert "The file is too large" in Page(answer).text

    async def test_a_form_in_another_form(self, stranger):
        for body in ({"json": {"email": "x"}}, {"content": b"%ff=1", "headers": OWN_PAGE}):
            answer = await stranger.client.post("/login", **({"headers": OWN_PAGE} | body))
            assert answer.status_code == 400
            assert Page(answer).meta("robots") == "noindex"

    async def test_a_part_that_may_not_be_changed(self, ada, bob):
        image = await uploaded(ada.client, headers=ada.account.bearer)
        answer = await bob.client.post(f"/image/{image['id']}", data={"title": "x"}, headers=OWN_PAGE | HTMX)
        assert (answer.status_code, answer.text) == (403, "Only its owner may do that.")

    async def test_a_part_with_credentials_that_are_not_good(self, stranger):
        answer = await stranger.client.get("/", headers=bearer("x") | HTMX)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert answer.text == "You are not logged in, or not any longer. Log in, and try again."

    @pytest.mark.parametrize(("error", "status", "words"), OURS)
    async def test_us_in_a_part(self, tmp_path, error, status, words):
        async with service(tmp_path, arrange=interpose) as (home, _):
            home.foundation.database.before["read"] += [failing(error), failing(error)]
            async with home.client(headers=HTML) as client:
                if status == 500:
                    client._transport.raise_app_exceptions = False
                page = Page(await client.get("/"))
                part = await client.get("/", headers=HTMX)
        assert (part.status_code, part.headers["content-type"]) == (status, "text/plain; charset=utf-8")
        # The sentences of the page, without its title; each request has a number of its own.
        said = part.text.replace(part.headers["x-request-id"], page.answer.headers["x-request-id"])
        position = 0
        for sentence in re.split(r"(?<=\.) ", said):
            position = page.text.index(sentence, position) + len(sentence)
        assert words not in said
        assert part.headers["x-request-id"] in part.text
        assert "secret" not in part.text
        if status == 503:
            assert f"Try again in {part.headers['retry-after']} seconds." in part.text

    @pytest.mark.parametrize(("error", "status", "words"), OURS)
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
