"""The tutorial and the page on uploads do what they say: their commands are run as they stand."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from chitram import __version__
from tests.docs.commands import SHOWN, blocks, shell
from tests.factories import pictures
from tests.factories.servers import UNLIMITED, Server, running_server

pytestmark = pytest.mark.slow

#: The log line of the start that tells of each thing, with the settings at their defaults.
ANNOUNCED = (
    f"Chitram {__version__}, test",
    "Database: SQLite, WAL, every commit synced to disk",
    "Storage: local",
    "Cache: memory",
    "Rate limiter enabled (memory)",
    "Registration: open",
    "Uploads without an account: on",
    "Upload concurrency limit: 10",
    "Thumbnails: inline",
    "Formats: image/jpeg, image/png",
    "Metadata of uploads is removed",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("tutorial"), **UNLIMITED) as running:
        (running.directory / "photo.jpg").write_bytes(pictures.jpeg(400, 300))
        yield running


def run(server: Server, script: str, **filled: str) -> str:
    """Run `script` with the server's address, and with `filled` in place of each `…`."""
    for mark, value in filled.items():
        script = script.replace(f"{mark}…", f"{mark}{value}")
    return shell(script.replace(SHOWN, server.url), directory=server.directory)


def uploaded(server: Server) -> dict[str, Any]:
    with (server.directory / "photo.jpg").open("rb") as file:
        body: dict[str, Any] = httpx.post(f"{server.url}/api/v1/images/upload", files={"file": file}).json()
        return body


def test_the_tutorial(server: Server):
    start, health, upload, look, delete = blocks("tutorial/first-picture.md")
    assert start.strip() == "make run"
    assert '"status":"healthy"' in run(server, health)
    image = json.loads(run(server, upload))
    seen = run(server, look.replace("ID=…", f"ID={image['id']}"))
    metadata, _, head = seen.partition("HTTP/1.1 ")
    assert json.loads(metadata)["id"] == image["id"]
    assert "delete_token" not in metadata
    assert head.startswith("200 ")
    assert f'etag: "{image["sha256"]}"' in head
    with Image.open(server.directory / "small.jpg") as small:
        assert max(small.size) == 150
    again = json.loads(run(server, upload))
    assert again["id"] != image["id"]
    assert len([p for p in (server.data / "storage/blobs").rglob("*") if p.is_file()]) == 1
    gone = f"ID={image['id']}\n" + delete.replace("Token: …", f"Token: {image['delete_token']}")
    assert run(server, gone).startswith("HTTP/1.1 204 ")
    assert httpx.get(image["url"]).status_code == 404
    assert httpx.get(again["url"]).status_code == 200


def test_the_start_says_what_is_on(tmp_path: Path):
    with running_server(tmp_path) as running:
        lines = [json.loads(line)["event"] for line in running.log.read_text().splitlines()]
    assert [line for line in lines if line in ANNOUNCED] == list(ANNOUNCED)


def test_other_settings_are_announced_too(tmp_path: Path):
    settings = {
        "RATE_LIMIT_ENABLED": "false",
        "CACHE_ENABLED": "false",
        "UPLOAD_CONCURRENCY_LIMIT": "3",
        "REGISTRATION": "invite",
        "ANONYMOUS_UPLOADS": "false",
        "CORS_ORIGINS": "https://app.example.org",
    }
    with running_server(tmp_path, **settings) as running:
        lines = [json.loads(line)["event"] for line in running.log.read_text().splitlines()]
    announced = {
        "Rate limiter disabled",
        "Cache: disabled",
        "Upload concurrency limit: 3",
        "Registration: invite",
        "Uploads without an account: off",
        "Pages that may use the API: https://app.example.org",
    }
    assert announced <= set(lines)


# ------------------------------------------------------------------------------------------ upload from anywhere

PAGE = "how-to/upload-from-anywhere.md"


def command_with(text: str) -> str:
    """The one block of the page that contains `text`."""
    (found,) = [block for block in blocks(PAGE) if text in block]
    return found


def test_a_shell(server: Server):
    plain = blocks(PAGE)[0]
    assert json.loads(run(server, plain))["filename"] == "photo.jpg"
    public = plain.replace('"file=@photo.jpg"', '"file=@photo.jpg" -F visibility=public')
    assert json.loads(run(server, public))["visibility"] == "public"


def test_digests(server: Server):
    script = command_with("DIGEST=")
    assert json.loads(run(server, script))["id"]
    with pytest.raises(subprocess.CalledProcessError) as refused:
        run(server, script.replace("-binary photo.jpg", "-binary server.log"))
    assert "422" in refused.value.stderr


def test_a_screenshot_from_standard_input(server: Server):
    script = command_with("flameshot").replace("flameshot gui --raw", "cat photo.jpg").partition(" | jq")[0]
    assert json.loads(run(server, script))["filename"] == "screenshot.png"


def test_deleting(server: Server):
    image = uploaded(server)
    script = command_with("-X DELETE").replace("Token: …", f"Token: {image['delete_token']}")
    assert run(server, f"ID={image['id']}\n{script}") == ""
    assert httpx.get(image["url"]).status_code == 404


def test_python(server: Server):
    (program,) = blocks(PAGE, language="python")
    done = subprocess.run(
        [sys.executable, "-c", program.replace(SHOWN, server.url)],
        cwd=server.directory, capture_output=True, text=True, check=True,
    )  # fmt: skip
    url, token = done.stdout.split()
    assert httpx.get(url).status_code == 200
    assert len(token) == 43


def test_sharex(server: Server):
    """The file is followed as ShareX does: the form is sent, and addresses are taken out of the answer."""
    (text,) = blocks(PAGE, language="json")
    uploader = json.loads(text.replace(SHOWN, server.url))
    assert (uploader["Body"], "DeletionURL" in uploader) == ("MultipartFormData", False)
    with (server.directory / "photo.jpg").open("rb") as file:
        answer = httpx.request(
            uploader["RequestMethod"], uploader["RequestURL"], files={uploader["FileFormName"]: file}
        )
    for field in ("URL", "ThumbnailURL"):
        assert httpx.get(found(answer.json(), uploader[field])).status_code == 200
    refused = httpx.request(uploader["RequestMethod"], uploader["RequestURL"], files={"file": b"no picture " * 9})
    assert "Accepted are" in found(refused.json(), uploader["ErrorMessage"])


def found(body: Any, template: str) -> str:
    """What `{json:a.b}` names in `body`."""
    for name in template.removeprefix("{json:").removesuffix("}").split("."):
        body = body[name]
    assert isinstance(body, str)
    return body
