"""S3 refused, hanging, slow, cut off, stopped, killed and coming back: what it costs (promises A3 and D8)."""

import asyncio
import hashlib
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from chitram.adapters.blobs.s3 import S3BlobStore
from chitram.adapters.blobs.s3_circuit import Patience
from chitram.adapters.blobs.threads import DiskThreads
from chitram.domain.errors import StorageUnavailable
from tests.contracts.test_blob_store import content, noise, put
from tests.counts import count
from tests.factories.servers import UNLIMITED, Server, running_server
from tests.faults.traffic import UPLOAD, form, heavy_picture
from tests.proofs import Proof
from tests.services.chaos import ChaosProxy, chaos
from tests.services.processes import LASTING, running
from tests.services.seaweed import SECRET_KEY, SeaweedFS, s3_store, seaweed_service
from tests.services.stand_in import Rule, drips, stand_in

pytestmark = pytest.mark.slow

#: How long anything may take to become true on a machine that is busy with other things, in seconds.
DEADLINE = 60.0


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.02)


async def settled(count: Callable[[], int]) -> int:
    """A count that has stopped growing: on a busy machine the proxy hears late of what was given up."""
    async with asyncio.timeout(DEADLINE):
        while True:
            before = count()
            await asyncio.sleep(0.3)
            if count() == before:
                return before


@pytest.fixture
def proxy(seaweed: SeaweedFS) -> Iterator[ChaosProxy]:
    with chaos(seaweed.port) as found:
        yield found


@pytest.fixture
async def store(seaweed: SeaweedFS, proxy: ChaosProxy, threads: DiskThreads) -> AsyncIterator[S3BlobStore]:
    async with s3_store(seaweed.bucket(port=proxy.port), threads=threads, patience=Patience()) as remote:
        yield remote


FAULTS = {
    "refused": {"refuse": True},
    "hanging": {"black_hole": True},
    "slow": {"rate": 1},
    "cut-off": {"cut_after": 20},
    "answers-lost": {"swallow_answers": True},
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_store_that_is_lost_costs_little_and_comes_back(store, staging, proxy, fault, proof: Proof):
    await put(store, staging, "blobs/before", noise(300_000))
    proxy.reset(**FAULTS[fault])
    if fault == "refused":
        proxy.drop()
    # Those that are there when it happens find out, all together.
    begun = time.monotonic()
    first = await asyncio.gather(*(store.open("blobs/before") for _ in range(20)), return_exceptions=True)
    noticed = time.monotonic() - begun
    assert {type(end) for end in first} == {StorageUnavailable}
    # Who comes later is refused without asking: nobody but the one who looks whether it is back opens a connection.
    connections = await settled(lambda: proxy.connections)
    begun = time.monotonic()
    for n in range(200):
        with pytest.raises(StorageUnavailable):
            await put(store, staging, f"blobs/{n}", b"bytes")
    refused = time.monotonic() - begun
    assert proxy.connections - connections < 2 + refused / Patience().pause
    proxy.reset()
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                await put(store, staging, "blobs/after", noise(300_000))
                break
            except StorageUnavailable:
                await asyncio.sleep(0.02)
    assert await content(store, "blobs/before") == noise(300_000)
    proof.record(
        f"S3 {fault}: uploads fail at once (A3)",
        "twenty requests noticed, two hundred more were refused without a connection, then it came back",
        f"noticed after {noticed:.1f} s, then {refused / 200 * 1000:.1f} ms each",
    )


async def test_one_object_that_never_comes_stops_nobody_else(seaweed, threads, staging):
    """A drip of one byte a second: the service is there, so this read alone is given up when its time is over."""
    hasty = Patience(operation=1, slowest=1024 * 1024)
    with stand_in(seaweed.port) as between:
        async with s3_store(seaweed.bucket(port=between.port), threads=threads, patience=hasty) as store:
            await put(store, staging, "blobs/one", noise(1000))
            between.rules = [Rule("GET", "blobs/one", drips)]
            reading = asyncio.create_task(store.open("blobs/one"))
            for n in range(20):
                await store.put_disposable(f"thumbs/{n}", b"thumbnail")
                assert await content(store, f"thumbs/{n}") == b"thumbnail"
            with pytest.raises(StorageUnavailable):
                await reading


PUT_LARGE = """
import asyncio, sys
from pathlib import Path
from chitram.adapters.blobs.staging import LocalStaging
from chitram.adapters.blobs.threads import DiskThreads
from chitram.adapters.memory.clock import SystemClock
from tests.services.seaweed import account, s3_store
from chitram.adapters.blobs.s3_client import S3Bucket

def peak():
    # Not what getrusage says: that is as much as whoever started this process ever had.
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0])

async def main(port, name, directory, mebibytes):
    threads = DiskThreads(workers=2)
    staging = LocalStaging(Path(directory), threads=threads, clock=SystemClock())
    async with s3_store(S3Bucket(account(port), name), threads=threads) as store:
        async with staging.new() as small:
            await small.write(bytes(1024 * 1024))
            await store.put("blobs/small", small)
        before = peak()
        async with staging.new() as large:
            for n in range(mebibytes):
                await large.write(bytes([n % 256]) * (1024 * 1024))
            await store.put("blobs/large", large)
        blob = await store.open("blobs/large")
        for offset in range(0, blob.size, 1024 * 1024):
            assert await blob.read(offset, 1024 * 1024) == bytes([offset // 1024 // 1024 % 256]) * (1024 * 1024)
        await blob.aclose()
        print((peak() - before) // 1024)
    staging.close()
    threads.close()

asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])))
"""


def test_a_large_file_is_never_in_memory_as_a_whole(seaweed: SeaweedFS, tmp_path: Path, proof: Proof):
    size = count(64, 512)
    bucket = seaweed.bucket()
    result = subprocess.run(
        [sys.executable, "-c", PUT_LARGE, str(seaweed.port), bucket.name, str(tmp_path), str(size)],
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    grown = int(result.stdout)
    assert 0 < grown < 56
    proof.record("Memory of an upload to S3 (A12)", f"a file of {size} MiB was put and read", f"{grown} MiB more")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """One that may be stopped."""
    found = seaweed_service(tmp_path_factory.mktemp("own-seaweed"))
    with running(found.service):
        yield found


SETTINGS = {**UNLIMITED, "COLLECT_GRACE_SECONDS": "0", "SWEEP_INTERVAL_SECONDS": "0.5", "DECODE_WORKERS": "1"}


@pytest.fixture(scope="module")
def server(own: SeaweedFS, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server"), **SETTINGS, **own.environment()) as found:
        yield found


@pytest.fixture
def client(own: SeaweedFS, server: Server) -> Iterator[httpx.Client]:
    assert own.service.process is not None
    with httpx.Client(base_url=server.url, timeout=60) as found:
        yield found


def picture(seed: int) -> bytes:
    return heavy_picture(random.Random(seed), size=20_000)


def upload(client: httpx.Client, data: bytes) -> dict:
    answer = client.post(UPLOAD, files=form(data))
    assert answer.status_code == 201, answer.text
    return answer.json()


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def objects_of(server: Server) -> int:
    """What the doctor counts; it ends with status 0 or 1 where nothing is damaged."""
    examined = server.chitram("doctor", "--json")
    assert examined.returncode in (0, 1), examined.stderr
    return int(httpx.Response(200, content=examined.stdout).json()["blobs"])


def test_a_server_on_s3_does_all_that_one_on_a_disk_does(server: Server, client: httpx.Client):
    data = picture(1)
    made = upload(client, data)
    stored = client.get(f"/api/v1/images/{made['id']}/file")
    assert (stored.status_code, hashlib.sha256(stored.content).hexdigest()) == (200, made["sha256"])
    part = client.get(f"/api/v1/images/{made['id']}/file", headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, stored.content[100:200])
    parts = client.get(f"/api/v1/images/{made['id']}/file", headers={"Range": "bytes=0-0,-1"})
    assert parts.status_code == 206
    for size in (150, 300, 600):
        assert client.get(f"/api/v1/images/{made['id']}/thumbnail?size={size}").status_code == 200
    assert client.head(f"/api/v1/images/{made['id']}/file").headers["content-length"] == str(len(stored.content))
    token = {"X-Delete-Token": made["delete_token"]}
    assert client.post(f"/api/v1/images/{made['id']}/verify", headers=token).json()["match"] is True
    health = client.get("/health").json()
    assert health["storage"]
    assert not (server.data / "storage").exists()
    assert client.delete(f"/api/v1/images/{made['id']}", headers=token).status_code == 204
    eventually(lambda: objects_of(server) == 0)
    assert server.chitram("doctor").returncode == 0
    assert client.get(f"/api/v1/images/{made['id']}/file").status_code == 404


def test_while_s3_hangs_everything_but_bytes_goes_on(
    own: SeaweedFS, server: Server, client: httpx.Client, proof: Proof
):
    kept, doomed = upload(client, picture(2)), upload(client, picture(3))
    assert client.get(f"/api/v1/images/{kept['id']}/thumbnail").status_code == 200  # it is in memory now
    own.service.pause()
    try:
        begun = time.monotonic()
        first = client.post(UPLOAD, files=form(picture(4)))
        noticed = time.monotonic() - begun
        assert (first.status_code, first.json()["detail"]["code"]) == (503, "STORAGE_UNAVAILABLE")
        assert int(first.headers["retry-after"]) >= 1
        # The circuit is open now, and tells without asking.
        took = []
        for n in range(10):
            begun = time.monotonic()
            assert client.post(UPLOAD, files=form(picture(100 + n))).status_code == 503
            took.append(time.monotonic() - begun)
        assert max(took) < 5
        assert client.get(f"/api/v1/images/{kept['id']}").status_code == 200
        assert client.get(f"/api/v1/images/{kept['id']}/thumbnail").status_code == 200
        assert client.get(f"/api/v1/images/{kept['id']}/file").status_code == 503
        assert client.get("/health/live").status_code == 200
        assert client.get("/health").status_code == 503
        assert client.get("/").status_code == 200
        token = {"X-Delete-Token": doomed["delete_token"]}
        assert client.delete(f"/api/v1/images/{doomed['id']}", headers=token).status_code == 204
        assert client.get(f"/api/v1/images/{doomed['id']}").status_code == 404
    finally:
        own.service.resume()
    begun = time.monotonic()
    eventually(lambda: client.get(f"/api/v1/images/{kept['id']}/file").status_code == 200)
    back = time.monotonic() - begun
    upload(client, picture(4))
    eventually(lambda: client.get("/health").status_code == 200)
    eventually(lambda: objects_of(server) == 2)
    proof.record(
        "S3 hangs: uploads 503 at once, metadata and cached thumbnails go on (A3)",
        "the first upload found out, ten more were refused; then the service went on",
        f"first {noticed:.1f} s, others {max(took) * 1000:.0f} ms at most, back after {back:.1f} s",
    )


def test_what_was_answered_outlives_the_death_of_s3(own: SeaweedFS, client: httpx.Client):
    made = [upload(client, picture(200 + n)) for n in range(5)]
    own.service.kill()
    assert client.post(UPLOAD, files=form(picture(300))).status_code == 503
    assert client.get(f"/api/v1/images/{made[0]['id']}").status_code == 200
    own.service.start()
    LASTING.add(own.service.process.pid)
    for each in made:
        eventually(lambda each=each: client.get(f"/api/v1/images/{each['id']}/file").status_code == 200)
        stored = client.get(f"/api/v1/images/{each['id']}/file").content
        assert hashlib.sha256(stored).hexdigest() == each["sha256"]
    upload(client, picture(300))


def test_no_log_line_tells_the_secret(server: Server, client: httpx.Client):
    upload(client, picture(5))
    assert SECRET_KEY not in server.log.read_text()


def test_a_server_whose_store_is_not_there_says_what_to_look_at(tmp_path: Path, seaweed: SeaweedFS):
    settings = {**SETTINGS, **seaweed.environment(MINIO_SECRET_KEY="wrong"), "MINIO_STARTUP_TIMEOUT": "2"}
    refused = Server(tmp_path, settings=settings).chitram("serve", "--port", "0")
    assert refused.returncode == 1
    assert refused.stderr.strip().splitlines()[-1].startswith("MINIO_SECRET_KEY:")
