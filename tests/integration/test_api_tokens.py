"""API tokens over HTTP: making them, what each scope opens, and their end."""

import re
from datetime import timedelta

import pytest

from tests.factories.accounts import AUTH, USERS, api_token, bearer, signed_up
from tests.integration.requests import IMAGES, UNKNOWN, code, post, uploaded

TOKENS = f"{AUTH}/tokens"
SCOPES = ("upload", "read", "delete")


def refused(answer, status, expected):
    assert (answer.status_code, code(answer)) == (status, expected), answer.text
    return True


class TestMaking:
    async def test_shows_the_secret_once(self, client, home):
        account = await signed_up(client)
        body = {"name": " laptop ", "scopes": ["read", "upload", "read"], "expires_at": "2026-02-01T02:00:00+02:00"}
        answer = await client.post(TOKENS, json=body, headers=account.bearer)
        assert answer.status_code == 201
        assert answer.headers["cache-control"] == "no-store"
        made = answer.json()
        assert re.fullmatch(r"chitram_[\w-]{43}", made.pop("token"))
        assert made == {
            "id": made["id"],
            "name": "laptop",
            "scopes": ["read", "upload"],
            "created_at": "2026-01-01T00:00:00Z",
            "expires_at": "2026-02-01T00:00:00Z",
            "last_used_at": None,
        }
        assert (await client.get(TOKENS, headers=account.bearer)).json() == {"items": [made]}

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"name": ""}, "name"),
            ({"name": " "}, "name"),
            ({"name": "x" * 101}, "name"),
            ({"name": "a\nb"}, "name"),
            ({"name": None}, "name"),
            ({"name": "\u3164"}, "name"),
            ({"name": "\u200b"}, "name"),
            ({"scopes": []}, "scopes"),
            ({"scopes": ["admin"]}, "scopes.0"),
            ({"scopes": ["read"] * 11}, "scopes"),
            ({"scopes": "read"}, "scopes"),
            ({"expires_at": "2025-12-31T23:59:59Z"}, "expires_at"),
            ({"expires_at": "2026-02-01T00:00:00"}, "expires_at"),
            ({"expires_at": "soon"}, "expires_at"),
            ({"expires_at": "2026-02-01"}, "expires_at"),
            ({"expires_at": 1769904000}, "expires_at"),
            ({"expires_at": "1769904000"}, "expires_at"),
            ({"expires_at": 1769904000000.0}, "expires_at"),
            ({"expires_at": True}, "expires_at"),
            ({"expires_at": ["2026-02-01T00:00:00Z"]}, "expires_at"),
            ({"expires_at": ""}, "expires_at"),
            ({"expires_at": "9999-12-31T23:59:59-12:00"}, "expires_at"),
            ({"expires_at": "0001-01-01T00:00:00+12:00"}, "expires_at"),
        ],
    )
    async def test_takes_a_name_scopes_and_a_future(self, client, change, field):
        account = await signed_up(client)
        answer = await client.post(TOKENS, json={"name": "x", "scopes": ["read"]} | change, headers=account.bearer)
        assert refused(answer, 422, "VALIDATION_ERROR")
        assert [problem["field"] for problem in answer.json()["detail"]["details"]["errors"]] == [field]

    async def test_has_a_limit(self, client):
        account = await signed_up(client)
        for _ in range(50):
            await api_token(client, account, "read")
        answer = await client.post(TOKENS, json={"name": "x", "scopes": ["read"]}, headers=account.bearer)
        assert refused(answer, 422, "VALIDATION_ERROR")


class TestEnding:
    async def test_one(self, client):
        account = await signed_up(client)
        secrets = [await api_token(client, account, "read") for _ in range(2)]
        entries = (await client.get(TOKENS, headers=account.bearer)).json()["items"]
        assert (await client.delete(f"{TOKENS}/{entries[0]['id']}", headers=account.bearer)).status_code == 204
        answer = await client.delete(f"{TOKENS}/{entries[0]['id']}", headers=account.bearer)
        assert refused(answer, 404, "TOKEN_NOT_FOUND")
        left = [entry["id"] for entry in (await client.get(TOKENS, headers=account.bearer)).json()["items"]]
        assert left == [entries[1]["id"]]
        statuses = {(await client.get(f"{AUTH}/me", headers=bearer(secret))).status_code for secret in secrets}
        assert statuses == {200, 401}

    async def test_all(self, client):
        account, bob = await signed_up(client), await signed_up(client, "bob")
        secret, other = await api_token(client, account, "read"), await api_token(client, bob, "read")
        assert (await client.delete(TOKENS, headers=account.bearer)).status_code == 204
        for path in (f"{AUTH}/me", IMAGES, f"{IMAGES}/{UNKNOWN}", f"{IMAGES}/{UNKNOWN}/file"):
            assert refused(await client.get(path, headers=bearer(secret)), 401, "UNAUTHORIZED")
        assert (await client.get(f"{AUTH}/me", headers=bearer(other))).status_code == 200

    async def test_somebody_elses_is_not_there(self, client):
        account, bob = await signed_up(client), await signed_up(client, "bob")
        secret = await api_token(client, bob, "read")
        [entry] = (await client.get(TOKENS, headers=bob.bearer)).json()["items"]
        answer = await client.delete(f"{TOKENS}/{entry['id']}", headers=account.bearer)
        assert refused(answer, 404, "TOKEN_NOT_FOUND")
        assert (await client.get(f"{AUTH}/me", headers=bearer(secret))).status_code == 200

    async def test_by_time(self, client, home):
        account = await signed_up(client)
        secret = await api_token(client, account, "read", expires_at="2026-01-01T01:00:00Z")
        home.clock.advance(timedelta(minutes=59))
        assert (await client.get(f"{AUTH}/me", headers=bearer(secret))).status_code == 200
        home.clock.advance(timedelta(minutes=1))
        assert refused(await client.get(f"{AUTH}/me", headers=bearer(secret)), 401, "TOKEN_EXPIRED")
        assert len((await client.get(TOKENS, headers=account.bearer)).json()["items"]) == 1

    async def test_guessed_ones_are_refused(self, client):
        for token in ("chitram_", "chitram_" + "A" * 43, "chitram", "CHITRAM_" + "A" * 43):
            assert refused(await client.get(f"{AUTH}/me", headers=bearer(token)), 401, "UNAUTHORIZED")


#: What can be done with an image of one's own, and the scope that each takes.
NEEDED = {
    "metadata": "read",
    "file": "read",
    "thumbnail": "read",
    "checksum": "read",
    "similar": "read",
    "me": "read",
    "list": "read",
    "usage": "read",
    "verify": "read",
    "upload": "upload",
    "edit": "upload",
    "delete": "delete",
}


SEEN_BY_ALL = ("metadata", "file", "thumbnail", "checksum", "similar")


class TestScopes:
    async def test_two_together_edit_what_is_hidden(self, client):
        """Who may not see it is not told what it is called either."""
        account = await signed_up(client)
        image = await uploaded(client, headers=account.bearer, fields={"visibility": "private"})
        headers = bearer(await api_token(client, account, "upload", "read"))
        answer = await self.ask(client, "edit", image, headers)
        assert (answer.status_code, answer.json()["title"]) == (200, "x")

    async def ask(self, client, deed, image, headers):
        path = f"{IMAGES}/{image['id']}"
        requests = {
            "metadata": ("GET", path, {}),
            "file": ("GET", f"{path}/file", {}),
            "thumbnail": ("GET", f"{path}/thumbnail", {}),
            "checksum": ("GET", f"{path}/checksum", {}),
            "similar": ("GET", f"{path}/similar", {}),
            "me": ("GET", f"{AUTH}/me", {}),
            "list": ("GET", f"{USERS}/images", {}),
            "usage": ("GET", f"{USERS}/usage", {}),
            "verify": ("POST", f"{path}/verify", {}),
            "edit": ("PATCH", path, {"json": {"title": "x"}}),
            "delete": ("DELETE", path, {}),
        }
        if deed == "upload":
            return await post(client, headers=headers)
        method, address, options = requests[deed]
        return await client.request(method, address, headers=headers, **options)

    @pytest.mark.parametrize("deed", NEEDED)
    @pytest.mark.parametrize("scope", SCOPES)
    @pytest.mark.parametrize("visibility", ["unlisted", "private"])
    async def test_each_opens_what_it_is_for(self, client, visibility, scope, deed):
        account = await signed_up(client)
        image = await uploaded(client, headers=account.bearer, fields={"visibility": visibility})
        answer = await self.ask(client, deed, image, bearer(await api_token(client, account, scope)))
        if NEEDED[deed] == scope and not (visibility == "private" and deed == "edit"):
            assert answer.status_code < 300, answer.text
        elif visibility == "unlisted" and deed in SEEN_BY_ALL:
            assert answer.status_code == 200
        elif deed in SEEN_BY_ALL or (visibility == "private" and deed == "edit" and scope != "read"):
            assert refused(answer, 404, "IMAGE_NOT_FOUND")
        else:
            assert refused(answer, 403, "FORBIDDEN")
            assert answer.json()["detail"]["details"] == {"required_scope": NEEDED[deed]}

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("POST", f"{AUTH}/logout"), ("POST", f"{AUTH}/password"), ("GET", f"{AUTH}/session"),
            ("DELETE", f"{AUTH}/session"), ("GET", f"{AUTH}/sessions"), ("DELETE", f"{AUTH}/sessions"),
            ("DELETE", f"{AUTH}/sessions/x"), ("GET", TOKENS), ("POST", TOKENS), ("DELETE", TOKENS),
            ("DELETE", f"{TOKENS}/x"), ("DELETE", USERS),
        ],
    )  # fmt: skip
    async def test_none_opens_the_account(self, client, method, path):
        account = await signed_up(client)
        secret = await api_token(client, account, *SCOPES)
        assert refused(await client.request(method, path, headers=bearer(secret)), 403, "FORBIDDEN")
        assert (await client.get(f"{AUTH}/me", headers=bearer(secret))).json()["id"] == account.id
        assert (await client.get(f"{AUTH}/me", headers=account.bearer)).status_code == 200

    async def test_what_everybody_sees_takes_none(self, client):
        account = await signed_up(client)
        image = await uploaded(client, fields={"visibility": "public"})
        headers = bearer(await api_token(client, account, "delete"))
        for deed in SEEN_BY_ALL:
            assert (await self.ask(client, deed, image, headers)).status_code == 200
        assert (await client.get(IMAGES, headers=headers)).status_code == 200
