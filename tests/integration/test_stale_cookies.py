"""Cookies of sessions that are over: nobody's where nothing changes, and in the way of every change."""

from datetime import timedelta

import pytest

from tests.factories.accounts import AUTH, Account, browser_signed_in, signed_in, signed_up
from tests.integration.requests import IMAGES, UPLOAD, code, post, uploaded


@pytest.fixture
async def account(client) -> Account:
    return await signed_up(client)


def refused(answer, status, expected):
    assert (answer.status_code, code(answer)) == (status, expected), answer.text
    return True


def forgets(answer):
    return answer.headers.get("set-cookie", "").startswith("chitram_session=; Max-Age=0")


class TestStaleCookies:
    @pytest.fixture(params=["garbage", "ended", "expired"])
    async def stale(self, request, client, home, account):
        """The client has a cookie that is good no more."""
        await browser_signed_in(client, account)
        if request.param == "garbage":
            client.cookies.clear()
            client.cookies.set("chitram_session", "garbage")
        elif request.param == "ended":
            other = await signed_in(client, account)
            assert (await client.delete(f"{AUTH}/sessions", headers=other.bearer)).status_code == 204
        else:
            home.clock.advance(timedelta(days=30, seconds=1))
        return "TOKEN_EXPIRED" if request.param == "expired" else "UNAUTHORIZED"

    async def test_are_nobodys_where_nothing_changes(self, client, home, stale):
        async with home.client() as stranger:
            image = await uploaded(stranger)
        path = f"{IMAGES}/{image['id']}"
        cookie = {"Cookie": f"chitram_session={client.cookies['chitram_session']}"}
        client.cookies.clear()
        for address in (IMAGES, path, f"{path}/file", f"{path}/thumbnail", f"{path}/checksum", f"{path}/similar"):
            for method in ("GET", "HEAD"):
                answer = await client.request(method, address, headers=cookie)
                assert (answer.status_code, forgets(answer)) == (200, True), (method, address)
        answer = await client.get(f"{AUTH}/me", headers=cookie)
        assert refused(answer, 401, "UNAUTHORIZED")
        assert forgets(answer)

    async def test_change_nothing(self, client, home, stale):
        async with home.client() as stranger:
            image = await uploaded(stranger)
        cookie = {"Cookie": f"chitram_session={client.cookies['chitram_session']}", "Sec-Fetch-Site": "same-origin"}
        client.cookies.clear()
        path = f"{IMAGES}/{image['id']}"
        for method, address in (("POST", UPLOAD), ("PATCH", path), ("DELETE", path), ("POST", f"{AUTH}/logout")):
            answer = await client.request(method, address, headers=cookie | {"X-Delete-Token": image["delete_token"]})
            assert refused(answer, 401, stale)
            assert forgets(answer)
        assert (await client.get(path)).status_code == 200

    async def test_other_sites_cannot_end_them(self, client, stale):
        """What their pages send counts as sent by nobody, as far as a browser sends a cookie along at all."""
        cookie = {"Cookie": f"chitram_session={client.cookies['chitram_session']}"}
        client.cookies.clear()
        elsewhere = cookie | {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
        answer = await post(client, headers=elsewhere)
        assert answer.status_code == 201
        assert "set-cookie" not in answer.headers
        assert refused(await post(client, headers=cookie | {"Sec-Fetch-Site": "same-site"}), 401, stale)
