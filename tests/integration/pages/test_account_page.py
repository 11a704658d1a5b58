"""The account's page: sessions, API tokens, the password, and giving it all up."""

import json
from datetime import timedelta
from urllib.parse import unquote

import httpx
import pytest

from chitram.settings import AccountSettings, LimitSettings
from tests.factories.accounts import (
    AUTH,
    OWN_PAGE,
    PASSWORD,
    USERS,
    api_token,
    bearer,
    browser_signed_in,
    signed_in,
    signed_up,
)
from tests.integration.pages.browsing import Browser, Page, service
from tests.integration.requests import UNKNOWN, photo, uploaded


async def bearer_status(browser, secret):
    return (await browser.client.get(f"{AUTH}/me", headers=bearer(secret))).status_code


def endings(page):
    return [form.action for form in page.forms if form.action.startswith("/account/sessions/")]


class TestSessions:
    async def test_are_listed_and_ended_one_by_one(self, ada):
        again = await signed_in(ada.client, ada.account)
        page = await ada.open("/account", headers={"User-Agent": "x"})
        assert "this browser" in page.text
        actions = endings(page)
        assert actions.pop() == "/account/sessions/end"
        assert len(actions) == 2, "those of programs, this browser's own has no button"
        for action in actions:
            assert (await ada.fill_in("/account", action)).headers["location"] == "/account?done=ended"
        assert await bearer_status(ada, again.token) == await bearer_status(ada, ada.account.token) == 401
        page = await ada.open("/account?done=ended")
        assert "Logged out there." in page.text
        assert endings(page) == []

    async def test_all_others_at_once(self, ada):
        await ada.fill_in("/account", "/account/sessions/end")
        assert await bearer_status(ada, ada.account.token) == 401
        await ada.open("/account")

    async def test_nobody_elses(self, ada, bob):
        theirs = endings(await ada.open("/account"))[0]
        token = (await bob.open("/account")).form("/account/password").filled({})["csrf_token"]
        answer = await bob.client.post(theirs, data={"csrf_token": token})
        assert answer.status_code == 404
        assert await bearer_status(ada, ada.account.token) == 200

    async def test_what_was_done_is_none_of_the_addresses(self, ada):
        assert "role" not in {name for tag, names in (await ada.open("/account?done=x")).structure for name in names
                              if tag == "p"}  # fmt: skip


class TestTokens:
    async def make(self, ada, **changes):
        form = {"name": "my laptop", "scopes": ["upload"], "days": ""} | changes
        return Page(await ada.fill_in("/account", "/account/tokens", status=200, **form))

    async def test_made_shown_once_used_and_revoked(self, ada):
        page = await self.make(ada, scopes=["upload", "read"])
        secret = page.by_id("new-token-field")["value"]
        assert secret.startswith("chitram_")
        assert page.answer.headers["cache-control"] == "private, no-store"
        assert await bearer_status(ada, secret) == 200
        page = await ada.open("/account")
        assert secret not in page.answer.text
        assert "my laptop" in page.text
        assert "read, upload · does not expire · never used" in page.text
        (revoke,) = [form for form in page.forms if form.action.endswith("/revoke")]
        assert (await ada.send(revoke)).headers["location"] == "/account?done=revoked"
        assert await bearer_status(ada, secret) == 401
        assert "The token has been revoked." in (await ada.open("/account?done=revoked")).text
        await ada.send(revoke, status=404)

    async def test_what_sharex_and_a_shell_need(self, ada, stranger):
        page = await self.make(ada)
        secret = page.by_id("new-token-field")["value"]
        curl = page.by_id("curl-field")["value"]
        assert secret in curl
        assert curl.endswith("http://testserver/api/v1/images/upload")
        (link,) = [found for found in page.all("a") if found.get("download") == "chitram.sxcu"]
        kind, _, data = link["href"].partition(",")
        assert kind == "data:application/json;charset=utf-8"
        config = json.loads(unquote(data))
        assert (config["Body"], config["DestinationType"]) == ("MultipartFormData", "ImageUploader")
        answer = await stranger.client.request(
            config["RequestMethod"],
            config["RequestURL"],
            headers=config["Headers"],
            files={config["FileFormName"]: ("shot.png", photo(), "image/png")},
        )
        assert answer.status_code == 201
        assert answer.json()["delete_token"] is None
        assert (await stranger.client.get(answer.json()["thumbnail_url"])).status_code == 200
        assert (config["URL"], config["ThumbnailURL"]) == ("{json:url}", "{json:thumbnail_url}")

    async def test_one_that_may_not_upload_needs_neither(self, ada):
        page = await self.make(ada, scopes=["read"])
        assert page.has("new-token-field")
        assert not page.has("curl-field")

    async def test_until_when(self, ada, home):
        page = await self.make(ada, scopes=["read"], days="7")
        secret = page.by_id("new-token-field")["value"]
        assert " · until " in page.text
        home.clock.advance(timedelta(days=6, hours=23))
        assert await bearer_status(ada, secret) == 200
        home.clock.advance(timedelta(hours=2))
        assert await bearer_status(ada, secret) == 401

    @pytest.mark.parametrize(
        ("changes", "identity"),
        [
            ({"name": " "}, "token-name-error"),
            ({"name": "x" * 101}, "token-name-error"),
            ({"name": "a\tb"}, "token-name-error"),
            ({"scopes": None}, "scopes-error"),
            ({"scopes": ["everything"]}, "scopes-error"),
            ({"days": "1"}, "scopes-error"),
        ],
    )
    async def test_what_is_wrong_stands_beside_its_field(self, ada, changes, identity):
        form = {"name": "my laptop", "scopes": ["upload"], "days": "30"} | changes
        page = Page(await ada.fill_in("/account", "/account/tokens", status=422, **form))
        assert page.has(identity)
        assert not page.has("new-token-field")
        assert page.by_id("token-name")["value"] == form["name"].strip()

    async def test_do_not_open_this_page(self, stranger, ada):
        every = bearer(await api_token(ada.client, ada.account, "upload", "read", "delete"))
        answer = await stranger.client.get("/account", headers=every)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/account")
        for path in ("/account/sessions/end", f"/account/tokens/{UNKNOWN}/revoke", "/account/tokens"):
            answer = await stranger.client.post(path, data={"a": "b"}, headers=every)
            assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/account")


class TestPassword:
    NEW = "another horse battery"

    async def test_is_changed_and_logs_out_everywhere(self, ada):
        secret = await api_token(ada.client, ada.account, "read")
        changes = {"current_password": PASSWORD, "new_password": self.NEW}
        answer = await ada.fill_in("/account", "/account/password", **changes)
        assert answer.headers["location"] == "/login?changed=1"
        assert "chitram_session" not in ada.client.cookies
        assert await bearer_status(ada, secret) == await bearer_status(ada, ada.account.token) == 401
        page = await ada.open("/login?changed=1")
        assert "The password has been changed." in page.text
        await ada.send(page.form("/login"), status=401, email=ada.account.email, password=PASSWORD)
        await ada.send(page.form("/login"), email=ada.account.email, password=self.NEW)

    async def test_tokens_may_be_kept(self, ada):
        secret = await api_token(ada.client, ada.account, "read")
        changes = {"current_password": PASSWORD, "new_password": self.NEW, "keep_api_tokens": "yes"}
        await ada.fill_in("/account", "/account/password", **changes)
        assert await bearer_status(ada, secret) == 200

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"current_password": "wrong"}, "current"),
            ({"new_password": "short"}, "new"),
            ({"new_password": None}, "new"),
        ],
    )
    async def test_what_is_wrong_stands_beside_its_field(self, ada, changes, field):
        form = {"current_password": PASSWORD, "new_password": self.NEW} | changes
        page = Page(await ada.fill_in("/account", "/account/password", status=422, **form))
        assert page.by_id(f"{field}-password")["aria-invalid"] == "true"
        assert page.has(f"{field}-error")
        await ada.open("/account")


class TestGivingUp:
    @pytest.mark.parametrize(("images", "left"), [("delete", [404, 404]), ("keep", [200, 404])])
    async def test_deletes_or_leaves(self, ada, stranger, images, left):
        made = [
            await uploaded(ada.client, headers=ada.account.bearer, fields={"visibility": visibility})
            for visibility in ("public", "private")
        ]
        answer = await ada.fill_in("/account", "/account/delete", images=images, password=PASSWORD)
        assert answer.headers["location"] == "/?left=1"
        assert "chitram_session" not in ada.client.cookies
        assert [(await stranger.client.get(f"/image/{each['id']}")).status_code for each in made] == left
        await ada.fill_in("/login", "/login", status=401, email=ada.account.email, password=PASSWORD)

    async def test_by_whoever_knows_the_password(self, ada):
        answer = await ada.fill_in("/account", "/account/delete", status=422, password="wrong")
        assert Page(answer).by_id("leave-password")["aria-invalid"] == "true"
        await ada.open("/account")

    @pytest.mark.parametrize("images", [None, "some"])
    async def test_has_to_say_what_becomes_of_the_images(self, ada, images):
        await ada.fill_in("/account", "/account/delete", status=422, images=images, password=PASSWORD)
        await ada.open("/account")


class TestUsage:
    async def test_without_a_limit(self, ada):
        await uploaded(ada.client, headers=ada.account.bearer)
        page = await ada.open("/account")
        assert "1 kB in 1 file" in page.text or "2 kB in 1 file" in page.text
        assert page.all("meter") == []

    async def test_of_a_quota(self, tmp_path):
        async with service(tmp_path, accounts=AccountSettings(quota_mb=1)) as (_, visitor):
            ada = Browser(visitor.client, await signed_up(visitor.client))
            await browser_signed_in(ada.client, ada.account)
            await uploaded(ada.client, headers=ada.account.bearer)
            used = (await ada.client.get(f"{USERS}/usage", headers=ada.account.bearer)).json()
            (meter,) = (await ada.open("/account")).all("meter")
            assert (meter["max"], meter["high"], meter["value"]) == ("1048576", "943718", str(used["used"]["bytes"]))


async def test_guesses_are_counted(tmp_path):
    async with service(tmp_path, limits=LimitSettings()) as (home, visitor):
        ada = Browser(visitor.client, await signed_up(visitor.client))
        await browser_signed_in(ada.client, ada.account)
        form = (await ada.open("/account")).form("/account/delete")
        statuses = []
        while 429 not in statuses and len(statuses) <= home.application.settings.limits.auth_attempts:
            answer: httpx.Response = await ada.client.post(form.action, data=form.filled({"password": "x"}))
            statuses.append(answer.status_code)
        page = Page(answer)
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 0
        assert page.links.count("/account") == 3, "the menus, and to try again: nothing can be looked at there"
        assert ada.account.email in page.text
        assert (await ada.client.post(form.action, headers=OWN_PAGE)).status_code == 422, "a form without fields"
