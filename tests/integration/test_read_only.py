"""Read-only mode: pictures are shown as ever, and not a byte of the data changes."""

import hashlib
import re
from pathlib import Path

import pytest

from chitram.adapters.db import migrate
from chitram.bootstrap import StartupError, check_start, operating, prepare
from chitram.domain.errors import ReadOnly
from chitram.settings import AppSettings, LimitSettings, Settings
from tests.factories.accounts import signed_up
from tests.factories.applications import client_of
from tests.integration.requests import IMAGES, UNKNOWN, code, post, token, uploaded

CHANGING = ("post", "put", "patch", "delete")


def settings_of(directory: Path, *, read_only: bool) -> Settings:
    return Settings(
        app=AppSettings(env="test", data_dir=directory, read_only=read_only), limits=LimitSettings(enabled=False)
    )


def digest(directory: Path) -> dict[str, str]:
    """What the database and the store hold, file by file."""
    kept = [path for path in directory.rglob("*") if path.is_file() and ".staging" not in path.parts]
    return {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in kept
        if path.suffix not in (".lock", ".db-shm") and ".incoming" not in path.parts
    }


async def test_everything_is_shown_and_nothing_changes(tmp_path):
    async with client_of(settings_of(tmp_path, read_only=False)) as client:
        ada = await signed_up(client)
        image = await uploaded(client)
    before = digest(tmp_path)
    async with client_of(settings_of(tmp_path, read_only=True)) as client:
        for address in (image["url"], image["thumbnail_url"], f"{IMAGES}/{image['id']}", "/", f"/image/{image['id']}"):
            assert (await client.get(address)).status_code == 200, address
        assert (await client.get("/api/v1/auth/me", headers=ada.bearer)).json()["email"] == ada.email
        health = await client.get("/health")
        assert (health.status_code, health.json()["status"]) == (200, "healthy")
        refused = await post(client)
        assert (refused.status_code, code(refused)) == (503, "READ_ONLY")
        assert refused.headers["retry-after"] == "60"
        assert code(await client.delete(f"{IMAGES}/{image['id']}", headers=token(image))) == "READ_ONLY"
        assert (await client.get(image["url"])).status_code == 200
    assert digest(tmp_path) == before
    async with client_of(settings_of(tmp_path, read_only=False)) as client:
        assert (await client.delete(f"{IMAGES}/{image['id']}", headers=token(image))).status_code == 204


async def test_every_changing_route_is_refused(tmp_path):
    prepare(settings_of(tmp_path, read_only=False))
    async with client_of(settings_of(tmp_path, read_only=True)) as client:
        document = (await client.get("/openapi.json")).json()
        asked = [
            (method, re.sub(r"\{[^}]+\}", UNKNOWN, path))
            for path, operations in document["paths"].items()
            for method in operations
            if method in CHANGING
        ]
        assert len(asked) > 10
        for method, path in [*asked, ("post", "/login"), ("post", "/logout"), ("post", "/nowhere")]:
            answer = await client.request(method, path, headers={"Accept": "application/json"})
            assert (answer.status_code, code(answer)) == (503, "READ_ONLY"), (method, path)


async def test_people_get_a_page_that_says_so(tmp_path):
    prepare(settings_of(tmp_path, read_only=False))
    async with client_of(settings_of(tmp_path, read_only=True)) as client:
        answer = await client.post("/login", headers={"Accept": "text/html"}, data={"email": "x", "password": "y"})
        pages = [(await client.get(path)).text for path in ("/", "/upload", "/login")]
    assert answer.status_code == 503
    assert "Nothing can be changed now" in answer.text
    assert ">This server is being worked on." in answer.text
    assert ['notice-warning mb-6">This server is being worked on.' in page for page in pages] == [True] * 3


async def test_no_transaction_that_could_write_begins(tmp_path):
    prepare(settings_of(tmp_path, read_only=False))
    async with operating(settings_of(tmp_path, read_only=True)) as application:
        with pytest.raises(ReadOnly):
            await application.administration.create("ada@example.org", password="correct horse battery")
        assert not application.runner.alive()


def test_a_schema_that_would_have_to_be_changed_is_told(tmp_path):
    with pytest.raises(StartupError, match=r"There is no database at .*: is this the directory"):
        prepare(settings_of(tmp_path, read_only=True))
    prepare(settings_of(tmp_path, read_only=False))
    migrate.downgrade(settings_of(tmp_path, read_only=False).database_url, "-1")
    with pytest.raises(StartupError, match="READ_ONLY: the schema is not up to date"):
        prepare(settings_of(tmp_path, read_only=True))
    prepare(settings_of(tmp_path, read_only=False))
    prepare(settings_of(tmp_path, read_only=True))
    check_start(settings_of(tmp_path, read_only=True))
