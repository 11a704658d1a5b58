"""Which other sites' pages may read what, by CORS_ORIGINS."""

import logging
from pathlib import Path

import pytest

from chitram.settings import AppSettings, LimitSettings, Settings
from tests.factories.accounts import AUTH, bearer, browser_signed_in, signed_up
from tests.factories.applications import client_of, house
from tests.integration.requests import IMAGES, UNKNOWN, UPLOAD, code, uploaded

OURS = "https://app.example.org"
EVIL = "https://evil.example"


def settings_of(tmp_path: Path, *origins: str) -> Settings:
    app = AppSettings(env="test", data_dir=tmp_path, cors_origins=origins)
    return Settings(app=app, limits=LimitSettings(enabled=False))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path, OURS)


def granted(answer):
    assert "access-control-allow-credentials" not in answer.headers
    return answer.headers.get("access-control-allow-origin")


async def preflight(client, path, *, origin=OURS, method="POST", fields="authorization"):
    headers = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": fields}
    return await client.options(path, headers=headers)


class TestPreflight:
    @pytest.mark.parametrize("path", [UPLOAD, IMAGES, f"{IMAGES}/{UNKNOWN}", f"{IMAGES}/{UNKNOWN}/file"])
    @pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
    async def test_of_a_page_that_may(self, client, path, method):
        fields = "authorization, content-type, idempotency-key, x-delete-token"
        answer = await preflight(client, path, method=method, fields=fields)
        assert (answer.status_code, granted(answer)) == (200, OURS)
        assert method in answer.headers["access-control-allow-methods"]
        assert "Idempotency-Key" in answer.headers["access-control-allow-headers"]
        assert "Origin" in answer.headers["vary"]

    @pytest.mark.parametrize(
        "question",
        [{"origin": EVIL}, {"origin": "null"}, {"method": "PUT"}, {"fields": "cookie"}, {"fields": "x-evil"}],
    )
    async def test_of_one_that_may_not(self, client, question):
        answer = await preflight(client, UPLOAD, **question)
        assert (answer.status_code, code(answer)) == (400, "INVALID_REQUEST")
        assert granted(answer) is None

    async def test_a_refusal_names_its_request(self, client):
        headers = {
            "Origin": EVIL, "Access-Control-Request-Method": "POST", "Accept": "application/problem+json",
            "X-Request-ID": "trace-0123",
        }  # fmt: skip
        answer = await client.options(UPLOAD, headers=headers)
        assert answer.json()["instance"] == "urn:chitram:request:trace-0123"
        assert answer.headers["x-request-id"] == "trace-0123"


class TestAnswers:
    async def test_are_for_the_pages_that_may(self, client):
        image = await uploaded(client)
        for path in (IMAGES, f"{IMAGES}/{image['id']}", f"{IMAGES}/{image['id']}/checksum", f"{IMAGES}/{UNKNOWN}"):
            answer = await client.get(path, headers={"Origin": OURS})
            assert granted(answer) == OURS
            assert "RateLimit" in answer.headers["access-control-expose-headers"]
            assert "Origin" in answer.headers["vary"]
            for headers in ({"Origin": EVIL}, {"Origin": "null"}, {}):
                answer = await client.get(path, headers=headers)
                assert granted(answer) is None
                assert "Origin" in answer.headers["vary"]

    async def test_pages_sign_in_with_a_token_of_their_own(self, client):
        ada = await signed_up(client)
        answer = await client.get(f"{AUTH}/me", headers=ada.bearer | {"Origin": OURS, "Sec-Fetch-Site": "cross-site"})
        assert (answer.status_code, granted(answer)) == (200, OURS)
        refusal = await client.get(f"{AUTH}/me", headers=bearer("x") | {"Origin": OURS})
        assert (code(refusal), granted(refusal)) == ("UNAUTHORIZED", OURS)

    async def test_never_with_a_cookie(self, client):
        await browser_signed_in(client, await signed_up(client))
        elsewhere = {"Origin": OURS, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
        assert code(await client.get(f"{AUTH}/me", headers=elsewhere)) == "UNAUTHORIZED"
        assert code(await client.delete(f"{AUTH}/sessions", headers={"Origin": OURS})) == "CSRF_REFUSED"

    @pytest.mark.parametrize("visibility", ["public", "unlisted"])
    async def test_pictures_that_all_pages_show_may_be_read_by_all(self, client, visibility):
        image = await uploaded(client, fields={"visibility": visibility})
        for headers in ({"Origin": OURS}, {"Origin": EVIL}, {}):
            for path in (image["url"], image["thumbnail_url"]):
                answer = await client.get(path, headers=headers | {"Range": "bytes=0-3"})
                assert answer.status_code in (200, 206)
                assert granted(answer) == "*"
                assert "vary" not in answer.headers
        unchanged = await client.get(image["url"], headers={"If-None-Match": f'"{image["sha256"]}"'})
        assert (unchanged.status_code, granted(unchanged)) == (304, "*")

    async def test_private_ones_may_not(self, client):
        ada = await signed_up(client)
        image = await uploaded(client, headers=ada.bearer, fields={"visibility": "private"})
        for path in (image["url"], image["thumbnail_url"]):
            for origin, expected in ((OURS, OURS), (EVIL, None)):
                answer = await client.get(path, headers=ada.bearer | {"Origin": origin})
                assert (answer.status_code, granted(answer)) == (200, expected)
                assert answer.headers["cross-origin-resource-policy"] == "same-origin"


async def test_any_origin(tmp_path):
    async with house(tmp_path, settings=settings_of(tmp_path, "*")) as home, home.client() as client:
        image = await uploaded(client)
        for path in (IMAGES, image["url"], f"{IMAGES}/{image['id']}"):
            assert granted(await client.get(path, headers={"Origin": EVIL})) == "*"
        assert granted(await preflight(client, UPLOAD, origin=EVIL)) == "*"


async def test_a_start_says_who_may_do_what(tmp_path, caplog):
    caplog.set_level(logging.INFO, "chitram.entrypoints.asgi")
    async with client_of(settings_of(tmp_path, OURS)):
        pass
    lines = {record.getMessage() for record in caplog.records}
    assert {f"Pages that may use the API: {OURS}", "Registration: open", "Uploads without an account: on"} <= lines


async def test_none_without_the_setting(tmp_path):
    async with house(tmp_path, settings=settings_of(tmp_path)) as home, home.client() as client:
        image = await uploaded(client)
        for path in (IMAGES, image["url"], f"{IMAGES}/{image['id']}"):
            answer = await client.get(path, headers={"Origin": OURS})
            assert granted(answer) is None
            assert "access-control-expose-headers" not in answer.headers
        assert code(await preflight(client, UPLOAD)) == "METHOD_NOT_ALLOWED"
