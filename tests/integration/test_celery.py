"""Jobs in workers: Celery, a real broker, and the same pictures as when a server does everything itself."""

import json
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from celery import Celery

from chitram.settings import AppSettings, Settings
from tests.factories import pictures
from tests.factories.applications import house
from tests.factories.servers import UNLIMITED, Server, running_server
from tests.integration.requests import IMAGES, UPLOAD, photo
from tests.integration.test_background import broken_inside
from tests.services.processes import Service, free_port, running
from tests.services.valkey import Valkey
from tests.services.workers import Outbox, Worker

pytestmark = pytest.mark.slow

PATIENCE = 20.0


def until(condition: Callable[[], object]) -> None:
    """Wait for something that other processes bring about."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def upload(client: httpx.Client, data: bytes) -> dict:
    answer = client.post(UPLOAD, files={"file": ("a.jpg", data)})
    assert answer.status_code == 201, answer.text
    return answer.json()


def rendered(client: httpx.Client, image: dict) -> None:
    until(lambda: client.get(image["thumbnail_url"]).status_code == 200)


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with running(Valkey(tmp_path_factory.mktemp("broker"))) as service:
        assert isinstance(service, Valkey)
        yield service


@pytest.fixture(scope="module")
def settings(valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    data = tmp_path_factory.mktemp("celery") / "data"
    return {**UNLIMITED, "DATA_DIR": str(data), "CELERY_BROKER_URL": valkey.url, "SWEEP_INTERVAL_SECONDS": "1"}


@pytest.fixture(scope="module")
def server(settings: dict[str, str]) -> Iterator[Server]:
    data = Path(settings["DATA_DIR"])
    with running_server(data.parent, **settings) as started:
        yield started


@pytest.fixture(scope="module")
def worker(server: Server, settings: dict[str, str]) -> Iterator[Worker]:
    with running(Worker(server.directory / "worker", settings=settings, processes=2)) as started:
        assert isinstance(started, Worker)
        yield started


@pytest.fixture
def client(server: Server, worker: Worker) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as opened:
        yield opened


async def test_thumbnails_are_made_by_a_worker_and_are_the_same(client, worker, tmp_path):
    data = pictures.jpeg(700, 400)
    image = upload(client, data)
    assert image["thumbnail_ready"] is False
    rendered(client, image)
    made = {size: client.get(image["thumbnails"][size]).content for size in ("150", "300", "600")}
    inline = Settings(app=AppSettings(env="test", data_dir=tmp_path))
    async with house(tmp_path, settings=inline) as other, other.client() as inside:
        twin = (await inside.post(UPLOAD, files={"file": ("a.jpg", data)})).json()
        assert made == {size: (await inside.get(twin["thumbnails"][size])).content for size in made}
    assert worker.count("chitram_jobs_finished_total", kind="render", outcome="done") >= 1
    assert client.get(f"{IMAGES}/{image['id']}").json()["thumbnail_ready"] is True


def test_the_server_knows_that_a_worker_is_there(client):
    until(lambda: client.get("/health/ready").json()["checks"]["jobs"] == "running")
    assert 'chitram_workers{state="answering"} 1.0' in client.get("/metrics").text
    assert client.get("/health").json()["status"] == "healthy"


def test_a_file_that_turns_out_broken_is_marked_and_its_decoder_was_confined(client, worker):
    image = upload(client, broken_inside())
    until(lambda: client.get(image["url"]).status_code == 404)
    assert client.get(image["url"], headers={"X-Delete-Token": image["delete_token"]}).status_code == 200
    filters = [Path(f"/proc/{process.pid}/status").read_text() for process in worker.decoders()]
    assert filters
    assert all("\nSeccomp:\t2\n" in status and "\nNoNewPrivs:\t1\n" in status for status in filters)


class Touch:
    """What a pickle can do to who opens it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_pickle_is_not_opened(client, worker, valkey, tmp_path):
    trace = tmp_path / "opened"
    pickle.loads(pickle.dumps(Touch(trace)))
    assert trace.exists()
    trace.unlink()
    headers = {"task": "chitram.work", "id": "00000000-0000-0000-0000-000000000000", "lang": "py"}
    refusals = worker.log.read_text().count("ContentDisallowed")
    with (
        Celery(broker=valkey.url, set_as_current=False).connection() as connection,
        connection.SimpleQueue("chitram.jobs") as queue,
    ):
        queue.put(([], {"x": Touch(trace)}, {}), serializer="pickle", headers=headers)
        queue.put(([], {}, {}), serializer="json", headers={**headers, "task": "os.system"})
        queue.put("not a task")
    until(lambda: worker.log.read_text().count("ContentDisallowed") > refusals)
    rendered(client, upload(client, photo(1)))
    assert not trace.exists()


def test_a_poison_job_is_given_up_listed_and_retried_and_stops_nobody(client, server):
    outbox = Outbox(server.data)
    outbox.execute(
        "INSERT INTO jobs (kind, payload, state, attempts, run_at, created_at)"
        " VALUES ('render', ?, 'ready', 7, '2020-01-01 00:00:00.000000', '2020-01-01 00:00:00.000000')",
        json.dumps({"poison": 1}),
    )
    rendered(client, upload(client, photo(2)))
    until(lambda: outbox.states() == ["dead"])
    listed = server.chitram("jobs", "list")
    assert "attempts 8" in listed.stdout
    assert "unexpected keyword argument 'poison'" in listed.stdout
    outbox.execute("UPDATE jobs SET payload = ?", json.dumps({"blob_id": 1}))
    job_id = listed.stdout.split("\t")[0]
    assert server.chitram("jobs", "retry", job_id).returncode == 0
    until(lambda: outbox.states() == [])


def all_renders(server: Server, worker: Worker) -> int:
    """How many renders were done, when the last one is counted: that comes after its row is gone."""
    until(lambda: Outbox(server.data).states() == [])
    seen = -1
    while seen != (seen := worker.count("chitram_jobs_finished_total", kind="render", outcome="done")):
        time.sleep(0.5)
    return seen


def test_many_calls_at_once_do_each_job_once(client, server, worker, valkey):
    before = all_renders(server, worker)
    images = [upload(client, photo(seed)) for seed in range(10, 22)]
    headers = {"task": "chitram.work", "lang": "py"}
    with (
        Celery(broker=valkey.url, set_as_current=False).connection() as connection,
        connection.SimpleQueue("chitram.jobs") as queue,
    ):
        for number in range(20):
            queue.put(([], {}, {}), serializer="json", headers={**headers, "id": f"again-{number}"})
    for image in images:
        rendered(client, image)
    assert all_renders(server, worker) - before == len(images)


@pytest.mark.soak
def test_flower_sees_the_worker(client, worker, valkey, tmp_path):
    port = free_port()
    address = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx.get(f"{address}/healthcheck").status_code == 200
        except httpx.TransportError:
            return False

    flower = Service(
        "flower",
        command=[sys.executable, "-m", "celery", "flower", "--address=127.0.0.1", f"--port={port}"],
        directory=tmp_path,
        ready=answers,
        environment={"CELERY_BROKER_URL": valkey.url, "FLOWER_UNAUTHENTICATED_API": "1"},
    )
    with running(flower):
        until(lambda: httpx.get(f"{address}/api/workers", params={"refresh": "1"}).json())
        (name,) = httpx.get(f"{address}/api/workers").json()
        assert name.startswith("chitram-")
        rendered(client, upload(client, photo(3)))
        until(lambda: "chitram.work" in {task["name"] for task in httpx.get(f"{address}/api/tasks").json().values()})


def test_a_server_without_a_broker_does_not_load_celery():
    program = (
        "import sys, chitram.entrypoints.cli.main, chitram.entrypoints.asgi;"
        "print([name for name in ('celery', 'kombu', 'billiard') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.soak
def test_two_schedules_are_as_one_and_a_worker_that_ends_lets_its_job_end_and_leaves_the_others(
    client, server, worker, settings
):
    """Last in this file: afterwards there is no worker."""

    def runs(*workers: Worker) -> int:
        return sum(each.count("chitram_sweep_runs_total", sweep="collect") for each in workers)

    with running(Worker(server.directory / "second", settings=settings)) as second:
        assert isinstance(second, Worker)
        begun, before = time.monotonic(), runs(worker, second)
        until(lambda: second.count("chitram_sweep_runs_total") > 0)
        until(lambda: runs(worker, second) - before >= 3)
        made, seconds = runs(worker, second) - before, time.monotonic() - begun
        # A turn begins 0.9 of the interval after the one before, at the earliest.
        assert made <= seconds / 0.9 + 1
        processes = {str(process.pid) for process in worker.pool()}
        second.pause()
        images = [upload(client, pictures.jpeg(1600, 1200, seed=seed)) for seed in range(6)]
        assert worker.ended() == 0
        assert "running" not in Outbox(server.data).states()
        second.resume()
        for image in images:
            rendered(client, image)
    owners = {path.name.split("-")[1] for path in (server.data / "storage/.staging").iterdir()}
    assert not owners & processes
