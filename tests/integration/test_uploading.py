"""`POST /api/v1/images/upload`: what is taken, what is answered, what is refused."""

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from chitram.domain.media import FORMATS
from chitram.settings import AppSettings, LimitSettings, Settings, UploadSettings
from tests.factories import pictures
from tests.factories.applications import house
from tests.integration.requests import IMAGES, UPLOAD, code, form, photo, post, uploaded

LIMIT = 1024 * 1024


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        app=AppSettings(env="test", data_dir=tmp_path),
        limits=LimitSettings(enabled=False),
        uploads=UploadSettings(max_file_size_mb=1),
    )


def padded(data: bytes, length: int) -> bytes:
    """`data`, a PNG, made `length` bytes long by a comment, which counts towards the size of what is sent."""
    missing = length - len(data) - 12
    return pictures.with_chunks(data, pictures.chunk(b"tEXt", b"Comment\0" + b"x" * (missing - 8)))


class TestAnswer:
    async def test_tells_everything_about_the_new_image(self, client):
        answer = await post(client, name="cat.jpg")
        image = answer.json()
        assert answer.status_code == 201
        assert set(image) == {
            "id", "filename", "content_type", "file_size", "url", "created_at", "width", "height", "delete_token",
            "thumbnail_ready", "thumbnail_url", "thumbnails", "sha256", "visibility", "placeholder", "duplicate_of",
            "title", "description",
        }  # fmt: skip
        assert re.fullmatch(r"[0-9A-Za-z]{11}", image["id"])
        assert re.fullmatch(r"[\w-]{43}", image["delete_token"])
        assert (image["filename"], image["content_type"]) == ("cat.jpg", "image/jpeg")
        assert (image["width"], image["height"]) == (48, 32)
        assert (image["file_size"], image["sha256"]) == (len(photo()), hashlib.sha256(photo()).hexdigest())
        assert (image["visibility"], image["duplicate_of"], image["thumbnail_ready"]) == ("unlisted", None, True)
        assert base64.b64decode(image["placeholder"])
        assert image["created_at"].endswith("Z")
        assert datetime.fromisoformat(image["created_at"]).utcoffset() is not None

    async def test_its_addresses_are_absolute_and_work(self, client):
        answer = await post(client)
        image, base = answer.json(), "http://testserver" + IMAGES
        version = image["sha256"][:8]
        assert answer.headers["location"] == f"{base}/{image['id']}"
        assert image["url"] == f"{base}/{image['id']}/file?v={version}"
        assert image["thumbnail_url"] == image["thumbnails"]["300"]
        assert set(image["thumbnails"]) == {"150", "300", "600"}
        for address in (answer.headers["location"], image["url"], *image["thumbnails"].values()):
            assert (await client.get(address)).status_code == 200
        assert (await client.get(image["url"])).content == photo()

    async def test_two_uploads_of_the_same_bytes_are_two_images_over_one_stored_file(self, client, home):
        first, second = await uploaded(client), await uploaded(client)
        assert first["id"] != second["id"]
        assert first["delete_token"] != second["delete_token"]
        assert second["duplicate_of"] is None
        assert len([key for key in home.objects() if key.startswith("blobs/")]) == 1

    async def test_whether_a_stranger_has_the_bytes_cannot_be_seen(self, client):
        first, second = await post(client), await post(client)
        assert first.json().keys() == second.json().keys()
        assert set(first.headers) == set(second.headers)
        assert first.status_code == second.status_code

    async def test_public_url_is_what_addresses_begin_with(self, tmp_path):
        app = AppSettings(env="test", data_dir=tmp_path, public_url="https://img.example.org/pics/")
        async with house(tmp_path, settings=Settings(app=app)) as home, home.client() as client:
            answer = await post(client)
        assert answer.headers["location"].startswith("https://img.example.org/pics/api/v1/images/")
        assert answer.json()["url"].startswith("https://img.example.org/pics/api/v1/images/")


class TestSize:
    @pytest.mark.parametrize("length", [LIMIT - 1, LIMIT])
    async def test_up_to_the_limit_passes(self, client, length):
        answer = await post(client, padded(pictures.png(8, 8), length))
        assert answer.status_code == 201

    @pytest.mark.parametrize("length", [LIMIT + 1, LIMIT + 60_000, 2 * LIMIT, 8 * LIMIT])
    async def test_one_byte_more_is_refused(self, client, home, length):
        answer = await post(client, padded(pictures.png(8, 8), length))
        assert (answer.status_code, code(answer)) == (413, "FILE_TOO_LARGE")
        assert answer.json()["detail"]["details"] == {"max_bytes": LIMIT}
        assert home.objects() == set()

    @pytest.mark.parametrize(("length", "status"), [(LIMIT, 201), (LIMIT + 1, 413), (3 * LIMIT, 413)])
    async def test_the_same_without_a_declared_length(self, client, length, status):
        body, headers = form(padded(pictures.png(8, 8), length))
        answer = await client.post(UPLOAD, content=pieces(body), headers=headers)
        assert answer.status_code == status

    async def test_no_more_is_taken_in_than_the_limit_and_a_piece(self, client):
        taken = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal taken
            body, _ = form(b"")
            yield body[: -len(b"\r\n--limit--\r\n")]
            while True:
                taken += 65536
                yield b"x" * 65536
                assert taken < 80 * LIMIT

        answer = await client.post(UPLOAD, content=endless(), headers=form(b"")[1])
        assert code(answer) == "FILE_TOO_LARGE"

    async def test_an_empty_file(self, client):
        answer = await post(client, b"")
        assert (answer.status_code, code(answer)) == (400, "INVALID_REQUEST")

    async def test_one_byte(self, client):
        answer = await post(client, b"\xff")
        assert (answer.status_code, code(answer)) == (400, "INVALID_FILE_FORMAT")
        assert answer.json()["detail"]["details"] == {"reason": "truncated"}


async def pieces(body: bytes, *, size: int = 30_000) -> AsyncIterator[bytes]:
    for at in range(0, len(body), size):
        yield body[at : at + size]


class TestContent:
    async def test_jpeg_and_png_are_on_and_the_message_names_them(self, client):
        for data in (pictures.jpeg(16, 16), pictures.png(16, 16)):
            assert (await post(client, data)).status_code == 201
        for data in (pictures.webp(16, 16), pictures.gif(16, 16)):
            answer = await post(client, data)
            assert (answer.status_code, code(answer)) == (400, "INVALID_FILE_FORMAT")
            assert answer.json()["detail"]["details"] == {"reason": "unsupported_type"}
            assert "JPEG and PNG" in answer.json()["detail"]["message"]

    async def test_every_other_format_by_setting(self, tmp_path):
        app, every = AppSettings(env="test", data_dir=tmp_path), tuple(FORMATS)
        settings = Settings(app=app, uploads=UploadSettings(allowed_content_types=every))
        async with house(tmp_path, settings=settings) as home, home.client() as client:
            for make, kind in (
                (pictures.webp, "image/webp"),
                (pictures.gif, "image/gif"),
                (pictures.avif, "image/avif"),
                (pictures.jpeg, "image/jpeg"),
                (pictures.png, "image/png"),
            ):
                image = await uploaded(client, make(24, 16), name="x")
                assert image["content_type"] == kind
                assert image["filename"] == "x"
                assert (await client.get(image["url"])).headers["content-type"] == kind
                assert (await client.get(image["thumbnail_url"])).status_code == 200

    async def test_the_content_decides_not_the_name_nor_the_declaration(self, client):
        image = await uploaded(client, pictures.png(16, 16), name="photo.jpg", declared="image/jpeg")
        assert image["content_type"] == "image/png"
        assert (await client.get(image["url"])).headers["content-type"] == "image/png"

    @pytest.mark.parametrize("declared", ["image/jpeg", "IMAGE/PNG", "image/whatever", "application/octet-stream"])
    async def test_declarations_that_leave_it_open(self, client, declared):
        assert (await post(client, declared=declared)).status_code == 201

    @pytest.mark.parametrize("declared", ["text/html", "application/pdf", "video/mp4", "imagejpeg"])
    async def test_declarations_that_say_it_is_no_image(self, client, declared):
        answer = await post(client, declared=declared)
        assert (answer.status_code, code(answer)) == (400, "INVALID_FILE_FORMAT")
        assert answer.json()["detail"]["details"]["reason"] == "type_mismatch"

    async def test_a_truncated_file(self, client, home):
        answer = await post(client, photo()[:-200])
        assert answer.json()["detail"]["details"]["reason"] == "truncated"
        assert home.objects() == set()

    async def test_metadata_goes_and_pixels_stay(self, client):
        data = pictures.jpeg(48, 32, secrets=True)
        image = await uploaded(client, data)
        kept = (await client.get(image["url"])).content
        assert pictures.SECRET in data
        assert pictures.SECRET not in kept
        assert image["sha256"] == hashlib.sha256(kept).hexdigest()
        assert image["file_size"] == len(kept) < len(data)


class TestName:
    @pytest.mark.parametrize(
        ("sent", "kept"),
        [
            ("చిత్రం.jpg", "చిత్రం.jpg"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Temp\\cat.jpg", "cat.jpg"),
            ("a\u202egpj.exe", "agpj.exe"),
            ("..", "image.jpg"),
            ("n" * 400 + ".jpg", "n" * 251 + ".jpg"),
        ],
    )
    async def test_is_cleaned_and_comes_back_with_the_file(self, client, sent, kept):
        body, headers = form(photo(), name=sent.replace("\\", "\\\\"))
        answer = await client.post(UPLOAD, content=body, headers=headers)
        assert answer.status_code == 201
        image = answer.json()
        assert image["filename"] == kept
        disposition = (await client.get(image["url"], params={"download": "1"})).headers["content-disposition"]
        assert disposition.startswith("attachment")
        assert rfc6266_name(disposition) == kept

    async def test_none_becomes_one_with_the_right_extension(self, client):
        body = b'--b\r\nContent-Disposition: form-data; name="file"\r\nContent-Type: image/png\r\n\r\n'
        body += pictures.png(8, 8) + b"\r\n--b--\r\n"
        answer = await client.post(UPLOAD, content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
        assert answer.json()["filename"] == "image.png"


def rfc6266_name(disposition: str) -> str:
    """The file name as a browser reads it."""
    extended = re.search(r"filename\*=UTF-8''([^;]+)", disposition)
    if extended:
        return httpx.QueryParams(f"n={extended.group(1).replace('+', '%2B')}")["n"]
    plain = re.search(r'filename="((?:[^"\\]|\\.)*)"', disposition)
    assert plain is not None
    return re.sub(r"\\(.)", r"\1", plain.group(1))


def digest(data: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"


def older_digest(data: bytes) -> str:
    return f"sha-256={base64.b64encode(hashlib.sha256(data).digest()).decode()}"


def md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data).digest()).decode()


class TestDigests:
    async def test_that_hold(self, client):
        body, headers = form(photo())
        for extra in (
            {"Content-Digest": digest(body)},
            {"Repr-Digest": digest(photo())},
            {"Repr-Digest": digest(body)},
            {"Repr-Digest": "md5=:AAAA:"},
            {"Digest": f"unixsum=30637,{older_digest(photo())}"},
            {"Digest": older_digest(body)},
            {"Content-MD5": md5(body)},
        ):
            answer = await client.post(UPLOAD, content=body, headers=headers | extra)
            assert answer.status_code == 201

    @pytest.mark.parametrize("field", ["Content-Digest", "Repr-Digest"])
    async def test_that_do_not(self, client, home, field):
        body, headers = form(photo())
        answer = await client.post(UPLOAD, content=body, headers=headers | {field: digest(b"something else")})
        assert (answer.status_code, code(answer)) == (422, "CHECKSUM_MISMATCH")
        assert answer.json()["detail"]["details"] == {"field": field.lower()}
        assert home.objects() == set()

    @pytest.mark.parametrize(
        ("field", "make"),
        [("Content-MD5", md5), ("Digest", older_digest), ("Digest", lambda data: f"md5={md5(data)}")],
    )
    async def test_of_older_kinds_that_do_not(self, client, home, field, make):
        body, headers = form(photo())
        answer = await client.post(UPLOAD, content=body, headers=headers | {field: make(b"something else")})
        assert (answer.status_code, code(answer)) == (422, "CHECKSUM_MISMATCH")
        assert answer.json()["detail"]["details"] == {"field": field.lower()}
        assert home.objects() == set()

    @pytest.mark.parametrize("field", ["Content-Digest", "Repr-Digest", "Digest", "Content-MD5"])
    async def test_that_are_none(self, client, field):
        body, headers = form(photo())
        answer = await client.post(UPLOAD, content=body, headers=headers | {field: "sha-256=abc"})
        assert (answer.status_code, code(answer)) == (400, "INVALID_REQUEST")

    async def test_of_the_received_bytes_even_when_others_are_kept(self, client):
        data = pictures.jpeg(48, 32, secrets=True)
        body, headers = form(data)
        answer = await client.post(UPLOAD, content=body, headers=headers | {"Repr-Digest": digest(data)})
        assert answer.status_code == 201
        assert answer.json()["sha256"] != hashlib.sha256(data).hexdigest()


class TestVisibility:
    @pytest.mark.parametrize("visibility", ["public", "unlisted"])
    async def test_as_asked(self, client, visibility):
        assert (await uploaded(client, fields={"visibility": visibility}))["visibility"] == visibility

    async def test_an_empty_field_is_none(self, client):
        assert (await uploaded(client, fields={"visibility": ""}))["visibility"] == "unlisted"

    @pytest.mark.parametrize("visibility", ["private", "PUBLIC", "secret"])
    async def test_anything_else(self, client, home, visibility):
        answer = await post(client, fields={"visibility": visibility})
        assert (answer.status_code, code(answer)) == (422, "VALIDATION_ERROR")
        assert answer.json()["detail"]["details"]["errors"][0]["field"] == "visibility"
        assert home.objects() == set()

    async def test_the_default_is_a_setting(self, tmp_path):
        app, uploads = AppSettings(env="test", data_dir=tmp_path), UploadSettings(default_visibility="public")
        async with house(tmp_path, settings=Settings(app=app, uploads=uploads)) as home, home.client() as client:
            assert (await uploaded(client))["visibility"] == "public"


class TestForm:
    async def test_no_file(self, client):
        for options in (
            {},
            {"data": {"other": "x"}},
            {"files": {"picture": ("a.jpg", photo())}},
            {"content": photo(), "headers": {"Content-Type": "image/jpeg"}},
            {"json": {"file": "x"}},
        ):
            answer = await client.post(UPLOAD, **options)
            assert (answer.status_code, code(answer)) == (422, "VALIDATION_ERROR")
            assert answer.json()["detail"]["details"]["errors"][0]["field"] == "file"

    async def test_two_files(self, client, home):
        answer = await client.post(UPLOAD, files=[("file", ("a.jpg", photo())), ("file", ("b.jpg", photo(1)))])
        assert (answer.status_code, code(answer)) == (400, "INVALID_REQUEST")
        assert home.objects() == set()

    @pytest.mark.parametrize(
        ("body", "content_type"),
        [
            (b"no form at all", "multipart/form-data; boundary=x"),
            (b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nx', "multipart/form-data; boundary=x"),
            (b"--x\r\nbroken", "multipart/form-data; boundary=x"),
            (b"", "multipart/form-data"),
        ],
    )  # fmt: skip
    async def test_broken_forms(self, client, body, content_type):
        answer = await client.post(UPLOAD, content=body, headers={"Content-Type": content_type})
        assert answer.status_code in (400, 422)
        assert code(answer) in ("INVALID_REQUEST", "VALIDATION_ERROR")

    async def test_a_compressed_body(self, client):
        body, headers = form(photo())
        answer = await client.post(UPLOAD, content=body, headers=headers | {"Content-Encoding": "gzip"})
        assert (answer.status_code, code(answer)) == (400, "INVALID_REQUEST")

    async def test_the_staging_directory_is_empty_afterwards(self, client, home, tmp_path):
        for data in (photo(), b"", b"no picture", photo()[:-100]):
            await post(client, data)
        staged = [path for path in (tmp_path / "staging").rglob("*") if path.is_file() and path.stat().st_size]
        assert staged == []
