"""Who sees what over HTTP: public, unlisted and private, at every place where an image can show."""

import pytest

from chitram.settings import AppSettings, CacheSettings, LimitSettings, Settings
from tests.factories import pictures
from tests.factories.accounts import USERS, api_token, bearer, browser_signed_in, signed_up
from tests.integration.requests import IMAGES, UNKNOWN, UPLOAD, code, form, photo, post, token, uploaded

PLACES = ("", "/file", "/thumbnail", "/thumbnail?size=150", "/thumbnail?size=600", "/checksum", "/similar")
SEEN = {"public": 200, "unlisted": 200, "private": 404}


@pytest.fixture(params=["cached", "uncached"])
def settings(request, tmp_path) -> Settings:
    return Settings(
        app=AppSettings(env="test", data_dir=tmp_path),
        limits=LimitSettings(enabled=False),
        cache=CacheSettings(enabled=request.param == "cached"),
    )


async def everybody(client, home, image, ada):
    """Header fields of everybody who is not the owner, by name."""
    bob = await signed_up(client, "bob")
    other = await uploaded(client, pictures.png(9, 9))
    async with home.client() as browser:
        await browser_signed_in(browser, bob)
        cookie = {"Cookie": f"chitram_session={browser.cookies['chitram_session']}"}
    return {
        "nobody": {},
        "another": bob.bearer,
        "another's browser": cookie,
        "another's token": bearer(await api_token(client, bob, "read", "upload", "delete")),
        "a delete token": token(other),
        "stale cookie": {"Cookie": "chitram_session=stale"},
        "no scope": bearer(await api_token(client, ada, "upload", "delete")),
    }


async def of_owner(client, home, ada):
    async with home.client() as browser:
        await browser_signed_in(browser, ada)
        cookie = {"Cookie": f"chitram_session={browser.cookies['chitram_session']}"}
    return [ada.bearer, bearer(await api_token(client, ada, "read")), cookie]


@pytest.mark.parametrize("visibility", SEEN)
async def test_every_place_for_everybody(client, home, visibility):
    ada = await signed_up(client)
    image = await uploaded(client, headers=ada.bearer, fields={"visibility": visibility})
    assert image["visibility"] == visibility
    everyone = await everybody(client, home, image, ada)
    for place in PLACES:
        address = f"{IMAGES}/{image['id']}{place}"
        for headers in await of_owner(client, home, ada):
            answer = await client.get(address, headers=headers)
            assert answer.status_code == 200
            if visibility == "private" and place != "/similar":
                assert answer.headers["cache-control"] in ("private, no-store", "no-store")
        for who, headers in everyone.items():
            for method in ("GET", "HEAD"):
                answer = await client.request(method, address, headers=headers)
                assert answer.status_code == SEEN[visibility], (who, method, place)


async def test_a_private_image_is_as_one_that_is_not_there(client, home):
    ada = await signed_up(client)
    image = await uploaded(client, headers=ada.bearer, fields={"visibility": "private"})
    everyone = await everybody(client, home, image, ada)
    conditions = {"If-None-Match": f'"{image["sha256"]}"', "Range": "bytes=0-9"}
    for place in PLACES:
        for who, headers in everyone.items():
            private, absent = [
                await client.get(f"{IMAGES}/{image_id}{place}", headers=headers | conditions)
                for image_id in (image["id"], UNKNOWN)
            ]
            assert code(private) == "IMAGE_NOT_FOUND"
            assert private.content == absent.content, (who, place)
            assert without_id(private) == without_id(absent), (who, place)


def without_id(answer):
    return {name: value for name, value in answer.headers.items() if name != "x-request-id"}


async def test_bytes_of_private_images_are_for_nobodys_cache(client):
    ada = await signed_up(client)
    image = await uploaded(client, headers=ada.bearer, fields={"visibility": "private"})
    for address in (image["url"], f"{IMAGES}/{image['id']}/file", *image["thumbnails"].values()):
        answer = await client.get(address, headers=ada.bearer)
        assert answer.headers["cache-control"] == "private, no-store"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["x-robots-tag"] == "noindex"
    part = await client.get(image["url"], headers=ada.bearer | {"Range": "bytes=0-9"})
    assert (part.status_code, part.headers["cache-control"]) == (206, "private, no-store")
    unchanged = await client.get(image["url"], headers=ada.bearer | {"If-None-Match": part.headers["etag"]})
    assert (unchanged.status_code, unchanged.headers["cache-control"]) == (304, "private, no-store")


async def test_lists_show_what_is_for_those_who_ask(client, home):
    ada, bob = await signed_up(client), await signed_up(client, "bob")
    images = {
        visibility: await uploaded(client, headers=ada.bearer, fields={"visibility": visibility}) for visibility in SEEN
    }
    ids = {visibility: image["id"] for visibility, image in images.items()}
    for headers in ({}, ada.bearer, bob.bearer):
        listed = (await client.get(IMAGES, headers=headers)).json()["items"]
        assert [item["id"] for item in listed] == [ids["public"]]
    mine = await client.get(f"{USERS}/images", headers=ada.bearer)
    assert {item["id"] for item in mine.json()["items"]} == set(ids.values())
    assert mine.headers["cache-control"] == "private, no-store"
    assert (await client.get(f"{USERS}/images", headers=bob.bearer)).json()["items"] == []
    similar = f"{IMAGES}/{ids['public']}/similar"
    for headers, expected in (
        ({}, set()),
        (bob.bearer, set()),
        (bearer(await api_token(client, ada, "upload")), set()),
        (ada.bearer, {ids["unlisted"], ids["private"]}),
        (bearer(await api_token(client, ada, "read")), {ids["unlisted"], ids["private"]}),
    ):
        assert {item["id"] for item in (await client.get(similar, headers=headers)).json()["items"]} == expected
    theirs = await uploaded(client, headers=bob.bearer)
    seen = {i["id"] for i in (await client.get(f"{IMAGES}/{theirs['id']}/similar", headers=bob.bearer)).json()["items"]}
    assert seen == {ids["public"]}
    assert ids["private"] not in (await client.get("/metrics")).text


async def test_what_changed_is_seen_at_once(client):
    ada = await signed_up(client)
    image = await uploaded(client, headers=ada.bearer)
    path = f"{IMAGES}/{image['id']}"
    for visibility in ("private", "public", "private", "unlisted"):
        assert (await client.patch(path, json={"visibility": visibility}, headers=ada.bearer)).status_code == 200
        for place in PLACES:
            assert (await client.get(path + place)).status_code == SEEN[visibility], (visibility, place)
            assert (await client.get(path + place, headers=ada.bearer)).status_code == 200
        listed = [item["id"] for item in (await client.get(IMAGES)).json()["items"]]
        assert (image["id"] in listed) is (visibility == "public")


class TestChoosing:
    async def test_strangers_have_nothing_private(self, client):
        answer = await post(client, fields={"visibility": "private"})
        assert (answer.status_code, code(answer)) == (422, "VALIDATION_ERROR")
        for visibility in ("public", "unlisted"):
            assert (await uploaded(client, fields={"visibility": visibility}))["visibility"] == visibility

    @pytest.mark.parametrize("value", ["secret", "PUBLIC", "public,private", "public private"])
    async def test_there_are_three(self, client, value):
        ada = await signed_up(client)
        answer = await post(client, headers=ada.bearer, fields={"visibility": value})
        assert (answer.status_code, code(answer)) == (422, "VALIDATION_ERROR")

    @pytest.mark.parametrize(("first", "second"), [("private", "public"), ("public", "private"), ("public", "public")])
    async def test_only_one_can_be_asked_for(self, client, first, second):
        ada = await signed_up(client)
        body, headers = form(photo())
        fields = "".join(
            f'--limit\r\nContent-Disposition: form-data; name="visibility"\r\n\r\n{value}\r\n'
            for value in (first, second)
        )
        answer = await client.post(UPLOAD, content=fields.encode() + body, headers=headers | ada.bearer)
        assert (answer.status_code, code(answer)) == (400, "INVALID_REQUEST")
        query = f"{UPLOAD}?visibility={first}&visibility={second}"
        answer = await client.post(query, content=body, headers=headers | ada.bearer)
        assert (answer.status_code, code(answer)) == (422, "VALIDATION_ERROR")

    async def test_the_address_does_not_choose(self, client):
        ada = await signed_up(client)
        body, headers = form(photo())
        for value in ("public", "private", ""):
            answer = await client.post(f"{UPLOAD}?visibility={value}", content=body, headers=headers | ada.bearer)
            assert (answer.status_code, code(answer)) == (422, "VALIDATION_ERROR")
        assert (await client.get(f"{USERS}/usage", headers=ada.bearer)).json()["used"]["files"] == 0
