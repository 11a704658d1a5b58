"""Getting an account, logging in, coming back to where one was, and logging out."""

from datetime import timedelta

import pytest

from chitram.settings import AccountSettings, LimitSettings
from tests.factories.accounts import OWN_PAGE, PASSWORD
from tests.integration.pages.browsing import HTMX, Page, service

NEW = {"email": "eve@example.org", "password": PASSWORD}


def cookies(answer):
    return [field.partition("=")[0] for field in answer.headers.get_list("set-cookie")]


class TestRegister:
    async def test_leads_to_the_first_page_logged_in(self, stranger):
        answer = await stranger.fill_in("/register", "/register", **NEW)
        assert (answer.headers["location"], cookies(answer)) == ("/", ["chitram_session"])
        assert NEW["email"] in (await stranger.open("/")).text

    async def test_leads_back(self, stranger):
        answer = await stranger.fill_in("/register?next=/upload", "/register", **NEW)
        assert answer.headers["location"] == "/upload"

    @pytest.mark.parametrize(
        ("changes", "status", "field"),
        [
            ({"email": "no address"}, 422, "email"),
            ({"email": "ada@example.org"}, 409, "email"),
            ({"email": "ADA@example.org"}, 409, "email"),
            ({"password": "short"}, 422, "password"),
            ({"password": "x" * 129}, 422, "password"),
        ],
    )
    async def test_what_is_wrong_stands_beside_its_field(self, stranger, ada, changes, status, field):
        answer = await stranger.fill_in("/register", "/register", status=status, **(NEW | changes))
        page = Page(answer)
        assert cookies(answer) == []
        assert page.by_id(field)["aria-invalid"] == "true"
        assert f"{field}-error" in page.by_id(field)["aria-describedby"].split()
        assert "field-error" in page.by_id(f"{field}-error")["class"]
        assert page.by_id("email")["value"] == changes.get("email", NEW["email"])
        assert "value" not in page.by_id("password")

    async def test_by_invitation(self, tmp_path):
        async with service(tmp_path, accounts=AccountSettings(registration="invite")) as (other, visitor):
            invite = await other.application.administration.invite(valid_for=timedelta(days=1))
            wrong = Page(await visitor.fill_in("/register", "/register", status=403, **NEW, invite="x"))
            assert wrong.by_id("invite")["aria-invalid"] == "true"
            page = await visitor.open("/register", params={"invite": invite})
            assert page.by_id("invite")["value"] == invite
            await visitor.send(page.form("/register"), **NEW)

    async def test_closed(self, tmp_path):
        async with service(tmp_path, accounts=AccountSettings(registration="closed")) as (_, visitor):
            page = await visitor.open("/register")
            assert "takes no new accounts" in page.text
            assert page.forms == []
            assert "/register" not in page.links
            answer = await visitor.client.post("/register", data=NEW, headers=OWN_PAGE)
            assert (answer.status_code, cookies(answer)) == (403, [])


class TestLogin:
    async def test_and_out_again(self, stranger, ada):
        login = {"email": ada.account.email, "password": PASSWORD}
        answer = await stranger.fill_in("/login", "/login", **login)
        assert (answer.headers["location"], cookies(answer)) == ("/", ["chitram_session"])
        assert answer.headers["cache-control"] == "no-store"
        answer = await stranger.fill_in("/", "/logout")
        assert (answer.headers["location"], answer.headers["cache-control"]) == ("/", "no-store")
        assert "chitram_session" not in stranger.client.cookies
        assert "/login" in (await stranger.open("/")).links

    @pytest.mark.parametrize(
        "changes", [{"password": "wrong"}, {"email": "nobody@example.org"}, {"email": "no address"}]
    )
    async def test_wrong_in_whichever_way_looks_the_same(self, stranger, ada, changes):
        login = {"email": ada.account.email, "password": PASSWORD} | changes
        answer = await stranger.fill_in("/login?next=/upload", "/login", status=401, **login)
        page = Page(answer)
        assert cookies(answer) == []
        assert page.by_id("form-error")["role"] == "alert"
        assert page.by_id("email")["value"] == login["email"]
        assert page.form("/login").filled({})["next"] == ["/upload"]
        expected = await stranger.fill_in("/login?next=/upload", "/login", status=401, email="x@y.org", password="x")
        assert answer.text.replace(login["email"], "x@y.org") == expected.text

    @pytest.mark.parametrize("path", ["/my-images?name=a&sort=oldest", "/account"])
    async def test_pages_of_members_ask_for_it_and_come_back(self, stranger, ada, path):
        answer = await stranger.client.get(path)
        assert answer.status_code == 303
        assert "expired" not in answer.headers["location"]
        page = await stranger.open(answer.headers["location"])
        answer = await stranger.send(page.form("/login"), email=ada.account.email, password=PASSWORD)
        assert answer.headers["location"] == path
        await stranger.open(path)

    @pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x"])
    async def test_nobody_is_led_to_other_sites(self, stranger, ada, target):
        login = {"email": ada.account.email, "password": PASSWORD, "next": target}
        assert (await stranger.fill_in("/login", "/login", **login)).headers["location"] == "/"
        for path in ("/login", "/register"):
            assert (await stranger.client.get(path, params={"next": target})).headers["location"] == "/"

    async def test_who_is_logged_in_goes_on(self, ada):
        for path in ("/login", "/register"):
            answer = await ada.client.get(f"{path}?next=/upload")
            assert (answer.status_code, answer.headers["location"]) == (303, "/upload")

    async def test_ends_the_session_that_the_browser_had(self, ada):
        before = ada.client.cookies["chitram_session"]
        login = {"email": ada.account.email, "password": PASSWORD}
        assert (await ada.client.post("/login", data=login, headers=OWN_PAGE)).status_code == 303
        page = await ada.open("/account")
        assert sum(form.action.endswith("/end") for form in page.forms) == 2, "the program's, and all others"
        ada.client.cookies.clear()
        answer = await ada.client.get("/account", headers={"Cookie": f"chitram_session={before}"})
        assert answer.status_code == 303

    async def test_too_often(self, tmp_path):
        async with service(tmp_path, limits=LimitSettings()) as (home, visitor):
            page = await visitor.open("/login")
            limit = home.application.settings.limits.auth_attempts
            for _ in range(limit):
                await visitor.send(page.form("/login"), status=401, email="x@y.org", password="x")
            answer = await visitor.send(page.form("/login"), status=429, email="x@y.org", password="x")
            assert int(answer.headers["retry-after"]) > 0
            assert Page(answer).by_id("form-error")["role"] == "alert"
            assert "There is a limit to how often this can be asked. Try again in 5 minutes." in Page(answer).text
            answer = await visitor.fill_in("/register", "/register", status=429, **NEW)
            assert int(answer.headers["retry-after"]) > 0


class TestStaleSessions:
    @pytest.fixture
    async def left(self, ada):
        """Whose session was ended elsewhere, with a page still open."""
        page = await ada.open("/account")
        cookie = ada.client.cookies["chitram_session"]
        await ada.client.post("/logout", data=page.form("/logout").filled({}))
        ada.client.cookies.set("chitram_session", cookie)
        return ada

    async def test_looking_is_a_strangers(self, left):
        page = await left.open("/")
        assert "/login" in page.links
        assert cookies(page.answer) == ["chitram_session"]

    @pytest.mark.parametrize(
        ("path", "back"),
        [
            ("/account/password", "/account"),
            ("/account/tokens", "/account"),
            ("/my-images", "/my-images"),
            ("/upload", "/upload"),
            ("/image/AAAAAAAAAAA", "/image/AAAAAAAAAAA"),
            ("/image/AAAAAAAAAAA/delete", "/image/AAAAAAAAAAA/delete"),
        ],
    )
    async def test_sending_leads_to_the_log_in_page_and_back(self, left, path, back):
        answer = await left.client.post(path, data={"a": "b"}, headers=OWN_PAGE)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/login?next={back}&expired=1")
        assert cookies(answer) == ["chitram_session"]
        assert "You were signed out" in (await left.open(answer.headers["location"])).text

    async def test_of_who_logs_out_is_no_obstacle(self, left):
        answer = await left.client.post("/logout", headers=OWN_PAGE)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")

    async def test_logging_out_without_a_body(self, ada):
        answer = await ada.client.post("/logout", headers=OWN_PAGE)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert "chitram_session" not in ada.client.cookies
        assert (await ada.client.post("/logout", content=b"x=1", headers=OWN_PAGE)).status_code == 400

    async def test_members_pages(self, left):
        answer = await left.client.get("/my-images")
        assert answer.headers["location"] == "/login?next=/my-images&expired=1"

    async def test_htmx_is_told_where_to_go(self, left):
        answer = await left.client.post("/image/AAAAAAAAAAA", headers=OWN_PAGE | HTMX)
        assert (answer.status_code, answer.text) == (204, "")
        assert answer.headers["hx-redirect"] == "/login?next=/image/AAAAAAAAAAA&expired=1"
