"""Browsers over HTTP: the cookie, and who may make it work."""

import itertools
from datetime import timedelta

import pytest

from chitram.entrypoints.asgi import Server
from chitram.settings import AppSettings, LimitSettings, Settings
from tests.factories.accounts import (
    AUTH,
    OWN_PAGE,
    PASSWORD,
    USERS,
    Account,
    api_token,
    bearer,
    browser_signed_in,
    signed_in,
    signed_up,
)
from tests.factories.applications import house
from tests.integration.requests import IMAGES, UNKNOWN, UPLOAD, code, photo, post, uploaded

SESSION = f"{AUTH}/session"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ORIGIN = {"Origin": "http://testserver"}


@pytest.fixture
async def account(client) -> Account:
    return await signed_up(client)


@pytest.fixture
async def csrf(client, account) -> str:
    """The client is signed in with a cookie; the token of its session."""
    return await browser_signed_in(client, account)


def refused(answer, status, expected):
    assert (answer.status_code, code(answer)) == (status, expected), answer.text
    return True


def forgets(answer):
    return answer.headers.get("set-cookie", "").startswith("chitram_session=; Max-Age=0")


def login(account, **more):
    return {"email": account.email, "password": account.password} | more


class TestSigningIn:
    async def test_sets_a_cookie_that_scripts_do_not_see(self, client, account):
        answer = await client.post(SESSION, json=login(account), headers=OWN_PAGE)
        assert answer.status_code == 200
        assert set(answer.json()) == {"user", "csrf_token", "expires_at"}
        assert answer.json()["user"]["id"] == account.id
        assert answer.headers["cache-control"] == "no-store"
        name, _, rest = answer.headers["set-cookie"].partition("=")
        token, *attributes = rest.split("; ")
        assert name == "chitram_session"
        assert attributes == ["Max-Age=2592000", "Path=/", "HttpOnly", "SameSite=Lax"]
        assert token not in answer.text
        assert answer.json()["csrf_token"] not in answer.headers["set-cookie"]
        shown = await client.get(SESSION)
        assert shown.json() == answer.json()
        assert (await client.get(f"{AUTH}/me")).json()["id"] == account.id

    async def test_by_a_form(self, client, account):
        answer = await client.post(SESSION, data=login(account), headers=OWN_PAGE)
        assert answer.status_code == 200
        assert (await client.get(f"{AUTH}/me")).json()["id"] == account.id

    async def test_under_https_the_cookie_is_ours_alone(self, tmp_path):
        settings = Settings(
            app=AppSettings(env="test", data_dir=tmp_path, public_url="https://img.example.org"),
            limits=LimitSettings(enabled=False),
        )
        async with house(tmp_path, settings=settings) as home, home.client() as client:
            account = await signed_up(client)
            client.base_url = "https://testserver"
            answer = await client.post(SESSION, json=login(account), headers={"Origin": "https://img.example.org"})
            assert answer.headers["set-cookie"].startswith("__Host-chitram_session=")
            assert answer.headers["set-cookie"].endswith("; Path=/; HttpOnly; SameSite=Lax; Secure")
            assert (await client.get(f"{AUTH}/me")).status_code == 200

    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"Origin": "null"},
            {"Origin": "https://evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
            {"X-CSRF-Token": "x"},
            {"Sec-Fetch-Site": "same-origin", "X-CSRF-Token": "x"},
        ],
    )
    async def test_nobody_is_signed_in_by_strangers(self, client, account, fields):
        for body in ({"json": login(account)}, {"data": login(account)}):
            answer = await client.post(SESSION, headers=fields, **body)
            assert refused(answer, 403, "CSRF_REFUSED")
            assert "set-cookie" not in answer.headers

    @pytest.mark.parametrize("how", ["header", "field", "json"])
    async def test_whoever_was_signed_in_can_show_their_token(self, client, account, csrf, how):
        if how == "header":
            answer = await client.post(SESSION, json=login(account), headers={"X-CSRF-Token": csrf})
        elif how == "field":
            answer = await client.post(SESSION, data=login(account, csrf_token=csrf))
        else:
            answer = await client.post(SESSION, json=login(account, csrf_token=csrf))
        assert answer.status_code == 200
        assert answer.json()["csrf_token"] != csrf

    async def test_ends_the_session_before(self, client, account):
        await browser_signed_in(client, account)
        before = client.cookies["chitram_session"]
        await browser_signed_in(client, account)
        after = client.cookies["chitram_session"]
        assert before != after
        client.cookies.clear()
        answer = await client.get(f"{AUTH}/me", headers={"Cookie": f"chitram_session={before}"})
        assert refused(answer, 401, "UNAUTHORIZED")
        assert (await client.get(f"{AUTH}/me", headers={"Cookie": f"chitram_session={after}"})).status_code == 200

    async def test_a_stale_cookie_is_no_obstacle(self, client, account):
        client.cookies.set("chitram_session", "stale")
        answer = await client.post(SESSION, json=login(account), headers=OWN_PAGE)
        assert answer.status_code == 200
        fields = answer.headers.get_list("set-cookie")
        assert [field.startswith("chitram_session=;") for field in fields] == [True, False]
        wrong = await client.post(SESSION, json=login(account, password="x"), headers=OWN_PAGE)
        assert refused(wrong, 401, "INVALID_CREDENTIALS")

    async def test_a_programs_session_stays(self, client, account):
        headers = OWN_PAGE | account.bearer
        assert (await client.post(SESSION, json=login(account), headers=headers)).status_code == 200
        assert (await client.get(f"{AUTH}/me", headers=account.bearer)).status_code == 200


class TestSigningOut:
    @pytest.mark.parametrize(("method", "path"), [("DELETE", SESSION), ("POST", f"{AUTH}/logout")])
    async def test_ends_the_session_and_forgets_the_cookie(self, client, csrf, method, path):
        cookie = client.cookies["chitram_session"]
        answer = await client.request(method, path, headers={"X-CSRF-Token": csrf})
        assert (answer.status_code, forgets(answer)) == (204, True)
        assert not client.cookies
        answer = await client.get(f"{AUTH}/me", headers={"Cookie": f"chitram_session={cookie}"})
        assert refused(answer, 401, "UNAUTHORIZED")

    async def test_a_programs_session_ends_there_too(self, client, account):
        assert (await client.delete(SESSION, headers=account.bearer)).status_code == 204
        assert refused(await client.get(f"{AUTH}/me", headers=account.bearer), 401, "UNAUTHORIZED")

    async def test_with_the_account_the_cookie_goes(self, client, csrf):
        body = {"password": PASSWORD, "images": "delete"}
        answer = await client.request("DELETE", USERS, json=body, headers={"X-CSRF-Token": csrf})
        assert (answer.status_code, forgets(answer)) == (204, True)


#: How a browser says where a change comes from (site, mode, dest), and whether that is enough; None: a token decides.
SITES = {
    "": None,
    "same-origin": True,
    "none": True,
    "same-site": False,
    "same-site navigate document": False,
    "cross-site": False,
    "cross-site no-cors empty": False,
    "cross-site navigate document": False,
}
ORIGINS = {None: None, "http://testserver": True, "https://evil.example": False, "null": None}
TOKENS = {None: None, "right": True, "wrong": False}

#: Everything that changes something, from the API's own description: operation → method and path.
CHANGES = {
    operation["operationId"]: (method.upper(), path)
    for path, item in Server(Settings(app=AppSettings(env="test"))).api.openapi()["paths"].items()
    for method, operation in item.items()
    if method not in ("get", "head")
}
#: The cookie authorises nothing of these: they answer a token to whoever sends a password, and leave the browser alone.
BY_PASSWORD = {"register", "login", "token"}
#: Ids that have the form of one and name nothing: who gets beyond the check finds nothing to change.
MISSING = {"{image_id}": UNKNOWN, "{session_id}": "A" * 24, "{token_id}": UNKNOWN}
#: What it takes to get as far as the check and, when that passes, no further. The others refuse before they read.
BODIES = {
    "upload": {"files": {"file": ("a.jpg", b"no picture", "image/jpeg")}},
    "begin_session": {"json": {"email": "ada@example.org", "password": "wrong"}},
}


def said_by(site):
    names = ("Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest")
    return dict(zip(names, site.split(), strict=False))


class TestForgery:
    async def changes(self, client, account):
        """A change of each kind: method, address, and httpx's options; each can be made many times."""
        image = await uploaded(client, headers=account.bearer)
        secret = await api_token(client, account, "read")
        entry = (await client.get(f"{AUTH}/tokens", headers=account.bearer)).json()["items"][0]
        assert secret.startswith("chitram_")
        return [
            ("PATCH", f"{IMAGES}/{image['id']}", {"json": {"title": "x"}}),
            ("POST", f"{IMAGES}/{image['id']}/verify", {}),
            ("POST", UPLOAD, {"files": {"file": ("a.jpg", photo(), "image/jpeg")}}),
            ("DELETE", f"{AUTH}/sessions", {}),
            ("POST", f"{AUTH}/tokens", {"json": {"name": "x", "scopes": ["read"]}}),
            ("DELETE", f"{AUTH}/tokens/{entry['id']}", {}),
        ]

    @pytest.mark.parametrize("operation", sorted(CHANGES.keys() - BY_PASSWORD))
    async def test_every_way_to_ask_for_every_change(self, client, account, csrf, operation):
        method, path = CHANGES[operation]
        for parameter, missing in MISSING.items():
            path = path.replace(parameter, missing)
        assert "{" not in path
        for site, origin, shown in itertools.product(SITES, ORIGINS, TOKENS):
            if "chitram_session" not in client.cookies:  # the change before was to sign out
                csrf = await browser_signed_in(client, account)
            said = SITES[site] if site else ORIGINS[origin]
            passes = said is not False and TOKENS[shown] is not False and bool(said or TOKENS[shown])
            token = {"right": csrf, "wrong": "0" * 64}.get(shown)
            fields = said_by(site) | {"Origin": origin, "X-CSRF-Token": token}
            headers = {name: value for name, value in fields.items() if value is not None}
            answer = await client.request(method, path, headers=headers, **BODIES.get(operation, {}))
            if passes:
                assert answer.status_code == 204 or code(answer) not in ("CSRF_REFUSED", "UNAUTHORIZED"), headers
            else:
                assert (answer.status_code, code(answer)) == (403, "CSRF_REFUSED"), headers
                assert "set-cookie" not in answer.headers

    async def test_what_takes_a_password_leaves_the_browser_alone(self, client, account, csrf):
        assert CHANGES.keys() > BY_PASSWORD
        cookie = client.cookies["chitram_session"]
        hostile = said_by("cross-site no-cors empty") | {"Origin": "https://evil.example"}
        bodies = {
            "register": {"json": {"email": "eve@example.org", "password": PASSWORD}},
            "login": {"json": login(account)},
            "token": {"data": {"username": account.email, "password": PASSWORD}},
        }
        assert set(bodies) == BY_PASSWORD
        for operation, body in bodies.items():
            method, path = CHANGES[operation]
            answer = await client.request(method, path, headers=hostile, **body)
            assert answer.status_code in (200, 201), operation
            assert "set-cookie" not in answer.headers
        assert client.cookies["chitram_session"] == cookie
        assert (await client.get(f"{AUTH}/me")).json()["id"] == account.id

    async def test_a_change_asked_for_elsewhere_is_not_made_as_if_by_nobody(self, client, home, csrf):
        """Neither an upload without an owner, nor a deletion by a token that the other page may have."""
        async with home.client() as stranger:
            image = await uploaded(stranger)
        for site in ("same-site", "cross-site", "cross-site no-cors empty"):
            assert refused(await post(client, headers=said_by(site)), 403, "CSRF_REFUSED")
            headers = said_by(site) | {"X-Delete-Token": image["delete_token"]}
            assert refused(await client.delete(f"{IMAGES}/{image['id']}", headers=headers), 403, "CSRF_REFUSED")
        assert (await client.get(f"{IMAGES}/{image['id']}")).status_code == 200

    async def test_every_change_is_protected(self, client, account, csrf):
        for method, path, options in await self.changes(client, account):
            for headers in ({}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "same-site"}):
                assert refused(await client.request(method, path, headers=headers, **options), 403, "CSRF_REFUSED")
            answer = await client.request(method, path, headers={"X-CSRF-Token": csrf}, **options)
            assert answer.status_code < 300, (method, path, answer.text)

    async def test_forged_uploads_are_neither_read_nor_counted(self, tmp_path):
        """Or else another site could use an account's uploads up."""
        settings = Settings(app=AppSettings(env="test", data_dir=tmp_path), limits=LimitSettings(account_per_minute=2))
        async with house(tmp_path, settings=settings) as home, home.client() as client:
            csrf = await browser_signed_in(client, await signed_up(client))
            read = 0

            async def body():
                nonlocal read
                read += 1
                yield b"x"

            forged = [said_by(site) for site, said in SITES.items() if said is False]
            forged += [{"Origin": "https://evil.example"}, OWN_PAGE | {"X-CSRF-Token": "x"}]
            for headers in forged:
                sent = headers | {"Content-Type": "multipart/form-data; boundary=x", "Expect": "100-continue"}
                answer = await client.post(UPLOAD, content=body(), headers=sent)
                assert refused(answer, 403, "CSRF_REFUSED")
                assert "ratelimit" not in answer.headers
            assert read == 0
            answer = await post(client)  # says nothing, so that its form has to be read
            assert refused(answer, 403, "CSRF_REFUSED")
            assert answer.headers["ratelimit"].startswith('"upload-account";r=1;')
            assert (await post(client, fields={"csrf_token": csrf})).status_code == 201

    async def test_another_sessions_token_is_wrong(self, client, home, account, csrf):
        async with home.client() as other:
            foreign = await browser_signed_in(other, account)
        for token in (foreign, csrf.upper(), "", csrf + " x"):
            answer = await client.delete(f"{AUTH}/sessions", headers={"X-CSRF-Token": token} | OWN_PAGE)
            assert refused(answer, 403, "CSRF_REFUSED")

    async def test_an_upload_may_bring_the_token_in_its_form(self, client, csrf):
        image = await uploaded(client, fields={"csrf_token": csrf})
        assert image["delete_token"] is None
        for wrong in ({"csrf_token": "x"}, {"csrf_token": ""}):
            assert refused(await post(client, fields=wrong), 403, "CSRF_REFUSED")
            assert refused(await post(client, fields=wrong, headers=OWN_PAGE), 403, "CSRF_REFUSED")
        assert (await client.get("/health")).json()["upload_concurrency"] == "0/10 active"

    async def test_bearer_needs_none_of_it(self, client, account):
        hostile = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "X-CSRF-Token": "x"}
        for method, path, options in await self.changes(client, account):
            answer = await client.request(method, path, headers=hostile | account.bearer, **options)
            assert answer.status_code < 300, (method, path, answer.text)

    async def test_other_sites_show_nothing_private(self, client, account, csrf):
        image = await uploaded(client, fields={"visibility": "private", "csrf_token": csrf})
        sites = ("cross-site", "same-site")
        embedded = [f"{site} {how}" for site in sites for how in ("no-cors image", "cors empty", "navigate iframe")]
        for path in (image["url"], image["thumbnail_url"], f"{IMAGES}/{image['id']}"):
            assert (await client.get(path)).status_code == 200
            for site in sites:
                followed = said_by(f"{site} navigate document")
                assert (await client.get(path, headers=followed)).status_code == 200
            for how in embedded:
                answer = await client.get(path, headers=said_by(how))
                assert refused(answer, 404, "IMAGE_NOT_FOUND")
                assert "set-cookie" not in answer.headers

    async def test_other_sites_start_no_download_of_what_is_private(self, client, csrf):
        image = await uploaded(client, fields={"visibility": "private", "csrf_token": csrf})
        for path in (image["url"], image["thumbnail_url"]):
            for site, expected in (
                ("", "attachment"),
                ("none", "attachment"),
                ("cross-site navigate document", "inline"),
            ):
                answer = await client.get(path, params={"download": "1"}, headers=said_by(site))
                assert answer.headers["content-disposition"].partition(";")[0] == expected

    async def test_asking_changes_nothing(self, client, account, csrf):
        """No address can be followed that does something: GET is answered as if nothing but looking were possible."""
        image = await uploaded(client, fields={"csrf_token": csrf})
        paths = (f"{AUTH}/logout", f"{AUTH}/password", f"{AUTH}/register", f"{AUTH}/token", UPLOAD, USERS)
        for path in (*paths, f"{IMAGES}/{image['id']}/claim", f"{IMAGES}/{image['id']}/verify"):
            assert (await client.get(path)).status_code in (404, 405)
        override = {"X-HTTP-Method-Override": "DELETE"}
        assert (await client.get(f"{IMAGES}/{image['id']}", headers=override)).status_code == 200
        assert (await client.get(f"{IMAGES}/{image['id']}?_method=DELETE")).status_code == 200
        assert (await client.get(f"{AUTH}/me")).status_code == 200


class TestList:
    async def test_says_where_the_account_is_signed_in(self, client, home, account):
        home.clock.advance(timedelta(hours=1))
        async with home.client(address="198.51.100.9", headers={"User-Agent": "x" * 300}) as browser:
            await browser_signed_in(browser, account)
            answer = await browser.get(f"{AUTH}/sessions")
        assert answer.headers["cache-control"] == "no-store"
        newest, oldest = answer.json()["items"]
        assert {*newest} == {
            "id", "kind", "current", "created_at", "last_used_at", "expires_at", "address", "user_agent",
        }  # fmt: skip
        assert (newest["kind"], newest["current"], newest["address"]) == ("browser", True, "198.51.100.9")
        assert newest["user_agent"] == "x" * 200
        assert (oldest["kind"], oldest["current"], oldest["address"]) == ("bearer", False, "192.0.2.7")
        assert oldest["created_at"] < newest["created_at"] < newest["expires_at"]

    async def test_one_or_all_others_can_be_ended(self, client, home, account):
        home.clock.advance(timedelta(seconds=1))
        others = [await signed_in(client, account) for _ in range(3)]
        entries = (await client.get(f"{AUTH}/sessions", headers=others[0].bearer)).json()["items"]
        assert len(entries) == 4
        oldest = entries[-1]["id"]
        answer = await client.delete(f"{AUTH}/sessions/{oldest}", headers=others[0].bearer)
        assert answer.status_code == 204
        again = await client.delete(f"{AUTH}/sessions/{oldest}", headers=others[0].bearer)
        assert refused(again, 404, "SESSION_NOT_FOUND")
        assert refused(await client.get(f"{AUTH}/me", headers=account.bearer), 401, "UNAUTHORIZED")
        assert (await client.delete(f"{AUTH}/sessions", headers=others[0].bearer)).status_code == 204
        statuses = [(await client.get(f"{AUTH}/me", headers=other.bearer)).status_code for other in others]
        assert statuses == [200, 401, 401]

    async def test_the_present_one_too(self, client, account, csrf):
        current = next(e for e in (await client.get(f"{AUTH}/sessions")).json()["items"] if e["current"])
        answer = await client.delete(f"{AUTH}/sessions/{current['id']}", headers={"X-CSRF-Token": csrf})
        assert (answer.status_code, forgets(answer)) == (204, True)
        assert refused(await client.get(f"{AUTH}/me"), 401, "UNAUTHORIZED")

    async def test_other_accounts_have_their_own(self, client, account):
        bob = await signed_up(client, "bob")
        theirs = (await client.get(f"{AUTH}/sessions", headers=bob.bearer)).json()["items"]
        assert len(theirs) == 1
        answer = await client.delete(f"{AUTH}/sessions/{theirs[0]['id']}", headers=account.bearer)
        assert refused(answer, 404, "SESSION_NOT_FOUND")
        assert (await client.get(f"{AUTH}/me", headers=bob.bearer)).status_code == 200

    async def test_a_cookies_token_is_no_bearer_and_the_other_way_round(self, client, account, csrf):
        cookie = client.cookies["chitram_session"]
        client.cookies.clear()
        assert refused(await client.get(f"{AUTH}/me", headers=bearer(cookie)), 401, "UNAUTHORIZED")
        answer = await client.get(f"{AUTH}/me", headers={"Cookie": f"chitram_session={account.token}"})
        assert refused(answer, 401, "UNAUTHORIZED")
