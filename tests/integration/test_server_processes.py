"""`chitram serve` with two processes behind one port, and `chitram smoke` against it, as an operator runs them."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import children
from tests.factories import pictures
from tests.factories.servers import ENDED, UNLIMITED, Server, running_server
from tests.integration.requests import IMAGES
from tests.services.postgres import Postgres
from tests.services.processes import free_port
from tests.services.valkey import Valkey

pytestmark = pytest.mark.slow

SETTINGS = {**UNLIMITED, "BCRYPT_ROUNDS": "4", "DECODE_WORKERS": "1", "DB_POOL_TIMEOUT_SECONDS": "10"}


def serving(server: Server) -> list[int]:
    """The ids of the processes that answer: those that uvicorn has spawned."""
    assert server.process is not None
    started = children(server.process.pid)
    return [pid for pid in started if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres, valkey: Valkey) -> Iterator[Server]:
    directory, name = tmp_path_factory.mktemp("processes"), postgres.create()
    shared = {"DATABASE_URL": postgres.url(name), "REDIS_URL": valkey.url, "CACHE_KEY_PREFIX": name}
    with running_server(directory, CHITRAM_WORKERS="2", **SETTINGS, **shared) as running:
        yield running
        assert running.stop() in ENDED
    postgres.drop(name)


def test_two_processes_answer_alike(server):
    assert len(serving(server)) == 2
    data = pictures.jpeg(320, 200)
    for _ in range(5):
        made = httpx.post(f"{server.url}{IMAGES}/upload", files={"file": ("a.jpg", data)}, timeout=30)
        assert made.status_code == 201, made.text
        image = made.json()
        address = image["url"]
        # Each on a connection of its own, which the system gives to either of them.
        assert {httpx.get(address).status_code for _ in range(8)} == {200}
        headers = {"X-Delete-Token": image["delete_token"]}
        assert httpx.delete(f"{server.url}{IMAGES}/{image['id']}", headers=headers).status_code == 204
        assert {httpx.get(address).status_code for _ in range(8)} == {404}


def test_smoke_goes_all_the_way_and_leaves_nothing(server):
    said = server.chitram("smoke", server.url)
    assert (said.returncode, said.stderr) == (0, "")
    steps = ["health", "upload", "metadata", "original", "conditional", "thumbnail", "delete", "gone"]
    assert [line.split()[1] for line in said.stdout.splitlines()] == steps
    assert httpx.get(f"{server.url}{IMAGES}").json()["items"] == []


def test_one_that_dies_is_replaced_and_nobody_waits_for_it(server):
    before = serving(server)
    os.kill(before[0], signal.SIGKILL)
    deadline = time.monotonic() + 60
    while len(now := set(serving(server)) - {before[0]}) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(now) == 2
    said = server.chitram("smoke", server.url)
    assert said.returncode == 0, said.stderr


def test_smoke_says_which_step_failed(tmp_path):
    with running_server(tmp_path, **SETTINGS, ANONYMOUS_UPLOADS="false") as server:
        said = server.chitram("smoke", server.url)
        assert said.returncode == 1
        assert said.stdout.startswith("ok  health")
        assert said.stderr.startswith("failed  upload: expected 201, got 401")
        assert server.stop() in ENDED


def test_smoke_without_a_server(tmp_path):
    server = Server(tmp_path, settings={})
    said: subprocess.CompletedProcess[str] = server.chitram("smoke", f"http://127.0.0.1:{free_port()}")
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr.startswith("failed  health: ")


def test_one_metrics_port_serves_one_process(tmp_path):
    shared = {"DATABASE_URL": "postgresql://127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1/0"}
    server = Server(tmp_path, settings={**shared, "METRICS_BIND": "127.0.0.1:9100", "CHITRAM_WORKERS": "2"})
    said = server.chitram("serve")
    assert (said.returncode, said.stderr.startswith("--workers: METRICS_BIND is one port")) == (2, True)
