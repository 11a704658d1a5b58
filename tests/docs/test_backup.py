"""The page on backups is followed while pictures come in, and what it makes is a whole service."""

import sqlite3
from pathlib import Path

import httpx
import pytest

from tests.docs.commands import blocks, shell
from tests.factories import pictures
from tests.factories.servers import UNLIMITED, Server, running_server

pytestmark = pytest.mark.slow

PAGE = "how-to/back-up-and-restore.md"


def upload(server: Server, seed: int) -> str:
    files = {"file": pictures.jpeg(60, 40, seed=seed)}
    identity: str = httpx.post(f"{server.url}/api/v1/images/upload", files=files).json()["id"]
    return identity


def restored(directory: Path) -> Server:
    """A server over the copy, moved to a place of its own as if to another machine."""
    moved = directory / "elsewhere"
    moved.mkdir()
    (directory / "copy").rename(moved / "data")
    return Server(moved, settings=UNLIMITED)


def test_a_copy_while_it_runs(tmp_path: Path):
    script = next(block for block in blocks(PAGE) if "sqlite3" in block)
    database, files = script.partition("cp -a")[::2]
    with running_server(tmp_path, **UNLIMITED) as server:
        before = [upload(server, seed) for seed in range(3)]
        shell(database, directory=tmp_path)
        upload(server, 9)
        shell(f"cp -a{files}", directory=tmp_path)
    copy = restored(tmp_path)
    assert copy.chitram("migrate").returncode == 0
    examined = copy.chitram("doctor")
    assert (examined.returncode, examined.stdout.splitlines()[0].partition(" over")[0]) == (0, "3 images")
    copy.start()
    try:
        assert httpx.get(f"{copy.url}/health").json()["status"] == "healthy"
        for image in before:
            assert httpx.get(f"{copy.url}/api/v1/images/{image}/file").status_code == 200
            assert httpx.get(f"{copy.url}/api/v1/images/{image}/thumbnail").status_code == 200
    finally:
        copy.stop()


def test_vacuum_into_is_as_good(tmp_path: Path):
    with running_server(tmp_path, **UNLIMITED) as server:
        image = upload(server, 1)
        (tmp_path / "copy").mkdir()
        shell("sqlite3 data/chitram.db \"VACUUM INTO 'copy/chitram.db'\"", directory=tmp_path)
    connection = sqlite3.connect(tmp_path / "copy/chitram.db")
    try:
        assert connection.execute("SELECT id FROM images").fetchall() == [(image,)]
    finally:
        connection.close()


def test_halves_that_do_not_belong_together_are_refused(tmp_path: Path):
    with running_server(tmp_path, **UNLIMITED) as server:
        upload(server, 1)
    other = tmp_path / "other"
    other.mkdir()
    stranger = Server(other, settings={"LOCAL_STORAGE_PATH": str(server.data / "storage")})
    refused = stranger.chitram("serve", "--port", "0")
    assert refused.returncode == 1
    assert "belongs to another database" in refused.stderr
    (server.data / "storage").rename(tmp_path / "away")
    (server.data / "storage").mkdir()
    refused = server.chitram("serve", "--port", "0")
    assert refused.returncode == 1
    assert "is the volume mounted?" in refused.stderr
