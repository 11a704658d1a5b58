"""Addresses to be passed on: /i/{id} the page, /i/{id}.{ext} the file, /i/{id}/{size}.{ext} a thumbnail."""

import pytest

from tests.factories import pictures
from tests.integration.requests import UNKNOWN, code, uploaded


class TestShortLinks:
    @pytest.mark.parametrize(
        ("data", "extension", "kind"),
        [(pictures.jpeg(48, 32), "jpg", "image/jpeg"), (pictures.png(48, 32), "png", "image/png")],
    )
    async def test_are_the_file(self, client, data, extension, kind):
        image = await uploaded(client, data)
        path = f"/i/{image['id']}.{extension}"
        answer = await client.get(path)
        assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, data, kind)
        assert answer.headers["cache-control"] == "public, max-age=300"
        same = await client.get(f"/api/v1/images/{image['id']}/file")
        assert answer.headers["etag"] == same.headers["etag"]
        again = await client.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        part = await client.get(path, headers={"Range": "bytes=2-5"})
        assert (part.status_code, part.content) == (206, data[2:6])
        head = await client.head(path)
        assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(data)))

    @pytest.mark.parametrize("extension", ["png", "jpeg", "JPG", "webp", "html", "svg", ""])
    async def test_have_one_name(self, client, extension):
        image = await uploaded(client)
        answer = await client.get(f"/i/{image['id']}.{extension}")
        assert (answer.status_code, code(answer)) == (404, "IMAGE_NOT_FOUND")

    async def test_are_thumbnails(self, client):
        image = await uploaded(client, pictures.jpeg(700, 350))
        for size in (150, 300, 600):
            answer = await client.get(f"/i/{image['id']}/{size}.jpg")
            same = await client.get(f"/api/v1/images/{image['id']}/thumbnail?size={size}")
            assert (answer.status_code, answer.content) == (200, same.content)

    @pytest.mark.parametrize("name", ["299.jpg", "300.exe", "0300.jpg", ".jpg", "300.", "a/300.jpg", "300/300.jpg"])
    async def test_of_no_thumbnail(self, client, name):
        image = await uploaded(client)
        assert (await client.get(f"/i/{image['id']}/{name}")).status_code == 404

    @pytest.mark.parametrize("path", [f"/i/{UNKNOWN}.jpg", "/i/x.jpg", "/i/.jpg", f"/i/{UNKNOWN}/300.jpg", "/i/"])
    async def test_of_nothing(self, client, path):
        assert (await client.get(path)).status_code == 404

    async def test_percent_signs_are_in_none_of_them(self, client):
        image = await uploaded(client)
        first = f"%{ord(image['id'][0]):02X}"
        assert (await client.get(f"/i/{first}{image['id'][1:]}.jpg")).status_code == 404

    async def test_of_private_ones_are_the_owners_alone(self, ada, bob, stranger):
        image = await uploaded(ada.client, headers=ada.account.bearer, fields={"visibility": "private"})
        for path in (f"/i/{image['id']}.jpg", f"/i/{image['id']}/300.jpg"):
            answer = await ada.client.get(path)
            assert (answer.status_code, answer.headers["cache-control"]) == (200, "private, no-store")
            for visitor in (bob, stranger):
                hidden = await visitor.client.get(path)
                missing = await visitor.client.get(path.replace(image["id"], UNKNOWN))
                assert (hidden.status_code, hidden.content) == (404, missing.content)

    async def test_answer_get_and_head_alone(self, client):
        image = await uploaded(client)
        for path in (f"/i/{image['id']}.jpg", f"/i/{image['id']}/300.jpg"):
            answer = await client.post(path)
            assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
