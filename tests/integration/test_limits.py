"""How often, how many at a time, who at all: rate limits, upload slots, anonymous uploads, bad credentials."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from chitram.domain.audit import AuditAction
from chitram.settings import AppSettings, LimitSettings, Settings, StorageSettings, UploadSettings
from tests.factories.accounts import AUTH
from tests.factories.applications import house
from tests.integration.requests import IMAGES, UPLOAD, code, form, photo, post, token, uploaded
from tests.integration.standing import EMBEDDED


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        app=AppSettings(env="test", data_dir=tmp_path),
        uploads=UploadSettings(concurrency_limit=3, concurrency_per_address=2, concurrency_timeout=0.05),
    )


class TestRate:
    async def test_ten_uploads_a_minute(self, client, home):
        for left in range(9, -1, -1):
            answer = await post(client)
            assert answer.status_code == 201
            assert answer.headers["ratelimit-policy"] == '"upload";q=10;w=60'
            assert answer.headers["ratelimit"].startswith(f'"upload";r={left};t=')
        answer = await post(client)
        assert (answer.status_code, code(answer)) == (429, "RATE_LIMIT_EXCEEDED")
        assert answer.headers["ratelimit"] == '"upload";r=0;t=60'
        assert answer.headers["retry-after"] == "60"

    @EMBEDDED  # time passes there as a test says, and in Redis by itself
    async def test_what_is_refused_counts_and_the_window_slides(self, client, home):
        for _ in range(5):
            assert (await post(client, b"no picture")).status_code == 400
        home.clock.advance(timedelta(seconds=30))
        for _ in range(5):
            assert (await post(client)).status_code == 201
        assert (await post(client)).headers["retry-after"] == "30"
        home.clock.advance(timedelta(seconds=31))
        for _ in range(5):
            assert (await post(client)).status_code == 201
        assert (await post(client)).status_code == 429

    async def test_each_address_has_its_own(self, client, home):
        for _ in range(10):
            await post(client, b"x")
        async with home.client(address="198.51.100.9") as other:
            assert (await post(other)).status_code == 201
        assert (await post(client)).status_code == 429

    async def test_a_network_of_ipv6_has_one(self, home):
        for number in range(10):
            async with home.client(address=f"2001:db8::{number + 1:x}") as client:
                assert (await post(client, b"x")).status_code == 400
        async with home.client(address="2001:db8::ffff") as client:
            assert (await post(client)).status_code == 429
        async with home.client(address="2001:db8:0:1::1") as client:
            assert (await post(client)).status_code == 201

    async def test_a_forwarded_address_that_nobody_vouches_for_counts_for_nothing(self, client):
        answers = [
            await post(client, b"x", headers={"X-Forwarded-For": f"198.51.100.{n}", "Forwarded": f"for=198.51.100.{n}"})
            for n in range(11)
        ]
        assert [answer.status_code for answer in answers] == [400] * 10 + [429]

    async def test_verification_has_a_budget_of_its_own(self, client):
        image = await uploaded(client)
        for _ in range(10):
            answer = await client.post(f"{IMAGES}/{image['id']}/verify", headers=token(image))
            assert answer.status_code == 200
            assert answer.headers["ratelimit-policy"].startswith('"verify"')
        answer = await client.post(f"{IMAGES}/{image['id']}/verify", headers=token(image))
        assert (answer.status_code, code(answer)) == (429, "RATE_LIMIT_EXCEEDED")
        assert int(answer.headers["retry-after"]) > 0
        assert (await post(client)).status_code == 201

    async def test_attempts_that_it_stops_are_on_record_and_uploads_are_not(self, client, home):
        image = await uploaded(client)
        for _ in range(80):
            await post(client)
            await client.post(f"{AUTH}/login", json={"email": "ann@example.org", "password": "not the password"})
            await client.delete(f"{IMAGES}/{image['id']}", headers={"X-Delete-Token": "wrong"})
        limited = [event for event in home.audit.events if event.refusal == "RATE_LIMIT_EXCEEDED"]
        assert {(event.action, event.subject, event.details["route"]) for event in limited} == {
            (AuditAction.ACCESS_REFUSED, None, f"{AUTH}/login"),
            (AuditAction.ACCESS_REFUSED, image["id"], f"{IMAGES}/{{image_id}}"),
        }
        assert {event.address for event in limited} == {"192.0.2.7"}

    async def test_off(self, tmp_path):
        settings = Settings(app=AppSettings(env="test", data_dir=tmp_path), limits=LimitSettings(enabled=False))
        async with house(tmp_path, settings=settings) as home, home.client() as client:
            answers = [await post(client, b"x") for _ in range(12)]
            assert {answer.status_code for answer in answers} == {400}
            assert "ratelimit" not in answers[0].headers
            assert (await client.get("/health")).json()["rate_limiter"] == "disabled"


class Slow:
    """The body of an upload that stops in the middle until it is told to go on."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        body, _ = form(photo())
        yield body[:200]
        self.begun.set()
        await self.go_on.wait()
        yield body[200:]


async def begin_upload(client) -> tuple[Slow, asyncio.Task]:
    body = Slow()
    task = asyncio.create_task(client.post(UPLOAD, content=body, headers=form(b"")[1]))
    await body.begun.wait()
    return body, task


class TestSlots:
    async def test_are_counted_in_the_health_report(self, client):
        assert (await client.get("/health")).json()["upload_concurrency"] == "0/3 active"
        body, task = await begin_upload(client)
        assert (await client.get("/health")).json()["upload_concurrency"] == "1/3 active"
        body.go_on.set()
        assert (await task).status_code == 201
        assert (await client.get("/health")).json()["upload_concurrency"] == "0/3 active"

    async def test_one_address_gets_its_share_and_others_the_rest(self, client, home):
        running = [await begin_upload(client) for _ in range(2)]
        answer = await post(client)
        assert (answer.status_code, code(answer)) == (503, "UPLOAD_BUSY")
        assert int(answer.headers["retry-after"]) > 0
        async with home.client(address="198.51.100.9") as other:
            assert (await post(other)).status_code == 201
            running.append(await begin_upload(other))
            answer = await post(other)
            assert code(answer) == "UPLOAD_BUSY"
            for body, _ in running:
                body.go_on.set()
            assert [(await task).status_code for _, task in running] == [201] * 3
        assert (await post(client)).status_code == 201

    async def test_a_network_of_ipv6_has_one_share(self, home):
        async with home.client(address="2001:db8::1") as one, home.client(address="2001:db8::2") as other:
            running = [await begin_upload(one), await begin_upload(other)]
            async with home.client(address="2001:db8::3") as third:
                assert code(await post(third)) == "UPLOAD_BUSY"
            for body, task in running:
                body.go_on.set()
                assert (await task).status_code == 201

    async def test_a_waiting_upload_gets_the_place_that_comes_free(self, tmp_path):
        settings = Settings(
            app=AppSettings(env="test", data_dir=tmp_path),
            uploads=UploadSettings(concurrency_limit=1, concurrency_timeout=30),
        )
        async with house(tmp_path, settings=settings) as home, home.client() as client:
            body, first = await begin_upload(client)
            second = asyncio.create_task(post(client))
            await asyncio.sleep(0)
            body.go_on.set()
            assert [(await first).status_code, (await second).status_code] == [201, 201]

    async def test_refused_and_broken_uploads_give_theirs_back(self, client):
        for data in (b"", b"no picture", photo()[:-100]):
            assert (await post(client, data)).status_code == 400
        assert (await client.get("/health")).json()["upload_concurrency"] == "0/3 active"

    async def test_who_is_refused_sends_nothing_in_vain(self, client):
        running = [await begin_upload(client) for _ in range(2)]
        asked = False

        async def body() -> AsyncIterator[bytes]:
            nonlocal asked
            asked = True
            yield b"x"

        headers = form(b"")[1] | {"Expect": "100-continue"}
        answer = await client.post(UPLOAD, content=body(), headers=headers)
        assert code(answer) == "UPLOAD_BUSY"
        assert not asked
        for slow, task in running:
            slow.go_on.set()
            await task


class TestRoom:
    async def test_a_disk_that_is_nearly_full_takes_no_uploads(self, tmp_path):
        settings = Settings(
            app=AppSettings(env="test", data_dir=tmp_path), storage=StorageSettings(reserve_mb=1_000_000_000)
        )
        async with house(tmp_path, settings=settings) as home, home.client() as client:
            answer = await post(client)
            assert (answer.status_code, code(answer)) == (507, "STORAGE_FULL")
            assert int(answer.headers["retry-after"]) > 0
            assert (await client.get(IMAGES)).status_code == 200


class TestAnonymous:
    async def test_uploads_can_be_turned_off(self, tmp_path):
        settings = Settings(app=AppSettings(env="test", data_dir=tmp_path), uploads=UploadSettings(anonymous=False))
        async with house(tmp_path, settings=settings) as home, home.client() as client:
            answer = await post(client)
            assert (answer.status_code, code(answer)) == (401, "UNAUTHORIZED")
            assert answer.headers["www-authenticate"] == "Bearer"
            assert (await client.get(IMAGES)).status_code == 200

    @pytest.mark.parametrize("value", ["Basic dTpw", "", "nonsense"])
    async def test_other_schemes_are_a_proxys_affair(self, client, value):
        headers = {"Authorization": value}
        image = await uploaded(client, headers=headers)
        path = f"{IMAGES}/{image['id']}"
        for address in (IMAGES, path, f"{path}/file", f"{path}/thumbnail", f"{path}/checksum", f"{path}/similar"):
            assert (await client.get(address, headers=headers)).status_code == 200
        assert code(await client.delete(path, headers=headers)) == "DELETE_TOKEN_REQUIRED"
        assert (await client.delete(path, headers=headers | token(image))).status_code == 204

    @pytest.mark.parametrize("value", ["Bearer abc", "bearer abc", "Bearer", "Basic dTpw, Bearer abc"])
    async def test_a_token_is_never_silently_ignored(self, client, value):
        image = await uploaded(client)
        headers = {"Authorization": value} | token(image)
        path = f"{IMAGES}/{image['id']}"
        for method, address in (
            ("POST", UPLOAD),
            ("GET", IMAGES),
            ("GET", path),
            ("GET", f"{path}/file"),
            ("GET", f"{path}/thumbnail"),
            ("GET", f"{path}/checksum"),
            ("GET", f"{path}/similar"),
            ("POST", f"{path}/verify"),
            ("DELETE", path),
        ):
            answer = await client.request(method, address, headers=headers)
            assert (answer.status_code, code(answer)) == (401, "UNAUTHORIZED"), (method, address)
            assert answer.headers["www-authenticate"] == "Bearer"
        assert (await client.get(path)).status_code == 200
