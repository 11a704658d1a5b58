"""Workers and brokers that are killed, hang or forget: an upload is answered all the same, and each job ends once."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.counts import count
from tests.factories import pictures
from tests.factories.servers import UNLIMITED, Server, running_server
from tests.proofs import Proof
from tests.services.processes import running
from tests.services.valkey import Valkey
from tests.services.workers import Outbox, Worker

pytestmark = pytest.mark.slow

PATIENCE = 30.0
#: An upload that waits for the broker would take as long as the broker is away. This is for a busy machine.
BOUND = 5.0


def until(condition: Callable[[], object]) -> None:
    """Wait for something that other processes bring about."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


class Site:
    """A server with its broker and, from time to time, a worker."""

    def __init__(self, server: Server, valkey: Valkey, settings: dict[str, str]) -> None:
        self.server = server
        self.valkey = valkey
        self.settings = settings
        self.outbox = Outbox(server.data)
        self.client = httpx.Client(base_url=server.url, timeout=60)
        self._seed = 0

    def worker(self, *, processes: int = 1) -> Worker:
        return Worker(self.server.directory / "worker", settings=self.settings, processes=processes)

    def picture(self) -> bytes:
        """One that nobody has uploaded."""
        self._seed += 1
        return pictures.jpeg(400, 300, seed=self._seed)

    def upload(self) -> dict:
        file = {"file": ("a.jpg", self.picture())}
        answer = self.client.post("/api/v1/images/upload", files=file)
        for _ in range(5):
            if answer.status_code != 503:
                break
            # Server and worker write into one SQLite file: on a busy machine one may be asked to come again.
            time.sleep(float(answer.headers["Retry-After"]))
            answer = self.client.post("/api/v1/images/upload", files=file)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def longest_upload(self, number: int) -> tuple[list[dict], float]:
        """So many uploads, and the seconds that the longest of them took."""
        longest, images = 0.0, []
        for _ in range(number):
            begun = time.monotonic()
            images.append(self.upload())
            longest = max(longest, time.monotonic() - begun)
        return images, longest

    def ready(self, image: dict) -> bool:
        return all(self.client.get(address).status_code == 200 for address in image["thumbnails"].values())

    def jobs(self) -> str:
        """What the server says of its jobs."""
        return str(self.client.get("/health/ready").json()["checks"]["jobs"])

    def settle(self, *images: dict) -> None:
        """Wait until every image has its thumbnails and no job is left."""
        for image in images:
            until(lambda image=image: self.ready(image))
        until(lambda: self.outbox.states() == [])


@contextmanager
def open_site(directory: Path) -> Iterator[Site]:
    with running(Valkey(directory / "broker")) as valkey:
        assert isinstance(valkey, Valkey)
        settings = {**UNLIMITED, "DATA_DIR": str(directory / "data"), "CELERY_BROKER_URL": valkey.url}
        with running_server(directory, **settings) as server:
            site = Site(server, valkey, settings)
            with site.client:
                yield site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("worker-loss")) as opened:
        yield opened


@pytest.fixture
def fragile(tmp_path: Path) -> Iterator[Site]:
    """For a test that takes server or broker away: what it starts instead belongs to nobody else."""
    with open_site(tmp_path) as opened:
        yield opened


def test_a_job_whose_worker_is_killed_ends_once_elsewhere(site: Site, proof: Proof):
    rounds = count(1, 25)
    for _ in range(rounds):
        with running(site.worker()) as first:
            assert isinstance(first, Worker)
            check_that_a_killed_process_costs_no_job(site, first)
            first.freeze_decoders()
            image = site.upload()
            until(lambda: site.outbox.states() == ["running"])
            first.kill()
        assert site.outbox.states() == ["running"]
        assert not site.ready(image)
        with running(site.worker()) as second:
            assert isinstance(second, Worker)
            until(lambda: second.count("chitram_sweep_runs_total", sweep="republish") > 0)
            assert site.outbox.states() == ["running"]  # the lease of the dead holds
            site.outbox.end_leases()
            site.settle(image)
            assert second.count("chitram_jobs_finished_total", kind="render", outcome="done") == 1
            assert second.count("chitram_decodes_total", outcome="done") == 1
    proof.record("C12", "jobs whose worker was killed in their middle, done once by another", rounds)


def check_that_a_killed_process_costs_no_job(site: Site, worker: Worker) -> None:
    """SIGKILL to the one process of `worker` that runs a job, and not to the worker."""
    worker.freeze_decoders()
    image = site.upload()
    until(lambda: site.outbox.states() == ["running"])
    (victim,) = worker.pool()
    decoders = worker.decoders()
    victim.kill()
    until(lambda: [process.pid for process in worker.pool()] not in ([], [victim.pid]))
    # What was frozen below it is ended with it.
    until(lambda: not any(process.is_running() for process in decoders))
    site.outbox.end_leases()
    site.settle(image)
    assert worker.count("chitram_jobs_finished_total", kind="render", outcome="done") == 1


def test_a_broker_that_hangs_or_is_killed_delays_no_upload_and_loses_no_job(fragile: Site, proof: Proof):
    site = fragile
    with running(site.worker()):
        site.valkey.pause()
        images, hanging = site.longest_upload(10)
        until(lambda: site.jobs() == "stopped")
        site.valkey.resume()
        site.settle(*images)
        until(lambda: site.jobs() == "running")
        site.valkey.kill()
        images, gone = site.longest_upload(5)
        # What the server had still to say is lost with it: only the rows are left.
        site.server.kill()
        site.valkey.start()
        site.server.start()
        site.settle(*images)
    assert max(hanging, gone) < BOUND
    proof.record("A4", "longest upload with the broker hanging, in seconds", f"{hanging:.2f}")
    proof.record("A4", "longest upload with the broker gone, in seconds", f"{gone:.2f}")


def test_without_worker_and_with_a_broker_that_has_forgotten_everything_jobs_are_kept(site: Site, proof: Proof):
    images = [site.upload() for _ in range(count(5, 200))]
    answer = site.client.get(images[0]["thumbnail_url"])
    assert (answer.status_code, answer.json()["detail"]["code"]) == (404, "THUMBNAIL_NOT_READY")
    assert int(answer.headers["retry-after"]) > 0
    assert site.client.get(images[0]["url"]).status_code == 200
    until(lambda: site.jobs() == "stopped")
    assert site.client.get("/health").json()["status"] == "degraded"
    assert 'chitram_workers{state="answering"} 0.0' in site.client.get("/metrics").text
    until(lambda: site.valkey.ask("LLEN", "chitram.jobs") == f":{len(images)}")
    assert site.valkey.ask("FLUSHALL") == "+OK"
    with running(site.worker()) as worker:
        assert isinstance(worker, Worker)
        site.settle(*images)
        assert worker.count("chitram_sweep_repaired_total", sweep="republish") > 0
    proof.record("C12", "jobs done after the broker had been emptied", len(images))


@pytest.mark.soak
def test_the_lease_of_the_killed_runs_out_by_itself(site: Site, proof: Proof):
    with running(site.worker()) as first:
        assert isinstance(first, Worker)
        first.freeze_decoders()
        image = site.upload()
        until(lambda: site.outbox.states() == ["running"])
        first.kill()
    begun = time.monotonic()
    with running(site.worker()):
        while not site.ready(image):
            assert time.monotonic() - begun < 120
            time.sleep(0.2)
    proof.record("C12", "seconds until a killed worker's job was done elsewhere", f"{time.monotonic() - begun:.0f}")


@pytest.mark.soak
@pytest.mark.timeout(1500)
def test_uploads_go_on_while_workers_and_broker_are_killed(fragile: Site, proof: Proof):
    images: list[dict] = []
    for turn in range(count(3, 20)):
        worker = fragile.worker(processes=2)
        with running(worker):
            images += [fragile.upload() for _ in range(20)]
            if turn % 2:
                fragile.valkey.kill()
                images += [fragile.upload() for _ in range(5)]
                fragile.valkey.start()
            worker.kill()
        fragile.outbox.end_leases()
    with running(fragile.worker(processes=2)):
        until(lambda: all(state == "ready" for state in fragile.outbox.states()))
        fragile.settle(*images)
    proof.record("C12", "uploads while worker and broker are killed, all with thumbnails", len(images))
