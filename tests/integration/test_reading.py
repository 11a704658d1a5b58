"""Metadata, checksum, original and thumbnails through the whole application: caching, refusals, damaged files."""

import hashlib
from dataclasses import replace

import pytest

from chitram.adapters.memory.cache import DisabledRecordCache
from chitram.domain.images import Visibility
from chitram.ports.unit_of_work import UnitOfWork
from tests.factories import pictures
from tests.factories.applications import House, house
from tests.integration.requests import IMAGES, UNKNOWN, code, photo, token, uploaded


async def make_private(home: House, image_id: str) -> None:
    """What an owner will be able to do: nobody has accounts yet, but the rules are there."""
    async with home.foundation.database.begin() as work:
        await replace_visibility(work, image_id)
    await home.application.cache.invalidate([image_id])


async def replace_visibility(work: UnitOfWork, image_id: str) -> None:
    image = await work.images.lock(image_id)
    assert image is not None
    await work.images.remove(image_id)
    await work.images.add(replace(image, visibility=Visibility.PRIVATE))


def damage(home: House, sha256: str, data: bytes | None) -> None:
    """Put `data` in the place of the stored original; None takes it away."""
    (key,) = (key for key in home.objects() if key.startswith(f"blobs/{sha256[:2]}/{sha256}."))
    home.store.erase(key)
    if data is not None:
        home.store.write(key, data)


class TestMetadata:
    async def test_is_the_upload_response_without_its_secrets(self, client):
        image = await uploaded(client)
        answer = await client.get(f"{IMAGES}/{image['id']}")
        assert answer.json() == {k: v for k, v in image.items() if k not in ("delete_token", "duplicate_of")}
        assert answer.headers["cache-control"] == "no-cache"

    async def test_nothing_private_is_in_it(self, client):
        image = await uploaded(client, pictures.jpeg(48, 32, secrets=True))
        text = (await client.get(f"{IMAGES}/{image['id']}")).text
        received = hashlib.sha256(pictures.jpeg(48, 32, secrets=True)).hexdigest()
        stored = hashlib.sha256(image["delete_token"].encode()).hexdigest()
        for secret in (image["delete_token"], stored, received, "192.0.2.7", "blobs/"):
            assert secret not in text

    async def test_comes_from_the_cache_the_second_time(self, client):
        image = await uploaded(client)
        seen = [(await client.get(f"{IMAGES}/{image['id']}")).headers["x-cache"] for _ in range(3)]
        assert seen == ["MISS", "HIT", "HIT"]

    async def test_says_so_when_there_is_no_cache(self, tmp_path, settings):
        def without_cache(foundation):
            foundation.cache = DisabledRecordCache()

        async with house(tmp_path, settings=settings, arrange=without_cache) as home, home.client() as client:
            image = await uploaded(client)
            seen = [(await client.get(f"{IMAGES}/{image['id']}")).headers["x-cache"] for _ in range(2)]
            assert (await client.get("/health")).json()["cache"] == "disabled"
        assert seen == ["DISABLED", "DISABLED"]

    async def test_is_not_sent_again_to_who_has_it(self, client):
        image = await uploaded(client)
        first = await client.get(f"{IMAGES}/{image['id']}")
        again = await client.get(f"{IMAGES}/{image['id']}", headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")

    async def test_head_is_get_without_a_body(self, client):
        image = await uploaded(client)
        for path in ("", "/file", "/thumbnail"):
            get = await client.get(f"{IMAGES}/{image['id']}{path}")
            head = await client.head(f"{IMAGES}/{image['id']}{path}")
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-length"] == get.headers["content-length"] == str(len(get.content))


class TestChecksum:
    async def test_is_of_the_bytes_as_served(self, client):
        image = await uploaded(client, pictures.jpeg(48, 32, secrets=True))
        served = (await client.get(image["url"])).content
        answer = await client.get(f"{IMAGES}/{image['id']}/checksum")
        assert answer.json() == {
            "algorithm": "sha256",
            "sha256": hashlib.sha256(served).hexdigest(),
            "file_size": len(served),
        }


class TestThumbnails:
    @pytest.mark.parametrize("size", [150, 300, 600])
    async def test_each_size(self, client, size):
        image = await uploaded(client, pictures.jpeg(700, 350))
        answer = await client.get(f"{IMAGES}/{image['id']}/thumbnail", params={"size": size})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "image/jpeg"

    async def test_three_hundred_unless_asked(self, client):
        image = await uploaded(client, pictures.jpeg(700, 350))
        bare = await client.get(f"{IMAGES}/{image['id']}/thumbnail")
        assert bare.content == (await client.get(image["thumbnails"]["300"])).content

    @pytest.mark.parametrize("size", ["0", "299", "1e9", "big", "-300", ""])
    async def test_no_other_size(self, client, size):
        image = await uploaded(client)
        answer = await client.get(f"{IMAGES}/{image['id']}/thumbnail", params={"size": size})
        assert (answer.status_code, code(answer)) == (422, "VALIDATION_ERROR")

    async def test_lost_ones_are_made_again_and_are_the_same(self, client, home):
        image = await uploaded(client, pictures.jpeg(700, 350))
        before = {key: home.store.read(key) for key in home.objects() if key.startswith("thumbs/")}
        for key in before:
            home.store.erase(key)
        answer = await client.get(image["thumbnails"]["600"])
        assert answer.status_code == 200
        assert {key: home.store.read(key) for key in before} == before

    async def test_with_the_original_gone_too_there_is_none(self, client, home):
        image = await uploaded(client)
        damage(home, image["sha256"], None)
        for key in home.objects():
            home.store.erase(key)
        answer = await client.get(image["thumbnail_url"])
        assert (answer.status_code, code(answer)) == (404, "THUMBNAIL_NOT_READY")
        assert answer.headers["retry-after"] == "30"


class TestDamage:
    @pytest.mark.parametrize("rest", [None, b"", photo()[:-1], photo() + b"x"])
    async def test_missing_and_wrongly_long_files_are_not_served(self, client, home, rest):
        image = await uploaded(client)
        damage(home, image["sha256"], rest)
        answer = await client.get(image["url"])
        assert (answer.status_code, code(answer)) == (503, "STORAGE_UNAVAILABLE")
        assert int(answer.headers["retry-after"]) > 0

    @pytest.mark.parametrize("rest", [None, b"", photo()[:-1]])
    async def test_uploading_the_same_again_heals_them(self, client, home, rest):
        image = await uploaded(client)
        damage(home, image["sha256"], rest)
        again = await uploaded(client)
        for healed in (image, again):
            assert (await client.get(healed["url"])).content == photo()
            assert (await client.get(healed["thumbnail_url"])).status_code == 200
        assert len([key for key in home.objects() if key.startswith("blobs/")]) == 1

    async def test_a_turned_bit_is_found_shown_to_nobody_and_healed(self, client, home):
        image = await uploaded(client)
        turned = bytearray(photo())
        turned[100] ^= 1
        damage(home, image["sha256"], bytes(turned))
        answer = await client.post(f"{IMAGES}/{image['id']}/verify", headers=token(image))
        found = answer.json()
        assert (answer.status_code, found["match"]) == (200, False)
        assert found["sha256"] == image["sha256"]
        assert found["stored_sha256"] == hashlib.sha256(turned).hexdigest()
        assert code(await client.get(image["url"])) == "STORAGE_UNAVAILABLE"
        assert (await client.get(f"{IMAGES}/{image['id']}")).status_code == 200
        again = await uploaded(client)
        assert (await client.get(image["url"])).content == photo()
        answer = await client.post(f"{IMAGES}/{image['id']}/verify", headers=token(image))
        assert answer.json()["match"] is True
        assert (await client.get(again["url"])).content == photo()


class TestVerification:
    async def test_of_a_whole_file(self, client, home):
        image = await uploaded(client)
        answer = await client.post(f"{IMAGES}/{image['id']}/verify", headers=token(image))
        assert answer.json() == {
            "match": True,
            "sha256": image["sha256"],
            "stored_sha256": image["sha256"],
            "verified_at": "2026-01-01T00:00:00Z",
        }

    async def test_of_a_missing_file(self, client, home):
        image = await uploaded(client)
        damage(home, image["sha256"], None)
        answer = await client.post(f"{IMAGES}/{image['id']}/verify", headers=token(image))
        assert (answer.json()["match"], answer.json()["stored_sha256"]) == (False, None)

    async def test_is_for_who_has_the_token(self, client):
        image, other = await uploaded(client), await uploaded(client)
        path = f"{IMAGES}/{image['id']}/verify"
        assert code(await client.post(path)) == "DELETE_TOKEN_REQUIRED"
        assert code(await client.post(path, headers=token(other))) == "INVALID_DELETE_TOKEN"
        assert (await client.post(path, params={"delete_token": image["delete_token"]})).status_code == 200
        assert code(await client.post(f"{IMAGES}/{UNKNOWN}/verify", headers=token(image))) == "IMAGE_NOT_FOUND"
        assert code(await client.post(f"{IMAGES}/short/verify", headers=token(image))) == "IMAGE_NOT_FOUND"


class TestUnknownAndPrivate:
    PATHS = ("", "/file", "/thumbnail", "/checksum", "/similar")

    @pytest.mark.parametrize(
        "image_id", [UNKNOWN, "short", "waytoolongtobeanid", "AAAAAAAAAA-", "%41AAAAAAAAAA", "చిత్రం"]
    )
    async def test_an_unknown_id(self, client, image_id):
        for path in self.PATHS:
            answer = await client.get(f"{IMAGES}/{image_id}{path}")
            assert (answer.status_code, code(answer)) == (404, "IMAGE_NOT_FOUND")

    async def test_a_private_image_is_404_without_its_token(self, client, home):
        image = await uploaded(client)
        await make_private(home, image["id"])
        other = await uploaded(client)
        for path in self.PATHS:
            for headers in ({}, token(other)):
                answer = await client.get(f"{IMAGES}/{image['id']}{path}", headers=headers)
                assert (answer.status_code, code(answer)) == (404, "IMAGE_NOT_FOUND")
            answer = await client.get(f"{IMAGES}/{image['id']}{path}", headers=token(image))
            assert answer.status_code == 200
        for send in (client.delete(f"{IMAGES}/{image['id']}"), client.post(f"{IMAGES}/{image['id']}/verify")):
            assert code(await send) == "IMAGE_NOT_FOUND"

    async def test_a_private_image_is_kept_by_no_cache(self, client, home):
        image = await uploaded(client)
        await make_private(home, image["id"])
        for path in ("", "/file", "/thumbnail", f"/file?v={image['sha256'][:8]}"):
            answer = await client.get(f"{IMAGES}/{image['id']}{path}", headers=token(image))
            assert answer.headers["cache-control"] == "private, no-store"


class TestDeletion:
    async def test_with_the_token_in_the_header_or_the_query(self, client):
        first, second = await uploaded(client), await uploaded(client)
        answer = await client.delete(f"{IMAGES}/{first['id']}", headers=token(first))
        assert (answer.status_code, answer.content) == (204, b"")
        answer = await client.delete(f"{IMAGES}/{second['id']}", params={"delete_token": second["delete_token"]})
        assert answer.status_code == 204

    async def test_refusals(self, client):
        image, other = await uploaded(client), await uploaded(client)
        path = f"{IMAGES}/{image['id']}"
        for headers, status, expected in (
            ({}, 403, "DELETE_TOKEN_REQUIRED"),
            ({"X-Delete-Token": ""}, 403, "INVALID_DELETE_TOKEN"),
            ({"X-Delete-Token": "x" * 43}, 403, "INVALID_DELETE_TOKEN"),
            (token(other), 403, "INVALID_DELETE_TOKEN"),
        ):
            answer = await client.delete(path, headers=headers)
            assert (answer.status_code, code(answer)) == (status, expected)
        assert code(await client.delete(f"{IMAGES}/{UNKNOWN}", headers=token(image))) == "IMAGE_NOT_FOUND"
        assert code(await client.delete(f"{IMAGES}/short", headers=token(image))) == "IMAGE_NOT_FOUND"
        assert (await client.get(path)).status_code == 200

    async def test_nobody_is_shown_it_any_more_and_the_second_time_is_404(self, client):
        image = await uploaded(client, fields={"visibility": "public"})
        path = f"{IMAGES}/{image['id']}"
        addresses = (path, image["url"], image["thumbnail_url"], f"{path}/checksum", f"{path}/similar")
        for address in addresses:
            assert (await client.get(address)).status_code == 200
        assert (await client.delete(path, headers=token(image))).status_code == 204
        for address in addresses:
            assert code(await client.get(address)) == "IMAGE_NOT_FOUND"
        assert (await client.get(IMAGES)).json()["items"] == []
        assert code(await client.delete(path, headers=token(image))) == "IMAGE_NOT_FOUND"

    async def test_another_image_of_the_same_bytes_stays(self, client, home):
        mine, yours = await uploaded(client), await uploaded(client)
        await client.delete(f"{IMAGES}/{mine['id']}", headers=token(mine))
        await home.application.collector.collect()
        assert (await client.get(yours["url"])).content == photo()
