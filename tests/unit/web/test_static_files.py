"""Static files: names that carry their content, also those of files that they refer to."""

import gzip
import re

import pytest

from chitram.domain.errors import MethodNotAllowed, NotFound
from chitram.entrypoints.web.static_files import StaticFiles

PATTERN = re.compile(r"/static/(?:[\w-]+/)*[\w.-]+\.[0-9a-f]{10}\.[a-z0-9]+")


def write(directory, **files):
    for name, text in (
        {"style": '@font-face{src:url("fonts/a.woff2")}', "main": 'import "./other.js";'} | files
    ).items():
        path = {"style": "app.css", "main": "js/app.js", "other": "js/other.js", "font": "fonts/a.woff2"}[name]
        (directory / path).parent.mkdir(exist_ok=True, parents=True)
        (directory / path).write_text(text, encoding="utf-8")


@pytest.fixture
def directory(tmp_path):
    write(tmp_path, other="export const a = 1;", font="font")
    return tmp_path


async def get(static, path, *, method="GET", headers=()):
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        raise AssertionError("nothing is to be read")

    scope = {"type": "http", "method": method, "path": path, "headers": [(k.encode(), v.encode()) for k, v in headers]}
    await static(scope, receive, send)
    start, body = sent
    return start["status"], {k.decode(): v.decode() for k, v in start["headers"]}, body["body"]


NAMES = ["app.css", "js/app.js", "js/other.js", "fonts/a.woff2"]


async def test_names_carry_the_content(directory):
    static = StaticFiles(directory)
    for name in NAMES:
        assert PATTERN.fullmatch(static.url(name))
        status, fields, _ = await get(static, static.url(name))
        assert (status, fields["cache-control"]) == (200, "public, max-age=31536000, immutable")
    with pytest.raises(KeyError):
        static.url("nothing.css")


@pytest.mark.parametrize(
    ("changed", "names"),
    [("font", {"app.css", "fonts/a.woff2"}), ("other", {"js/app.js", "js/other.js"}), ("style", {"app.css"})],
)
def test_what_refers_to_a_file_changes_its_name_with_it(directory, changed, names):
    before = StaticFiles(directory)
    write(directory, **{changed: "another"})
    after = StaticFiles(directory)
    assert {name for name in NAMES if before.url(name) != after.url(name)} == names


async def test_references_lead_to_the_hashed_names(directory):
    static = StaticFiles(directory)
    _, _, body = await get(static, static.url("app.css"))
    assert static.url("fonts/a.woff2").removeprefix("/static/") in body.decode()
    _, _, body = await get(static, static.url("js/app.js"))
    assert f'"./{static.url("js/other.js").rpartition("/")[2]}"' in body.decode()


async def test_every_reference_of_ours_leads_somewhere():
    static = StaticFiles()
    for name in ("app.css", "js/app.js"):
        _, _, body = await get(static, static.url(name))
        found = re.findall(r"""["'(](\./[\w.-]+|fonts/[\w.-]+)["')]""", body.decode())
        assert found
        for reference in found:
            directory = static.url(name).rpartition("/")[0]
            status, fields, _ = await get(static, f"{directory}/{reference.removeprefix('./')}")
            assert (status, "immutable" in fields["cache-control"]) == (200, True), reference


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("app.css", "text/css; charset=utf-8"),
        ("js/app.js", "text/javascript; charset=utf-8"),
        ("fonts/a.woff2", "font/woff2"),
        ("x.webmanifest", "application/manifest+json"),
        ("x.svg", "image/svg+xml"),
        ("x.unheardof", "application/octet-stream"),
    ],
)
async def test_content_types(directory, name, kind):
    (directory / name).touch()
    static = StaticFiles(directory)
    assert (await get(static, static.url(name)))[1]["content-type"] == kind


@pytest.mark.parametrize(
    ("accepted", "compressed"), [("gzip", True), ("br, gzip;q=0.5", True), ("gzip;q=0", False), ("br", False)]
)
async def test_compressed_for_those_who_take_it(directory, accepted, compressed):
    static = StaticFiles(directory)
    _, fields, body = await get(static, static.url("app.css"), headers=[("accept-encoding", accepted)])
    assert (fields.get("content-encoding") == "gzip") is compressed
    assert fields["vary"] == "Accept-Encoding"
    assert int(fields["content-length"]) == len(body)
    assert b"@font-face" in (gzip.decompress(body) if compressed else body)
    _, fields, _ = await get(static, static.url("fonts/a.woff2"), headers=[("accept-encoding", accepted)])
    assert "content-encoding" not in fields


async def test_not_again_for_those_who_have_it(directory):
    static = StaticFiles(directory)
    _, fields, _ = await get(static, static.url("app.css"))
    status, again, body = await get(static, static.url("app.css"), headers=[("if-none-match", fields["etag"])])
    assert (status, body, again["etag"]) == (304, b"", fields["etag"])
    # As browsers and proxies may say it: one of several, a weak one, whatever there is.
    for field in (f'"x", {fields["etag"]}', f"W/{fields['etag']}", "*"):
        status, _, body = await get(static, static.url("app.css"), headers=[("if-none-match", field)])
        assert (status, body) == (304, b""), field
    for field in ('"x"', fields["etag"].strip('"'), ""):
        status, _, _ = await get(static, static.url("app.css"), headers=[("if-none-match", field)])
        assert status == 200, field


async def test_plain_names_head_and_all_else(directory):
    static = StaticFiles(directory)
    _, fields, body = await get(static, "/static/app.css", method="HEAD")
    assert (fields["cache-control"], body) == ("public, no-cache", b"")
    for path in ("/static/", "/static/x", "/static/../app.css", "/static//app.css"):
        with pytest.raises(NotFound):
            await get(static, path)
    with pytest.raises(MethodNotAllowed):
        await get(static, "/static/app.css", method="POST")
