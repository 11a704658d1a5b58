"""Accounts over HTTP: getting one, tokens, the password, giving it up."""

import re
from datetime import timedelta
from pathlib import Path

import jwt
import pytest

from chitram.settings import AccountSettings, AppSettings, LimitSettings, Settings
from tests.factories.accounts import AUTH, PASSWORD, USERS, api_token, bearer, browser_signed_in, signed_in, signed_up
from tests.factories.applications import house
from tests.integration.requests import IMAGES, code, uploaded
from tests.integration.standing import EMBEDDED

CREDENTIALS = {"email": "ada@example.org", "password": PASSWORD}
FORM = {"username": "ada@example.org", "password": PASSWORD}
ENTRIES = ("register", "login", "session", "token")


def refused(answer, status, expected):
    assert (answer.status_code, code(answer)) == (status, expected), answer.text
    assert ("www-authenticate" in answer.headers) is (status == 401)
    return True


def fields(answer):
    return [problem["field"] for problem in answer.json()["detail"]["details"]["errors"]]


async def enter(client, entry, email, password, **options):
    if entry == "token":
        return await client.post(f"{AUTH}/token", data={"username": email, "password": password}, **options)
    options["headers"] = {"Sec-Fetch-Site": "none"} | options.get("headers", {})
    return await client.post(f"{AUTH}/{entry}", json={"email": email, "password": password}, **options)


class TestRegister:
    async def test_answers_the_account_and_a_token(self, client):
        answer = await client.post(f"{AUTH}/register", json=CREDENTIALS)
        assert answer.status_code == 201
        assert answer.headers["cache-control"] == "no-store"
        assert "set-cookie" not in answer.headers
        body = answer.json()
        assert set(body) == {"user", "access_token", "token_type"}
        assert set(body["user"]) == {"id", "email", "is_active", "created_at"}
        assert re.fullmatch(r"[0-9A-Za-z]{11}", body["user"]["id"])
        assert (body["user"]["email"], body["user"]["is_active"]) == ("ada@example.org", True)
        assert body["token_type"] == "bearer"
        claims = jwt.decode(body["access_token"], options={"verify_signature": False})
        assert set(claims) == {"sub", "iat", "exp", "jti"}
        assert (claims["sub"], claims["exp"] - claims["iat"]) == (body["user"]["id"], 86400)

    @pytest.mark.parametrize("email", ["ada@example.org", "ADA@EXAMPLE.ORG", " Ada@example.org ", "ａda@example.org"])
    async def test_an_email_has_one_account(self, client, email):
        await signed_up(client)
        assert refused(await enter(client, "register", email, "another password"), 409, "EMAIL_EXISTS")
        assert refused(await enter(client, "login", "ada@example.org", "another password"), 401, "INVALID_CREDENTIALS")

    @pytest.mark.parametrize("email", ["", "ada", "ada@", "a b@example.org", "x@" + "y" * 300, None, 5, ["a@b.c"], {}])
    async def test_what_is_no_email(self, client, email):
        answer = await client.post(f"{AUTH}/register", json=CREDENTIALS | {"email": email})
        assert refused(answer, 422, "VALIDATION_ERROR")
        assert fields(answer) == ["email"]

    @pytest.mark.parametrize("password", ["", "1234567", "x" * 129, None, 12345678, ["x" * 8]])
    async def test_what_is_no_password(self, client, password):
        answer = await client.post(f"{AUTH}/register", json=CREDENTIALS | {"password": password})
        assert refused(answer, 422, "VALIDATION_ERROR")
        assert fields(answer) == ["password"]
        assert not password or str(password) not in answer.text

    async def test_every_character_of_a_password_counts(self, client):
        long = "é" * 127
        account = await signed_up(client, password=long + "x")
        assert refused(await enter(client, "login", account.email, long + "y"), 401, "INVALID_CREDENTIALS")
        assert (await enter(client, "login", account.email, long + "x")).status_code == 200

    async def test_what_nobody_may_set_is_ignored(self, client, home):
        more = {"id": "AAAAAAAAAAA", "role": "admin", "is_admin": True, "is_active": False, "quota_bytes": 0,
                "used_bytes": -1, "password_hash": "x", "created_at": "2001-01-01T00:00:00Z"}  # fmt: skip
        answer = await client.post(f"{AUTH}/register", json=CREDENTIALS | more)
        body = answer.json()
        assert body["user"]["id"] != "AAAAAAAAAAA"
        assert body["user"]["is_active"] is True
        assert not body["user"]["created_at"].startswith("2001")
        image = await uploaded(client)
        answer = await client.delete(f"{IMAGES}/{image['id']}", headers=bearer(body["access_token"]))
        assert answer.status_code == 403

    async def test_closed(self, tmp_path):
        settings = limitless(tmp_path, registration="closed")
        async with house(tmp_path, settings=settings) as home, home.client() as client:
            assert refused(await client.post(f"{AUTH}/register", json=CREDENTIALS), 403, "REGISTRATION_CLOSED")
            await home.application.administration.create("ada@example.org", password=PASSWORD)
            assert (await client.post(f"{AUTH}/login", json=CREDENTIALS)).status_code == 200

    async def test_by_invitation(self, tmp_path):
        settings = limitless(tmp_path, registration="invite")
        async with house(tmp_path, settings=settings) as home, home.client() as client:
            invite = await home.application.administration.invite(valid_for=timedelta(days=1))
            old = await home.application.administration.invite(valid_for=timedelta(seconds=1))
            home.clock.advance(timedelta(minutes=1))
            for wrong in ({}, {"invite": None}, {"invite": ""}, {"invite": "x"}, {"invite": old}):
                assert refused(await client.post(f"{AUTH}/register", json=CREDENTIALS | wrong), 403, "INVALID_INVITE")
            answer = await client.post(f"{AUTH}/register", json=CREDENTIALS | {"invite": invite})
            assert answer.status_code == 201
            again = CREDENTIALS | {"email": "bob@example.org", "invite": invite}
            assert refused(await client.post(f"{AUTH}/register", json=again), 403, "INVALID_INVITE")


class TestEntering:
    async def test_login_and_token(self, client):
        account = await signed_up(client)
        answer = await client.post(f"{AUTH}/login", json=CREDENTIALS | {"email": "ADA@Example.org"})
        assert answer.status_code == 200
        assert set(answer.json()) == {"user", "access_token", "token_type"}
        form = await client.post(f"{AUTH}/token", data=FORM)
        assert form.status_code == 200
        assert set(form.json()) == {"access_token", "token_type"}
        for token in (answer.json()["access_token"], form.json()["access_token"]):
            me = await client.get(f"{AUTH}/me", headers=bearer(token))
            assert (me.status_code, me.json()["id"]) == (200, account.id)
            assert me.headers["cache-control"] == "no-store"

    async def test_swagger_uis_form(self, client):
        await signed_up(client)
        more = {"grant_type": "password", "scope": "", "client_id": "", "client_secret": ""}
        answer = await client.post(f"{AUTH}/token", data=FORM | more, headers={"Authorization": "Basic Og=="})
        assert answer.status_code == 200
        document = (await client.get("/openapi.json")).json()
        flow = document["components"]["securitySchemes"]["password"]["flows"]["password"]
        assert flow["tokenUrl"] == f"{AUTH}/token"
        answer = await client.post(f"{AUTH}/token", data=FORM | {"grant_type": "client_credentials"})
        assert refused(answer, 422, "VALIDATION_ERROR")

    @pytest.mark.parametrize("entry", ["login", "session", "token"])
    async def test_wrong_passwords_and_unknown_emails_look_the_same(self, client, entry):
        await signed_up(client)
        wrong = await enter(client, entry, "ada@example.org", "not the password")
        unknown = await enter(client, entry, "bob@example.org", "not the password")
        strange = await enter(client, entry, "no e-mail", "")
        for answer in (wrong, unknown, strange):
            assert refused(answer, 401, "INVALID_CREDENTIALS")
            assert answer.content == wrong.content
            assert {*answer.headers} == {*wrong.headers}

    @pytest.mark.parametrize("entry", ENTRIES)
    async def test_a_bad_bearer_is_refused_here_too(self, client, entry):
        answer = await enter(client, entry, "ada@example.org", PASSWORD, headers=bearer("x"))
        assert refused(answer, 401, "UNAUTHORIZED")

    @pytest.mark.parametrize("entry", ["register", "login", "session"])
    @pytest.mark.parametrize(
        ("body", "status", "expected"),
        [
            (b"", 400, "INVALID_REQUEST"),
            (b"{", 400, "INVALID_REQUEST"),
            (b"[]", 400, "INVALID_REQUEST"),
            (b"\xff", 400, "INVALID_REQUEST"),
            (b'{"email": NaN}', 400, "INVALID_REQUEST"),
            (b'{"email": 1e999}', 400, "INVALID_REQUEST"),
            (b'{"a": ' + b"[" * 9000 + b"]" * 9000 + b"}", 400, "INVALID_REQUEST"),
            (b'{"email": "a@b.c", "email": "a@b.c", "password": "12345678"}', 422, "VALIDATION_ERROR"),
            (rb'{"email": "a\u0000@b.c", "password": "12345678"}', 422, "VALIDATION_ERROR"),
            (rb'{"email": "a@b.c", "password": "\ud800aaaaaaa"}', 422, "VALIDATION_ERROR"),
            (b"{}", 422, "VALIDATION_ERROR"),
            (b'{"a": "' + b"x" * 70_000 + b'"}', 413, "FILE_TOO_LARGE"),
        ],
    )
    async def test_oddities(self, client, entry, body, status, expected):
        headers = {"Content-Type": "application/json", "Sec-Fetch-Site": "same-origin"}
        answer = await client.post(f"{AUTH}/{entry}", content=body, headers=headers)
        assert refused(answer, status, expected)

    async def test_other_types(self, client):
        body = '{"email": "ada@example.org", "password": "12345678"}'
        for declared in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            answer = await client.post(f"{AUTH}/login", content=body, headers={"Content-Type": declared})
            assert refused(answer, 400, "INVALID_REQUEST")
        assert refused(await client.post(f"{AUTH}/token", json=FORM), 400, "INVALID_REQUEST")
        answer = await client.post(f"{AUTH}/token", content="username=a&username=b&password=c",
                                   headers={"Content-Type": "application/x-www-form-urlencoded"})  # fmt: skip
        assert refused(answer, 422, "VALIDATION_ERROR")


class TestBearer:
    async def test_ends_with_logout(self, client):
        account = await signed_up(client)
        other = await signed_in(client, account)
        answer = await client.post(f"{AUTH}/logout", headers=account.bearer)
        assert (answer.status_code, answer.content) == (204, b"")
        assert "set-cookie" not in answer.headers
        assert refused(await client.get(f"{AUTH}/me", headers=account.bearer), 401, "UNAUTHORIZED")
        assert refused(await client.post(f"{AUTH}/logout", headers=account.bearer), 401, "UNAUTHORIZED")
        assert (await client.get(f"{AUTH}/me", headers=other.bearer)).status_code == 200

    async def test_expires(self, client, home):
        account = await signed_up(client)
        image = await uploaded(client, headers=account.bearer)
        home.clock.advance(timedelta(hours=24, seconds=1))
        for path in (f"{AUTH}/me", IMAGES, f"{IMAGES}/{image['id']}", f"{IMAGES}/{image['id']}/file", f"{USERS}/usage"):
            assert refused(await client.get(path, headers=account.bearer), 401, "TOKEN_EXPIRED")

    async def test_of_an_account_that_was_closed(self, client, home):
        account = await signed_up(client)
        await home.application.administration.set_active(account.email, active=False)
        assert refused(await client.get(f"{AUTH}/me", headers=account.bearer), 401, "UNAUTHORIZED")
        assert refused(await client.post(f"{AUTH}/login", json=CREDENTIALS), 401, "INVALID_CREDENTIALS")

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", f"{AUTH}/me"), ("POST", f"{AUTH}/logout"), ("POST", f"{AUTH}/password"), ("GET", f"{AUTH}/session"),
            ("DELETE", f"{AUTH}/session"), ("GET", f"{AUTH}/sessions"), ("DELETE", f"{AUTH}/sessions"),
            ("DELETE", f"{AUTH}/sessions/x"), ("GET", f"{AUTH}/tokens"), ("POST", f"{AUTH}/tokens"),
            ("DELETE", f"{AUTH}/tokens"), ("DELETE", f"{AUTH}/tokens/x"), ("DELETE", USERS), ("GET", f"{USERS}/images"),
            ("GET", f"{USERS}/usage"), ("POST", f"{IMAGES}/AAAAAAAAAAA/claim"),
        ],
    )  # fmt: skip
    async def test_is_needed_where_an_account_is(self, client, method, path):
        answer = await client.request(method, path)
        assert refused(answer, 401, "UNAUTHORIZED")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert refused(await client.request(method, path, headers=bearer("x")), 401, "UNAUTHORIZED")
        assert refused(await client.request(method, path, headers={"X-Delete-Token": "x"}), 401, "UNAUTHORIZED")

    async def test_is_never_taken_from_the_address_or_a_form(self, client):
        account = await signed_up(client)
        assert refused(await client.get(f"{AUTH}/me?access_token={account.token}"), 401, "UNAUTHORIZED")


class TestPassword:
    async def test_changing_it_ends_everything(self, client):
        account = await signed_up(client)
        other, secret = await signed_in(client, account), await api_token(client, account, "read")
        body = {"current_password": PASSWORD, "new_password": "another password"}
        answer = await client.post(f"{AUTH}/password", json=body, headers=account.bearer)
        assert (answer.status_code, answer.content) == (204, b"")
        for token in (account.token, other.token, secret):
            assert refused(await client.get(f"{AUTH}/me", headers=bearer(token)), 401, "UNAUTHORIZED")
        assert refused(await client.post(f"{AUTH}/login", json=CREDENTIALS), 401, "INVALID_CREDENTIALS")
        assert (await enter(client, "login", account.email, "another password")).status_code == 200

    async def test_api_tokens_may_be_kept(self, client):
        account = await signed_up(client)
        secret = await api_token(client, account, "read")
        body = {"current_password": PASSWORD, "new_password": "another password", "keep_api_tokens": True}
        assert (await client.post(f"{AUTH}/password", json=body, headers=account.bearer)).status_code == 204
        assert (await client.get(f"{AUTH}/me", headers=bearer(secret))).status_code == 200

    async def test_takes_the_present_one(self, client):
        account = await signed_up(client)
        body = {"current_password": "not the password", "new_password": "another password"}
        answer = await client.post(f"{AUTH}/password", json=body, headers=account.bearer)
        assert refused(answer, 401, "INVALID_CREDENTIALS")
        short = {"current_password": PASSWORD, "new_password": "1234567"}
        assert refused(
            await client.post(f"{AUTH}/password", json=short, headers=account.bearer), 422, "VALIDATION_ERROR"
        )
        assert (await client.post(f"{AUTH}/login", json=CREDENTIALS)).status_code == 200

    async def test_known_ones_are_refused_where_there_is_a_list(self, tmp_path):
        blocklist = tmp_path / "known.txt"
        blocklist.write_text("password123\n")
        settings = limitless(tmp_path, password_blocklist=blocklist)
        async with house(tmp_path, settings=settings) as home, home.client() as client:
            answer = await enter(client, "register", "ada@example.org", "password123")
            assert refused(answer, 422, "VALIDATION_ERROR")
            assert fields(answer) == ["password"]

    async def test_a_cookie_goes_with_it(self, client):
        account = await signed_up(client)
        csrf = await browser_signed_in(client, account)
        body = {"current_password": PASSWORD, "new_password": "another password"}
        answer = await client.post(f"{AUTH}/password", json=body, headers={"X-CSRF-Token": csrf})
        assert answer.status_code == 204
        assert answer.headers["set-cookie"].startswith("chitram_session=; Max-Age=0")
        assert not client.cookies


class TestGivingUp:
    async def images(self, client, account):
        return [
            await uploaded(client, headers=account.bearer, fields={"visibility": visibility})
            for visibility in ("public", "unlisted", "private")
        ]

    async def give_up(self, client, account, **body):
        return await client.request(
            "DELETE", USERS, json={"password": PASSWORD, "images": "delete"} | body, headers=account.bearer
        )

    @pytest.mark.parametrize(("choice", "left"), [("delete", [404] * 3), ("keep", [200, 200, 404])])
    async def test_with_or_without_the_images(self, client, choice, left):
        account = await signed_up(client)
        secret, images = await api_token(client, account, "read"), await self.images(client, account)
        answer = await self.give_up(client, account, images=choice)
        assert (answer.status_code, answer.content) == (204, b"")
        for token in (account.token, secret):
            assert refused(await client.get(f"{AUTH}/me", headers=bearer(token)), 401, "UNAUTHORIZED")
        for image, status in zip(images, left, strict=True):
            for path in (f"{IMAGES}/{image['id']}", image["url"], image["thumbnail_url"]):
                assert (await client.get(path)).status_code == status
        again = await signed_up(client)
        assert again.id != account.id
        assert (await client.get(f"{USERS}/images", headers=again.bearer)).json()["items"] == []
        if choice == "keep":
            refusal = await client.delete(f"{IMAGES}/{images[0]['id']}", headers=again.bearer)
            assert refused(refusal, 403, "FORBIDDEN")

    async def test_takes_the_password_and_a_choice(self, client):
        account = await signed_up(client)
        assert refused(await self.give_up(client, account, password="wrong"), 401, "INVALID_CREDENTIALS")
        for wrong in ("", "all", None):
            assert refused(await self.give_up(client, account, images=wrong), 422, "VALIDATION_ERROR")
        assert refused(await client.delete(USERS, headers=account.bearer), 400, "INVALID_REQUEST")
        assert (await client.get(f"{AUTH}/me", headers=account.bearer)).status_code == 200


class TestAttempts:
    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        return Settings(app=AppSettings(env="test", data_dir=tmp_path), limits=LimitSettings(auth_attempts=4))

    @pytest.mark.parametrize("entry", ENTRIES)
    @EMBEDDED  # time passes there as a test says, and in Redis by itself
    async def test_an_address_has_so_many(self, client, home, entry):
        statuses = [(await enter(client, entry, f"u{n}@example.org", "not the password")).status_code for n in range(5)]
        assert statuses == [201 if entry == "register" else 401] * 4 + [429]
        answer = await enter(client, entry, "u9@example.org", "not the password")
        assert refused(answer, 429, "RATE_LIMIT_EXCEEDED")
        assert {"retry-after", "ratelimit", "ratelimit-policy"} <= set(answer.headers)
        assert int(answer.headers["retry-after"]) > 0
        async with home.client(address="198.51.100.9") as other:
            assert (await enter(other, "login", "u1@example.org", "no")).status_code == 401
        home.clock.advance(timedelta(seconds=301))
        assert (await enter(client, "login", "u1@example.org", "no")).status_code == 401

    async def test_an_account_has_so_many(self, client, home):
        account = await signed_up(client)
        for number in range(5):
            async with home.client(address=f"198.51.100.{number}") as other:
                answer = await enter(other, "login", "ADA@example.org", "not the password")
        assert refused(answer, 429, "RATE_LIMIT_EXCEEDED")
        # Where its owner was signed in before, strangers do not lock them out.
        assert (await enter(client, "login", account.email, PASSWORD)).status_code == 200

    async def test_what_is_left_is_said(self, client):
        answer = await enter(client, "login", "ada@example.org", "not the password")
        assert answer.headers["ratelimit-policy"] == '"auth";q=4;w=300'
        assert answer.headers["ratelimit"].startswith('"auth";r=3;t=')

    @pytest.mark.parametrize("path", [f"{AUTH}/password", USERS])
    async def test_guessing_with_a_stolen_token_is_counted_by_account(self, client, home, path):
        account = await signed_up(client)
        method, body = ("POST", {"current_password": "x", "new_password": "12345678"})
        if path == USERS:
            method, body = ("DELETE", {"password": "x", "images": "keep"})
        statuses = []
        for number in range(5):
            async with home.client(address=f"198.51.100.{number}") as thief:
                statuses.append((await thief.request(method, path, json=body, headers=account.bearer)).status_code)
        assert statuses == [401] * 4 + [429]
        assert (await enter(client, "login", account.email, PASSWORD)).status_code == 200

    async def test_strangers_do_not_keep_who_is_signed_in_from_their_password(self, client, home):
        account = await signed_up(client)
        for number in range(5):
            async with home.client(address=f"198.51.100.{number}") as other:
                await enter(other, "login", account.email, "not the password")
        body = {"current_password": PASSWORD, "new_password": "another password"}
        async with home.client(address="203.0.113.1") as elsewhere:
            assert (await enter(elsewhere, "login", account.email, PASSWORD)).status_code == 429
            answer = await elsewhere.post(f"{AUTH}/password", json=body, headers=account.bearer)
            assert (answer.status_code, answer.headers["ratelimit-policy"]) == (204, '"auth";q=4;w=300')


def limitless(tmp_path, **accounts):
    return Settings(
        app=AppSettings(env="test", data_dir=tmp_path),
        limits=LimitSettings(enabled=False),
        accounts=AccountSettings(**accounts),
    )
