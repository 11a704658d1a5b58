"""`THUMBNAIL_MODE=background`: the upload answers before the decode pass."""

import zlib
from datetime import timedelta
from pathlib import Path

import pytest

from chitram.domain.jobs import JobState
from chitram.settings import AppSettings, LimitSettings, Settings, UploadSettings
from tests.factories import pictures
from tests.factories.applications import house
from tests.integration.requests import IMAGES, code, photo, token, uploaded

PUBLIC = {"visibility": "public"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        app=AppSettings(env="test", data_dir=tmp_path),
        limits=LimitSettings(enabled=False),
        uploads=UploadSettings(thumbnail_mode="background"),
    )


def broken_inside() -> bytes:
    """A PNG of flawless structure whose pixels cannot be unpacked."""
    return pictures.png_of(64, 48, rows=zlib.compress(bytes(9000))[:40] + b"\xff" * 40)


async def test_thumbnails_come_after_the_answer(client, home):
    image = await uploaded(client)
    assert (image["thumbnail_ready"], image["placeholder"]) == (False, None)
    assert (await client.get(image["url"])).content == photo()
    answer = await client.get(image["thumbnail_url"])
    assert (answer.status_code, code(answer)) == (404, "THUMBNAIL_NOT_READY")
    assert answer.headers["retry-after"] == "2"
    assert (await client.get(f"{IMAGES}/{image['id']}")).json()["thumbnail_ready"] is False
    await home.application.runner.run_due()
    ready = (await client.get(f"{IMAGES}/{image['id']}")).json()
    assert ready["thumbnail_ready"] is True
    assert ready["placeholder"]
    assert (await client.get(image["thumbnail_url"])).status_code == 200


async def test_the_answer_does_not_tell_that_the_bytes_are_known(client, home):
    for data in (photo(), broken_inside()):
        first = await uploaded(client, data)
        await home.application.runner.run_due()
        second = await uploaded(client, data)
        for own in ("id", "url", "thumbnail_url", "thumbnails", "created_at", "delete_token"):
            del first[own], second[own]
        assert first == second


async def test_the_same_thumbnails_as_inline(client, home, tmp_path):
    data = pictures.jpeg(700, 400)
    image = await uploaded(client, data)
    await home.application.runner.run_due()
    other = tmp_path / "inline"
    other.mkdir()
    inline = Settings(app=AppSettings(env="test", data_dir=other))
    async with house(other, settings=inline) as second, second.client() as client_of_second:
        twin = await uploaded(client_of_second, data)
        for size in ("150", "300", "600"):
            expected = (await client_of_second.get(twin["thumbnails"][size])).content
            assert (await client.get(image["thumbnails"][size])).content == expected


async def test_many_uploads_of_the_same_bytes_are_one_decode(client, home):
    for _ in range(3):
        await uploaded(client)
    assert (await home.application.jobs.counts())[JobState.READY] == 1
    await home.application.runner.run_due()
    assert (await home.application.jobs.counts())[JobState.READY] == 0


async def test_a_file_without_its_end_is_refused_at_once(client):
    answer = await client.post(f"{IMAGES}/upload", files={"file": ("a.jpg", photo()[:-30], "image/jpeg")})
    assert answer.json()["detail"]["details"]["reason"] == "truncated"


class TestBrokenFile:
    async def test_is_shown_to_its_token_holder_alone(self, client, home):
        image = await uploaded(client, broken_inside(), fields=PUBLIC)
        path = f"{IMAGES}/{image['id']}"
        assert (await client.get(path)).status_code == 200
        await home.application.runner.run_due()
        for part in ("", "/file", "/thumbnail", "/checksum", "/similar"):
            answer = await client.get(path + part)
            assert (answer.status_code, code(answer)) == (404, "IMAGE_NOT_FOUND")
        assert (await client.get(IMAGES)).json()["items"] == []
        own = token(image)
        for part in ("", "/file", "/checksum", "/similar"):
            assert (await client.get(path + part, headers=own)).status_code == 200
        assert (await client.get(f"{path}/file", headers=own)).headers["cache-control"] == "private, no-store"

    async def test_says_so_where_its_thumbnail_would_be(self, client, home):
        image = await uploaded(client, broken_inside())
        await home.application.runner.run_due()
        answer = await client.get(image["thumbnail_url"], headers=token(image))
        assert code(answer) == "THUMBNAIL_NOT_READY"
        assert answer.json()["detail"]["details"] == {"reason": "corrupt"}
        assert "retry-after" not in answer.headers

    async def test_is_not_tried_again_and_can_be_deleted(self, client, home):
        image = await uploaded(client, broken_inside())
        await home.application.runner.run_due()
        home.clock.advance(timedelta(days=1))
        assert (await home.application.runner.sweep_once())["backfill"] == 0
        assert await home.application.runner.run_due() == 0
        assert (await client.delete(f"{IMAGES}/{image['id']}", headers=token(image))).status_code == 204

    async def test_uploaded_again_is_another_image_of_the_same_kind(self, client, home):
        await uploaded(client, broken_inside())
        await home.application.runner.run_due()
        again = await uploaded(client, broken_inside())
        assert (await home.application.jobs.counts()).get(JobState.READY, 0) == 0
        assert code(await client.get(again["url"])) == "IMAGE_NOT_FOUND"
        assert (await client.get(again["url"], headers=token(again))).status_code == 200


async def test_a_promise_that_got_lost_is_made_again(client, home):
    image = await uploaded(client)
    async with home.foundation.database.begin() as work:
        for job in await work.jobs.list(state=JobState.READY, limit=10):
            await work.jobs.finish(job.id)
    assert await home.application.runner.run_due() == 0
    assert (await home.application.runner.sweep_once())["backfill"] == 1
    await home.application.runner.run_due()
    assert (await client.get(image["thumbnail_url"])).status_code == 200
