"""Moving to PostgreSQL and S3 and back: by the commands, with what people have, and only the address is new."""

import asyncio
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chitram.entrypoints.cli.main import app
from tests.factories.servers import clean_environment
from tests.integration.test_transfers import Filled, fill, require_everything_of
from tests.services.postgres import Postgres
from tests.services.seaweed import SeaweedFS

pytestmark = pytest.mark.slow

UNHURRIED = {"DB_STATEMENT_TIMEOUT_SECONDS": "10", "DB_POOL_TIMEOUT_SECONDS": "10", "DB_CONNECT_TIMEOUT_SECONDS": "10"}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Filled]:
    """A filled service on one machine that nobody touches."""
    data = tmp_path_factory.mktemp("filled") / "data"
    return data, asyncio.run(fill(data))


@pytest.fixture
def embedded(template: tuple[Path, Filled], tmp_path: Path) -> dict[str, str]:
    """The environment of a copy of it."""
    shutil.copytree(template[0], tmp_path / "data")
    return clean_environment(DATA_DIR=str(tmp_path / "data"), **UNHURRIED)


@pytest.fixture
def services(postgres: Postgres, seaweed: SeaweedFS, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a service that has an empty database and no bucket yet."""
    name = postgres.create()
    data = {"DATA_DIR": str(tmp_path / "elsewhere"), "DATABASE_URL": postgres.url(name), **UNHURRIED}
    yield clean_environment(**data, **seaweed.environment())
    postgres.drop(name)


def chitram(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """What a command prints; fails unless it ends well."""
    with monkeypatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


def test_there_and_back_by_backups(embedded, services, template, monkeypatch, tmp_path):
    """From one machine to services by a backup, and from there by another one to a new machine."""
    chitram(embedded, monkeypatch, "backup", str(tmp_path / "first"))
    chitram(services, monkeypatch, "restore", str(tmp_path / "first"))
    chitram(services, monkeypatch, "doctor", "env")
    require_everything_of(services, template[1], monkeypatch)
    chitram(services, monkeypatch, "backup", str(tmp_path / "second"))
    again = {**embedded, "DATA_DIR": str(tmp_path / "again")}
    chitram(again, monkeypatch, "restore", str(tmp_path / "second"))
    found = json.loads(chitram(again, monkeypatch, "doctor", "--json"))
    # What the look at it has added and taken away.
    assert found["images"] == len(template[1].images)
    assert found["missing"]["count"] == 0


def test_rows_and_files_move_one_after_the_other(embedded, services, template, monkeypatch):
    resting = {**embedded, "READ_ONLY": "true"}
    chitram({**resting, "TARGET_DATABASE_URL": services["DATABASE_URL"]}, monkeypatch, "migrate-db")
    halfway = {**resting, "DATABASE_URL": services["DATABASE_URL"]}
    s3 = {name: value for name, value in services.items() if name.startswith("MINIO_")}
    moved = chitram({**halfway, **s3}, monkeypatch, "migrate-store", "--to", "minio")
    assert f"{len({image['sha256'] for image in template[1].images})} files copied" in moved
    again = chitram({**halfway, **s3}, monkeypatch, "migrate-store", "--to", "minio")
    assert "0 files copied" in again
    there = {**embedded, "DATABASE_URL": services["DATABASE_URL"], "STORAGE_BACKEND": "minio", **s3}
    require_everything_of(there, template[1], monkeypatch)


def test_files_move_back_to_a_disk(embedded, services, template, monkeypatch, tmp_path):
    chitram(embedded, monkeypatch, "backup", str(tmp_path / "copy"))
    chitram(services, monkeypatch, "restore", str(tmp_path / "copy"))
    resting = {**services, "READ_ONLY": "true"}
    chitram(resting, monkeypatch, "migrate-store", "--to", "local")
    there = {**services, "STORAGE_BACKEND": "local"}
    require_everything_of(there, template[1], monkeypatch)
