"""SeaweedFS: an S3 service of one process, with its data in a temporary directory."""

import json
import random
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import pytest

from chitram.adapters.blobs.s3 import S3BlobStore
from chitram.adapters.blobs.s3_circuit import Patience
from chitram.adapters.blobs.s3_client import S3Bucket
from chitram.adapters.blobs.s3_requests import S3Requests
from chitram.adapters.blobs.s3_signing import S3Account
from chitram.adapters.blobs.threads import DiskThreads
from chitram.adapters.memory.clock import SystemClock
from tests.services.processes import LASTING, START_PATIENCE, Service, accepts, running

ACCESS_KEY = "test-access-key"
SECRET_KEY = "test-secret-key-that-nobody-else-has"
#: Beside its ports for HTTP it opens others for gRPC, which are 10000 higher: all of them below those that the kernel
#: gives to others of its own accord.
_PORTS = range(10_500, 22_000)

#: On a machine that has much to do besides, no promise about time is meant.
UNHURRIED = Patience(slot=60, stall=10, probe=30)

_ACTIONS = ["Admin", "Read", "Write", "List", "Tagging"]


@dataclass(frozen=True, slots=True)
class SeaweedFS:
    """A running service. `port` is that of the S3 API."""

    service: Service
    port: int

    @property
    def endpoint(self) -> str:
        """host:port, as MINIO_ENDPOINT has it."""
        return f"127.0.0.1:{self.port}"

    @staticmethod
    def new_bucket() -> str:
        """The name of a bucket that does not exist yet."""
        return f"test-{uuid.uuid4().hex[:16]}"

    def bucket(self, name: str | None = None, *, port: int | None = None) -> S3Bucket:
        """A bucket, a new one without a `name`, asked for at `port` where that is another one than the service's."""
        return S3Bucket(account(port or self.port), name or self.new_bucket())

    def environment(self, **variables: str) -> dict[str, str]:
        """The same for a server's environment."""
        return {
            "STORAGE_BACKEND": "minio",
            "MINIO_ENDPOINT": self.endpoint,
            "MINIO_ACCESS_KEY": ACCESS_KEY,
            "MINIO_SECRET_KEY": SECRET_KEY,
            "MINIO_BUCKET": self.new_bucket(),
            **variables,
        }


def account(port: int, *, access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY) -> S3Account:
    """Ours at the S3 API on `port` of the loopback address."""
    return S3Account(f"http://127.0.0.1:{port}", access_key=access_key, secret_key=secret_key, region="us-east-1")


def seaweed_service(directory: Path) -> SeaweedFS:
    """The service over `directory`, not started yet."""
    config = directory / "s3.json"
    credentials = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
    config.write_text(json.dumps({"identities": [{"name": "app", "credentials": credentials, "actions": _ACTIONS}]}))
    # A bucket takes as many volumes as this when the first object comes, 7 if nothing is said, and they run out.
    (directory / "master.toml").write_text("[master.volume_growth]\ncopy_1 = 1\n")
    (directory / "data").mkdir()
    port = _pair()
    service = Service(
        "seaweedfs",
        command=_command(directory, config=config, port=port),
        directory=directory,
        ready=lambda: _answers(port),
        environment={"HOME": str(directory)},
        # It takes its time to end in order, and loses nothing that it has answered when it does not.
        stop_signal=signal.SIGKILL,
    )
    return SeaweedFS(service, port)


def _command(directory: Path, *, config: Path, port: int) -> list[str]:
    ports = {name: _pair() for name in ("master", "volume", "filer")}
    return [
        str(Path(sys.executable).parent / "weed"),
        f"-logdir={directory}",
        "server",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-dir={directory / 'data'}",
        # It would tell a public host about itself.
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=64",
        "-master.electionTimeout=1s",
        "-volume.max=1000",
        f"-master.port={ports['master']}",
        f"-volume.port={ports['volume']}",
        "-filer",
        f"-filer.port={ports['filer']}",
        f"-filer.localSocket={directory / 'filer.sock'}",
        "-s3",
        f"-s3.port={port}",
        f"-s3.localSocket={directory / 's3.sock'}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        # A bucket that nobody made is not there.
        "-s3.autoCreateBucket=false",
        f"-s3.config={config}",
    ]


def _pair() -> int:
    """A port that is free, as is the one 10000 higher."""
    while True:
        port = random.choice(_PORTS)
        if not accepts(port) and not accepts(port + 10_000):
            return port


def _answers(port: int) -> bool:
    """Whether it lists our buckets: it answers a moment before it knows our key."""
    try:
        answer = S3Requests(account(port)).send("GET", "/", patience=2)
    except (OSError, HTTPException):
        return False
    return answer.status == 200


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """One that runs as long as the tests do. Who takes one away starts one of his own."""
    found = seaweed_service(tmp_path_factory.mktemp("seaweed"))
    with running(found.service):
        assert found.service.process is not None
        LASTING.add(found.service.process.pid)
        yield found


@asynccontextmanager
async def s3_store(
    bucket: S3Bucket, *, threads: DiskThreads, owner: str = "d1", patience: Patience = UNHURRIED
) -> AsyncIterator[S3BlobStore]:
    """A store in `bucket`, prepared for the database `owner`."""
    store = S3BlobStore(bucket, threads=threads, clock=SystemClock(), patience=patience)
    try:
        await store.prepare(owner=owner, expect_data=False, within=START_PATIENCE)
        yield store
    finally:
        await store.aclose()
