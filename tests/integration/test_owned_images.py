"""What an account keeps over HTTP: its list, its use, its quota, and uploads that are sent twice."""

import asyncio
from datetime import timedelta

import pytest

from chitram.settings import AccountSettings, AppSettings, LimitSettings, Settings, UploadSettings
from tests.factories import pictures
from tests.factories.accounts import USERS, api_token, bearer, signed_up
from tests.factories.applications import house
from tests.integration.requests import IMAGES, UPLOAD, code, form, photo, post, token, uploaded

KEY = {"Idempotency-Key": "0123456789abcdef"}


def refused(answer, status, expected):
    assert (answer.status_code, code(answer)) == (status, expected), answer.text
    return True


def limitless(tmp_path, **accounts):
    return Settings(
        app=AppSettings(env="test", data_dir=tmp_path),
        limits=LimitSettings(enabled=False),
        accounts=AccountSettings(**accounts),
    )


class TestList:
    async def test_is_paged_newest_first(self, client, home):
        ada, bob = await signed_up(client), await signed_up(client, "bob")
        expected = []
        for number in range(7):
            # Some at the same moment: the order is total all the same.
            home.clock.advance(timedelta(seconds=number % 2))
            expected.append((await uploaded(client, headers=ada.bearer))["id"])
            await uploaded(client, headers=bob.bearer, fields={"visibility": "public"})
        seen, address = [], f"{USERS}/images?limit=3"
        while address:
            answer = await client.get(address, headers=ada.bearer)
            page = answer.json()
            seen += [item["id"] for item in page["items"]]
            link = answer.headers.get("link")
            assert (link is None) is (page["next_cursor"] is None)
            if link:
                assert link.startswith(f"<http://testserver{USERS}/images?cursor=")
                assert link.endswith('limit=3>; rel="next"')
            address = link and link[1:].partition(">")[0]
        assert sorted(seen) == sorted(expected)
        assert len(set(seen)) == len(seen) == 7

    async def test_a_cursor_shows_nobody_elses(self, client):
        ada, bob = await signed_up(client), await signed_up(client, "bob")
        for _ in range(3):
            await uploaded(client, headers=ada.bearer)
        cursor = (await client.get(f"{USERS}/images?limit=1", headers=ada.bearer)).json()["next_cursor"]
        theirs = await client.get(f"{USERS}/images", params={"cursor": cursor}, headers=bob.bearer)
        assert theirs.json() == {"items": [], "next_cursor": None}

    @pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "cursor=x", "cursor=", "limit=1&limit=2"])
    async def test_what_cannot_be_asked(self, client, query):
        ada = await signed_up(client)
        assert refused(await client.get(f"{USERS}/images?{query}", headers=ada.bearer), 422, "VALIDATION_ERROR")

    @pytest.mark.parametrize("query", ["limit=abc", "cursor=x", "limit=1&limit=2"])
    async def test_what_cannot_be_asked_is_first_of_all_not_asked_by_strangers(self, client, query):
        ada = await signed_up(client)
        weak = bearer(await api_token(client, ada, "upload"))
        public = await uploaded(client, fields={"visibility": "public"})
        addresses = (f"{USERS}/images?{query}", f"{IMAGES}?{query}", f"{IMAGES}/{public['id']}/similar?distance=x")
        for address in addresses:
            assert refused(await client.get(address, headers=bearer("x")), 401, "UNAUTHORIZED")
        for address in addresses[1:]:
            assert refused(await client.get(address), 422, "VALIDATION_ERROR")
        if "&" not in query:
            assert refused(await client.get(addresses[0]), 401, "UNAUTHORIZED")
            assert refused(await client.get(addresses[0], headers=weak), 403, "FORBIDDEN")

    async def test_cursors_outlive_a_new_secret(self, tmp_path):
        old, new = "old secret of 32 characters: yes", "new secret of 32 characters: yes"
        app = {"env": "test", "data_dir": tmp_path}
        off = LimitSettings(enabled=False)
        settings = Settings(app=AppSettings(**app, secret_key=old), limits=off)
        async with house(tmp_path, settings=settings) as home, home.client() as client:
            ada = await signed_up(client)
            for _ in range(2):
                await uploaded(client, headers=ada.bearer)
            cursor = (await client.get(f"{USERS}/images?limit=1", headers=ada.bearer)).json()["next_cursor"]
        rotated = Settings(app=AppSettings(**app, secret_key=new, previous_secret_keys=old), limits=off)
        async with house(tmp_path, settings=rotated) as home, home.client() as client:
            answer = await client.get(f"{USERS}/images", params={"cursor": cursor}, headers=ada.bearer)
            assert answer.status_code == 200, answer.text
            assert (answer.status_code, len(answer.json()["items"])) == (200, 1)


class TestUsage:
    async def test_counts_each_image_by_its_stored_size(self, client):
        ada = await signed_up(client)
        empty = {"used": {"bytes": 0, "files": 0}, "quota": {"bytes": None, "files": None}}
        assert (await client.get(f"{USERS}/usage", headers=ada.bearer)).json() == empty
        images = [await uploaded(client, headers=ada.bearer) for _ in range(2)]
        await uploaded(client)
        used = (await client.get(f"{USERS}/usage", headers=ada.bearer)).json()["used"]
        assert used == {"bytes": 2 * images[0]["file_size"], "files": 2}
        for image in images:
            await client.delete(f"{IMAGES}/{image['id']}", headers=ada.bearer)
        assert (await client.get(f"{USERS}/usage", headers=ada.bearer)).json() == empty

    async def test_files_have_a_quota(self, tmp_path):
        async with house(tmp_path, settings=limitless(tmp_path, quota_files=2)) as home, home.client() as client:
            ada = await signed_up(client)
            first = await uploaded(client, headers=ada.bearer)
            await uploaded(client, headers=ada.bearer)
            answer = await post(client, headers=ada.bearer)
            assert refused(answer, 507, "QUOTA_EXCEEDED")
            anonymous = await uploaded(client)
            path = f"{IMAGES}/{anonymous['id']}/claim"
            assert refused(await client.post(path, headers=ada.bearer | token(anonymous)), 507, "QUOTA_EXCEEDED")
            usage = (await client.get(f"{USERS}/usage", headers=ada.bearer)).json()
            assert (usage["used"]["files"], usage["quota"]) == (2, {"bytes": None, "files": 2})
            await client.delete(f"{IMAGES}/{first['id']}", headers=ada.bearer)
            await uploaded(client, headers=ada.bearer)
            await home.application.administration.set_quota(ada.email, quota_bytes=None, quota_files=3)
            await uploaded(client, headers=ada.bearer)
            assert refused(await post(client, headers=ada.bearer), 507, "QUOTA_EXCEEDED")

    async def test_bytes_have_a_quota(self, tmp_path):
        noise = [pictures.noise(600, 400, seed=seed) for seed in range(4)] if hasattr(pictures, "noise") else None
        data = noise or [pictures.jpeg(1200, 900, seed=seed) for seed in range(4)]
        async with house(tmp_path, settings=limitless(tmp_path, quota_mb=1)) as home, home.client() as client:
            ada = await signed_up(client)
            kept = 0
            for number in range(400):
                answer = await post(client, data[number % 4], headers=ada.bearer)
                if answer.status_code != 201:
                    break
                kept += answer.json()["file_size"]
            assert refused(answer, 507, "QUOTA_EXCEEDED")
            usage = (await client.get(f"{USERS}/usage", headers=ada.bearer)).json()
            assert usage["used"]["bytes"] == kept <= usage["quota"]["bytes"] == 1024 * 1024

    async def test_of_uploads_at_once_only_so_many_fit(self, tmp_path):
        async with house(tmp_path, settings=limitless(tmp_path, quota_files=3)) as home, home.client() as client:
            ada = await signed_up(client)
            answers = await asyncio.gather(*(post(client, photo(n), headers=ada.bearer) for n in range(8)))
            assert sorted(answer.status_code for answer in answers) == [201] * 3 + [507] * 5
            assert (await client.get(f"{USERS}/usage", headers=ada.bearer)).json()["used"]["files"] == 3


class TestLimits:
    @pytest.fixture
    def settings(self, tmp_path) -> Settings:
        return Settings(
            app=AppSettings(env="test", data_dir=tmp_path),
            limits=LimitSettings(per_minute=2, account_per_minute=4, allowed="203.0.113.0/24"),
        )

    async def test_accounts_have_their_own_wherever_they_are(self, client, home):
        ada, bob = await signed_up(client), await signed_up(client, "bob")
        for number in range(4):
            async with home.client(address=f"198.51.100.{number}") as elsewhere:
                answer = await post(elsewhere, headers=ada.bearer)
            assert answer.status_code == 201
            assert answer.headers["ratelimit-policy"] == '"upload-account";q=4;w=60'
        assert refused(await post(client, headers=ada.bearer), 429, "RATE_LIMIT_EXCEEDED")
        assert (await post(client, headers=bob.bearer)).status_code == 201
        assert (await post(client)).headers["ratelimit-policy"] == '"upload";q=2;w=60'

    async def test_some_addresses_have_none(self, home):
        async with home.client(address="203.0.113.7") as client:
            assert {(await post(client, b"x")).status_code for _ in range(6)} == {400}

    async def test_without_an_account_nothing_is_uploaded_where_that_is_off(self, tmp_path):
        settings = Settings(app=AppSettings(env="test", data_dir=tmp_path), uploads=UploadSettings(anonymous=False))
        async with house(tmp_path, settings=settings) as home, home.client() as client:
            assert refused(await post(client), 401, "UNAUTHORIZED")
            ada = await signed_up(client)
            assert (await post(client, headers=ada.bearer)).status_code == 201


class TestSentTwice:
    async def test_is_answered_as_the_first_time(self, client, home):
        first = await uploaded(client, headers=KEY)
        home.clock.advance(timedelta(hours=23))
        assert await uploaded(client, headers=KEY) == first
        async with home.foundation.database.read() as repositories:
            assert await repositories.images.count() == 1
        assert (await client.delete(f"{IMAGES}/{first['id']}", headers=token(first))).status_code == 204
        assert refused(await post(client, headers=KEY), 404, "IMAGE_NOT_FOUND")

    async def test_an_account_has_its_own_keys(self, client):
        ada, bob = await signed_up(client), await signed_up(client, "bob")
        images = [await uploaded(client, headers=KEY | headers) for headers in (ada.bearer, bob.bearer, {})]
        assert len({image["id"] for image in images}) == 3
        again = await uploaded(client, headers=KEY | ada.bearer)
        assert (again["id"], again["delete_token"]) == (images[0]["id"], None)
        assert (await client.get(f"{USERS}/usage", headers=ada.bearer)).json()["used"]["files"] == 1

    async def test_so_has_an_address(self, client, home):
        first = await uploaded(client, headers=KEY)
        async with home.client(address="198.51.100.9") as other:
            assert (await uploaded(other, headers=KEY))["id"] != first["id"]

    async def test_another_payload_is_refused(self, client):
        await uploaded(client, headers=KEY)
        for options in ({"data": photo(1)}, {"name": "other.jpg"}, {"fields": {"visibility": "public"}}):
            assert refused(await post(client, headers=KEY, **options), 422, "IDEMPOTENCY_KEY_REUSED")

    async def test_what_failed_may_be_tried_again(self, client):
        assert refused(await post(client, b"no picture", headers=KEY), 400, "INVALID_FILE_FORMAT")
        assert (await post(client, headers=KEY)).status_code == 201

    async def test_two_at_once(self, client):
        begun, go_on = asyncio.Event(), asyncio.Event()
        body, headers = form(photo())

        async def slow():
            yield body[:200]
            begun.set()
            await go_on.wait()
            yield body[200:]

        task = asyncio.create_task(client.post(UPLOAD, content=slow(), headers=headers | KEY))
        await begun.wait()
        answer = await post(client, headers=KEY)
        assert refused(answer, 409, "IDEMPOTENCY_KEY_IN_USE")
        assert int(answer.headers["retry-after"]) >= 1
        go_on.set()
        assert (await task).status_code == 201

    @pytest.mark.parametrize(
        "key",
        ["", "short", "x" * 15, "x" * 256, "with spaces in it", "tab\tin it, long", "é" * 16],
    )
    async def test_keys_have_a_form(self, client, key):
        answer = await post(client, headers={"Idempotency-Key": key.encode()})
        assert refused(answer, 422, "VALIDATION_ERROR")
