"""Starting: two at once over fresh data, and the refusals, each with one line that says why."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.counts import count
from tests.factories import pictures
from tests.factories.servers import UNLIMITED, Server, clean_environment, command, free_port, running_server
from tests.faults.traffic import UPLOAD, form

pytestmark = pytest.mark.slow


def test_two_servers_may_start_at_the_same_instant_on_fresh_data(tmp_path: Path, proof):
    rounds = count(1, 40)
    for number in range(rounds):
        two_starts(tmp_path / str(number))
    proof.record(
        "Two starts at once share one fresh data directory", "pairs of servers started; failed", f"{rounds}; 0"
    )


def two_starts(directory: Path) -> None:
    data = directory / "data"
    servers = []
    for name in ("one", "two"):
        (directory / name).mkdir(parents=True)
        servers.append(Server(directory / name, settings=UNLIMITED, data=data))
    try:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(Server.start, servers))
        assert len(list(data.glob("secret*"))) == 1
        one, two = servers
        uploaded = httpx.post(f"{one.url}{UPLOAD}", files=form(pictures.png()), timeout=30)
        assert uploaded.status_code == 201
        path = f"/api/v1/images/{uploaded.json()['id']}"
        # Each has it cached when the other deletes it, and shows it no more once that was answered.
        for server in (one, two, one, two):
            assert httpx.get(f"{server.url}{path}/file", timeout=30).status_code == 200
        token = {"X-Delete-Token": uploaded.json()["delete_token"]}
        assert httpx.delete(f"{two.url}{path}", headers=token, timeout=30).status_code == 204
        assert httpx.get(f"{one.url}{path}/file", timeout=30).status_code == 404
        # Cursors are signed with the secret: what one hands out the other understands.
        for _ in range(2):
            httpx.post(f"{two.url}{UPLOAD}", files=form(pictures.png()), data={"visibility": "public"}, timeout=30)
        cursor = httpx.get(f"{one.url}/api/v1/images", params={"limit": 1}).json()["next_cursor"]
        assert httpx.get(f"{two.url}/api/v1/images", params={"cursor": cursor}).status_code == 200
    finally:
        for server in servers:
            server.kill()


def refusal(data: Path, **settings: str) -> str:
    """What `chitram serve` says when it ends with status 1 at once: one line, no traceback."""
    environment: Mapping[str, str] = clean_environment(DATA_DIR=str(data), **settings)
    finished = subprocess.run(
        command("serve", "--port", str(free_port())),
        env=environment, cwd=data.parent, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert finished.returncode == 1, finished.stderr
    assert finished.stdout == ""
    (line,) = finished.stderr.splitlines()
    return line


@pytest.fixture
def used(tmp_path: Path) -> Path:
    """A data directory with an image in it."""
    with running_server(tmp_path, **UNLIMITED) as server:
        assert httpx.post(f"{server.url}{UPLOAD}", files=form(pictures.png()), timeout=30).status_code == 201
        server.stop()
    return server.data


def test_a_database_of_a_newer_version_is_refused(used: Path):
    with closing(sqlite3.connect(used / "chitram.db", isolation_level=None)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    assert "DATABASE_URL" in refusal(used)


def test_something_else_in_place_of_the_database_is_refused(used: Path):
    for name in ("chitram.db-wal", "chitram.db-shm"):
        (used / name).unlink(missing_ok=True)
    (used / "chitram.db").write_bytes(b"no database at all" * 1000)
    assert "DATABASE_URL" in refusal(used)


def test_a_store_that_lost_its_marker_is_refused(used: Path):
    """As when the volume is not mounted: an empty directory stands in its place."""
    shutil.move(used / "storage", used / "elsewhere")
    line = refusal(used)
    assert "mounted" in line
    # It did not begin a store of its own there either.
    assert "mounted" in refusal(used)
    shutil.rmtree(used / "storage", ignore_errors=True)
    shutil.move(used / "elsewhere", used / "storage")
    with running_server(used.parent, **UNLIMITED) as server:
        assert httpx.get(f"{server.url}/health", timeout=30).json()["storage"] != "disconnected"


def test_a_directory_of_somebody_else_is_not_taken_for_a_store(tmp_path: Path):
    storage = tmp_path / "data/storage"
    storage.mkdir(parents=True)
    (storage / "diary.txt").write_text("mine")
    assert "diary.txt" in refusal(tmp_path / "data")
    assert (storage / "diary.txt").read_text() == "mine"


@pytest.mark.parametrize("where", ["data", "storage"])
def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path, where: str):
    """Not by its mode, which means nothing to root: a file stands where the directory should be."""
    data = tmp_path / "data"
    if where == "data":
        data.write_text("a file")
    else:
        data.mkdir()
        (data / "storage").write_text("a file")
    assert "DATA_DIR" in refusal(data)


def test_a_read_only_place_is_refused(tmp_path: Path):
    """The read-only part of /proc refuses even root."""
    assert os.access("/proc/sys", os.F_OK)
    (tmp_path / "data").symlink_to("/proc/sys")
    assert "DATA_DIR" in refusal(tmp_path / "data")


def test_a_port_that_is_taken_is_refused(tmp_path: Path):
    with running_server(tmp_path, **UNLIMITED) as server:
        finished = subprocess.run(
            command("serve", "--port", str(server.port)),
            env=clean_environment(DATA_DIR=str(tmp_path / "other")),
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert finished.returncode in (1, 3)
        assert "address already in use" in finished.stderr
        assert "Traceback" not in finished.stderr
        assert httpx.get(f"{server.url}/health/live", timeout=30).status_code == 200
