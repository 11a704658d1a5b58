"""Two server processes on PostgreSQL, S3 and Redis: deleting and uploading the same bytes at the same time, and every
collector without grace. Nothing that was answered is lost, and in the end nothing is left over.
"""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from chitram.adapters.blobs.s3_client import S3Bucket
from tests.counts import SOAK, count
from tests.factories.objects import S3Objects
from tests.factories.servers import ENDED, UNLIMITED, Server
from tests.faults.test_reupload_soak import CLIENTS, CONTENTS, Tally, delete_at_last, toss
from tests.faults.traffic import Ledger, pictures_of, traffic
from tests.services.postgres import Postgres
from tests.services.seaweed import SeaweedFS
from tests.services.valkey import Valkey

pytestmark = [pytest.mark.slow, pytest.mark.timeout(14_400)]

#: Two servers with a few decoders and many clients on two cores: requests that wait are no fault here.
SETTINGS = {
    **UNLIMITED,
    "COLLECT_GRACE_SECONDS": "0",
    "SWEEP_INTERVAL_SECONDS": "0.05" if SOAK else "0.3",
    "LOG_LEVEL": "warning",
    "DECODE_WORKERS": "1",
    "DB_POOL_TIMEOUT_SECONDS": "10",
    "DB_STATEMENT_TIMEOUT_SECONDS": "10",
    "DB_LOCK_TIMEOUT_SECONDS": "5",
    "DB_CONNECT_TIMEOUT_SECONDS": "10",
}


@pytest.fixture
def servers(tmp_path: Path, postgres: Postgres, seaweed: SeaweedFS, valkey: Valkey) -> Iterator[list[Server]]:
    """Two, each with a directory of its own, as on two machines."""
    name = postgres.create()
    shared = {"DATABASE_URL": postgres.url(name), "REDIS_URL": valkey.url, "CACHE_KEY_PREFIX": tmp_path.name}
    shared |= seaweed.environment() | {"JWT_SECRET_KEY": "of both servers and of nobody else"}
    with ExitStack() as stack:
        opened = []
        for number in (1, 2):
            directory = tmp_path / f"server-{number}"
            directory.mkdir()
            server = Server(directory, settings={**SETTINGS, **shared})
            stack.callback(server.kill)
            server.start()
            opened.append(server)
        yield opened
    postgres.drop(name)


def test_delete_against_upload_of_the_same_bytes(servers: list[Server], seaweed: SeaweedFS, proof):
    operations = count(800, 100_000)
    ledger, tally = Ledger(), Tally(operations)
    contents = pictures_of(8, count=CONTENTS)
    with ExitStack() as stack:
        # Each pair of clients talks to another server.
        for server in servers:
            works = [toss(ledger, contents, tally=tally) for _ in range(CLIENTS // 2)]
            stack.enter_context(traffic(server.url, works, seed=len(ledger.entries)))
        assert tally.enough.wait(timeout=operations)
    assert ledger.unexpected == []
    for server in servers:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            for entry in ledger.entries.values():
                ledger.check(client, entry)
    assert ledger.unexpected == []
    with httpx.Client(base_url=servers[0].url, timeout=60) as client:
        for entry in ledger.entries.values():
            delete_at_last(client, entry)
    await_nothing(servers[0], objects_of(servers[0], seaweed))
    assert [server.stop() in ENDED for server in servers] == [True, True]
    proof.record(
        "Deleting never takes bytes that an upload counts on",
        f"PostgreSQL, S3, Redis, 2 servers, {CLIENTS} clients, no grace: operations, uploads, deletes; lost",
        f"{operations}, {len(ledger.entries)}, {ledger.deletions}; 0",
    )


def objects_of(server: Server, seaweed: SeaweedFS) -> S3Objects:
    """What lies in the servers' bucket."""
    bucket = seaweed.bucket(server.environment["MINIO_BUCKET"])
    assert isinstance(bucket, S3Bucket)
    return S3Objects(bucket)


def await_nothing(server: Server, objects: S3Objects) -> None:
    """Wait until no row and no object of an image is left."""
    deadline = time.monotonic() + 60
    while (left := objects.names()) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left == set()
    found = json.loads(server.chitram("doctor", "--json").stdout)
    assert (found["images"], found["blobs"], found["missing"]["count"]) == (0, 0, 0)
