"""SeaweedFS: an S3 service of one process, with its data in a temporary directory."""

import json
import os
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from chitram.settings import StorageSettings
from tests.services.processes import Service, free_port, running

ACCESS_KEY = "test-access-key"
SECRET_KEY = "test-secret-key-that-nobody-else-has"
#: Beside its ports for HTTP it opens others for gRPC, which are 10000 higher.
_HIGHEST_PORT = 55_535

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

    def settings(self, **fields: object) -> StorageSettings:
        """Settings of a store in a bucket of its own, unless `fields` name another."""
        return StorageSettings(**{**self._fields(), **fields})  # type: ignore[arg-type]

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

    def _fields(self) -> dict[str, object]:
        return {
            "backend": "minio",
            "minio_endpoint": self.endpoint,
            "minio_access_key": ACCESS_KEY,
            "minio_secret_key": SECRET_KEY,
            "minio_bucket": self.new_bucket(),
        }


def seaweed_service(directory: Path) -> SeaweedFS:
    """The service over `directory`, not started yet."""
    config = directory / "s3.json"
    credentials = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
    config.write_text(json.dumps({"identities": [{"name": "app", "credentials": credentials, "actions": _ACTIONS}]}))
    (directory / "data").mkdir()
    port = free_port(below=_HIGHEST_PORT)
    service = Service(
        "seaweedfs",
        command=_command(directory, config=config, port=port),
        directory=directory,
        ready=lambda: _answers(port),
        environment={"HOME": str(directory)},
    )
    return SeaweedFS(service, port)


def _command(directory: Path, *, config: Path, port: int) -> list[str]:
    ports = {name: free_port(below=_HIGHEST_PORT) for name in ("master", "volume", "filer")}
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
        "-volume.max=100",
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


def _answers(port: int) -> bool:
    """Whether it knows our key: it answers a moment before it does."""
    from chitram.adapters.blobs.s3_requests import S3Account, S3Requests  # noqa: PLC0415  # only where it is used

    account = S3Account(f"http://127.0.0.1:{port}", access_key=ACCESS_KEY, secret_key=SECRET_KEY, region="us-east-1")
    try:
        answer = S3Requests(account).send("GET", "/", patience=2)
    except (OSError, HTTPException):
        return False
    return answer.status == 200


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """One for the session; tests that take it away put it back."""
    found = seaweed_service(tmp_path_factory.mktemp("seaweed"))
    with running(found.service):
        yield found


__all__ = ["ACCESS_KEY", "SECRET_KEY", "HTTPConnection", "SeaweedFS", "os", "seaweed", "seaweed_service"]
