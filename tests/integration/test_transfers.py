"""Backup, restore, moving house: everything arrives, the old place is untouched, no interruption does harm."""

import asyncio
import gzip
import json
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from chitram.adapters.db import migrate
from chitram.adapters.db.leases import SqlLeaseRepository
from chitram.adapters.memory.clock import SystemClock
from chitram.bootstrap import StartupError, operating, prepare, schema_revision
from chitram.bootstrap.transfers import backing_up, manifest_of, moving_rows, restoring
from chitram.domain.blobs import ERASING_HELD
from chitram.domain.errors import ServiceUnavailable
from chitram.services.transfer import NotEmptyError
from chitram.settings import AccountSettings, AppSettings, HousekeepingSettings, LimitSettings, Settings, load_settings
from tests.factories import pictures
from tests.factories.accounts import PASSWORD, signed_up
from tests.factories.applications import client_of, house
from tests.integration.requests import IMAGES, code, token, uploaded

pytestmark = pytest.mark.slow

PICTURES = 5


class Interrupted(BaseException):
    """As a signal comes: no handler of errors may hold it up."""


@dataclass
class Filled:
    """What was put into a service: images with their answers and bytes, and one account."""

    images: list[dict[str, Any]]
    bytes: dict[str, bytes]
    email: str


def settings_of(directory: Path, *, read_only: bool = False) -> Settings:
    return Settings(
        app=AppSettings(env="test", data_dir=directory, read_only=read_only),
        limits=LimitSettings(enabled=False),
        accounts=AccountSettings(bcrypt_rounds=4),
        housekeeping=HousekeepingSettings(collect_grace_seconds=0),
    )


async def fill(directory: Path) -> Filled:
    """A service with pictures of nobody and of somebody, twins among them, thumbnails and an API token."""
    async with client_of(settings_of(directory)) as client:
        ada = await signed_up(client)
        images = [await uploaded(client, pictures.jpeg(200 + n, 90, seed=n)) for n in range(PICTURES)]
        fields = {"visibility": "private", "title": "చిత్రం"}
        images.append(await uploaded(client, pictures.jpeg(200, 90, seed=0), fields=fields, headers=ada.bearer))
        made = {"name": "script", "scopes": ["upload", "read"]}
        assert (await client.post("/api/v1/auth/tokens", json=made, headers=ada.bearer)).status_code == 201
        found = {}
        for image in images:
            for address in (image["url"], image["thumbnail_url"]):
                found[address] = (await client.get(address, headers=ada.bearer)).content
    return Filled(images, found, ada.email)


async def require_everything(settings: Settings, filled: Filled) -> None:
    """Every address gives the same bytes, the password is good, delete tokens work, and the doctor finds nothing."""
    async with operating(settings) as application:
        assert (await application.doctor.examine()).clean
    async with client_of(settings) as client:
        signed_in = await client.post("/api/v1/auth/login", json={"email": filled.email, "password": PASSWORD})
        bearer = {"Authorization": f"Bearer {signed_in.json()['access_token']}"}
        for address, data in filled.bytes.items():
            assert (await client.get(address, headers=bearer)).content == data, address
        tokens = (await client.get("/api/v1/auth/tokens", headers=bearer)).json()
        assert "script" in json.dumps(tokens)
        await uploaded(client, pictures.jpeg(64, 64, seed=99))
        first = filled.images[0]
        assert (await client.delete(f"{IMAGES}/{first['id']}", headers=token(first))).status_code == 204


def require_everything_of(environment: Mapping[str, str], filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same of the service that an environment describes."""
    with monkeypatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        settings = load_settings(env_file=None)
    limits = settings.limits.model_copy(update={"enabled": False})
    asyncio.run(require_everything(settings.model_copy(update={"limits": limits}), filled))


def interrupted_after(steps: int) -> Callable[[int], None]:
    """Progress that stands for a signal: it raises when so many steps are done."""
    done = 0

    def progress(number: int) -> None:
        nonlocal done
        done += number
        if done >= steps:
            raise Interrupted

    return progress


async def repeated(act: Callable[[Callable[[int], None]], Awaitable[object]], *, steps: range) -> None:
    """Do it again and again, cut short later each time, and at last to its end."""
    for step in steps:
        try:
            await act(interrupted_after(step))
        except Interrupted:
            continue
    await act(lambda _: None)


def tree(directory: Path) -> dict[str, bytes]:
    """Every file that matters, with its bytes."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and path.suffix not in (".lock", ".db-shm") and ".staging" not in path.parts
    }


async def back_up(data: Path, copy: Path, progress: Callable[[int], None] = lambda _: None) -> None:
    async with backing_up(settings_of(data), copy) as backup:
        await backup.make(version="1", revision=_revision(data), progress=progress)


def _revision(data: Path) -> str:
    return schema_revision(settings_of(data)) or ""


async def put_back(data: Path, copy: Path, progress: Callable[[int], None] = lambda _: None) -> None:
    manifest = await manifest_of(copy)
    async with restoring(settings_of(data), copy, manifest) as restoration:
        await restoration.put_back(manifest, progress=progress)


def change_manifest(copy: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = copy / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def rows_of(copy: Path) -> Path:
    """Where the rows of the last whole copy are."""
    return copy / json.loads((copy / "manifest.json").read_text())["rows"]


def make_older(copy: Path, revision: str) -> None:
    """Take out of a backup what the schema at `revision` had no place for."""
    old = copy.with_name("old.db")
    migrate.upgrade(f"sqlite:///{old}", revision=revision)
    with closing(sqlite3.connect(old)) as schema:
        tables = {name for (name,) in schema.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        columns = {name: [row[1] for row in schema.execute(f"PRAGMA table_info({name})")] for name in tables}
    for path in rows_of(copy).iterdir():
        name = path.name.removesuffix(".jsonl.gz")
        if name not in tables:
            path.unlink()
            continue
        rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
        kept = ({column: row[column] for column in columns[name] if column in row} for row in rows)
        path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in kept).encode()))

    def say(manifest: dict[str, Any]) -> None:
        manifest["revision"] = revision
        manifest["tables"] = {name: rows for name, rows in manifest["tables"].items() if name in tables}

    change_manifest(copy, say)


class Forgetful:
    """A cache that is asked to forget."""

    cleared = 0

    async def clear(self) -> None:
        self.cleared += 1


class Meddler:
    """An archive beside which something happens when the rows of images are in it, and before any object is copied."""

    def __init__(self, archive: Any, meddle: Callable[[], Awaitable[None]]) -> None:
        self._archive = archive
        self._meddle = meddle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._archive, name)

    async def write(self, table: str, rows: Any) -> None:
        await self._archive.write(table, rows)
        if table == "images":
            await self._meddle()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Filled]:
    """A filled service that nobody touches."""
    data = tmp_path_factory.mktemp("filled") / "data"
    return data, asyncio.run(fill(data))


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path, Path]:
    """The data, the copy, and where it is put back."""
    return tmp_path / "data", tmp_path / "copy", tmp_path / "again"


@pytest.fixture
def filled(template: tuple[Path, Filled], places: tuple[Path, Path, Path]) -> Filled:
    """The data are there."""
    shutil.copytree(template[0], places[0])
    return template[1]


class TestBackup:
    async def test_everything_comes_back(self, places, filled):
        data, copy, again = places
        await back_up(data, copy)
        await put_back(again, copy)
        shutil.copy(data / "secret.key", again)
        await require_everything(settings_of(again), filled)

    async def test_both_may_be_interrupted_at_any_object(self, places, filled):
        data, copy, again = places
        await repeated(lambda progress: back_up(data, copy, progress), steps=range(1, PICTURES))
        await repeated(lambda progress: put_back(again, copy, progress), steps=range(1, PICTURES))
        await require_everything(settings_of(again), filled)

    async def test_a_first_copy_that_was_cut_short_is_none(self, places, filled):
        data, copy, _ = places
        with pytest.raises(Interrupted):
            await back_up(data, copy, interrupted_after(2))
        with pytest.raises(StartupError, match="no whole backup"):
            await manifest_of(copy)

    async def test_one_that_was_cut_short_leaves_the_one_of_before(self, places, filled):
        data, copy, again = places
        await back_up(data, copy)
        async with client_of(settings_of(data)) as client:
            await uploaded(client, pictures.jpeg(64, 64, seed=7))
        with pytest.raises(Interrupted):
            await back_up(data, copy, interrupted_after(2))
        await put_back(again, copy)
        await require_everything(settings_of(again), filled)
        await back_up(data, copy)
        assert [path for path in copy.iterdir() if path.name.startswith("rows")] == [rows_of(copy)]

    async def test_a_lease_that_cannot_be_given_back_costs_no_copy(self, places, filled, monkeypatch):
        data, copy, again = places

        async def away(*_: object, **__: object) -> None:
            raise ServiceUnavailable

        monkeypatch.setattr(SqlLeaseRepository, "release", away)
        await back_up(data, copy)
        monkeypatch.undo()
        await put_back(again, copy)
        await require_everything(settings_of(again), filled)

    async def test_a_read_only_service_is_copied_without_a_write(self, places, filled):
        data, copy, again = places
        before = tree(data)
        async with backing_up(settings_of(data, read_only=True), copy) as backup:
            await backup.make(version="1", revision=_revision(data), progress=lambda _: None)
        assert tree(data) == before
        await put_back(again, copy)
        await require_everything(settings_of(again), filled)

    async def test_the_secret_belongs_to_the_copy(self, places, filled):
        data, copy, again = places
        await back_up(data, copy)
        (data / "secret.key").write_text("made anew because the old one was lost")
        await back_up(data, copy)
        again.mkdir()
        (again / "secret.key").write_text("of another service, and long enough to be one")
        with pytest.raises(StartupError, match="is not the secret of the backup"):
            await put_back(again, copy)
        (again / "secret.key").unlink()
        await put_back(again, copy)
        assert (again / "secret.key").read_text() == "made anew because the old one was lost"

    async def test_what_is_cached_of_before_is_forgotten(self, places, filled):
        data, copy, again = places
        await back_up(data, copy)
        manifest, cache = await manifest_of(copy), Forgetful()
        async with restoring(settings_of(again), copy, manifest) as restoration:
            restoration._cache = cache
            await restoration.put_back(manifest, progress=lambda _: None)
        assert cache.cleared == 1

    async def test_what_is_uploaded_and_deleted_meanwhile_does_no_harm(self, places, filled):
        """Grace is zero: a collector that ran would take what the copy is about to read."""
        data, copy, again = places
        victim = filled.images[-2]
        # The lease is of this time of day.
        async with house(data, settings=settings_of(data), clock=SystemClock()) as running:

            async def meddle() -> None:
                async with running.client() as client:
                    await uploaded(client, pictures.jpeg(80, 80, seed=50))
                    answer = await client.delete(f"{IMAGES}/{victim['id']}", headers=token(victim))
                    assert answer.status_code == 204
                assert await running.application.collector.collect() == 0

            async with backing_up(settings_of(data), copy) as backup:
                backup._archive = Meddler(backup._archive, meddle)
                manifest = (await backup.make(version="1", revision=_revision(data), progress=lambda _: None)).manifest
            assert not manifest.missing
            assert await running.application.collector.collect() == 1
        await put_back(again, copy)
        await require_everything(settings_of(again), filled)

    async def test_lost_and_damaged_files_are_named(self, places, filled):
        data, copy, again = places
        lost, damaged = sorted(path for path in (data / "storage/blobs").rglob("*") if path.is_file())[:2]
        lost.unlink()
        damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
        await back_up(data, copy)
        manifest = await manifest_of(copy)
        keys = {path.relative_to(data / "storage").as_posix() for path in (lost, damaged)}
        assert set(manifest.missing) == keys
        await put_back(again, copy)
        async with operating(settings_of(again)) as application:
            assert (await application.doctor.examine()).missing.count == 2

    async def test_the_copy_belongs_to_its_owner_alone(self, places, filled):
        data, copy, _ = places
        await back_up(data, copy)
        assert copy.stat().st_mode & 0o077 == 0
        assert all(path.stat().st_mode & 0o077 == 0 for path in (rows_of(copy), *rows_of(copy).iterdir()))

    async def test_a_directory_of_another_service_is_refused(self, places, filled, tmp_path):
        data, copy, _ = places
        await back_up(data, copy)
        await fill(tmp_path / "other")
        with pytest.raises(StartupError, match="belongs to another database"):
            await back_up(tmp_path / "other", copy)

    async def test_nothing_is_put_into_a_database_that_has_something(self, places, filled):
        data, copy, _ = places
        await back_up(data, copy)
        before = tree(data / "storage")
        with pytest.raises(NotEmptyError):
            await put_back(data, copy)
        assert tree(data / "storage") == before

    async def test_a_copy_that_lacks_rows_is_refused_as_a_whole(self, places, filled):
        data, copy, again = places
        await back_up(data, copy)
        (rows_of(copy) / "images.jsonl.gz").unlink()
        with pytest.raises(ValueError, match="0 rows of images"):
            await put_back(again, copy)
        prepare(settings_of(again))
        async with operating(settings_of(again)) as application:
            diagnosis = await application.doctor.examine()
        assert (diagnosis.images, diagnosis.blobs) == (0, 0)

    async def test_a_copy_with_damaged_rows_is_refused_as_a_whole(self, places, filled):
        data, copy, again = places
        await back_up(data, copy)
        path = rows_of(copy) / "images.jsonl.gz"
        for damaged in (path.read_bytes()[:-9], b"\x1f\x8b" + bytes(40), gzip.compress(b"no json\n")):
            path.write_bytes(damaged)
            with pytest.raises(ValueError, match=r"images\.jsonl\.gz is damaged"):
                await put_back(again, copy)

    async def test_a_copy_by_a_newer_version_is_refused(self, places, filled):
        data, copy, again = places
        await back_up(data, copy)
        change_manifest(copy, lambda manifest: manifest.update(revision="9999_later", version="9.9"))
        with pytest.raises(StartupError, match=r"by Chitram 9\.9, which is newer"):
            await put_back(again, copy)
        assert not (again / "chitram.db").exists()

    async def test_rows_for_which_there_is_no_table_are_refused(self, places, filled):
        data, copy, again = places
        await back_up(data, copy)
        change_manifest(copy, lambda manifest: manifest["tables"].update(albums=3))
        with pytest.raises(ValueError, match="rows of albums"):
            await put_back(again, copy)

    @pytest.mark.parametrize("revision", ["0001_images_blobs_jobs", "0002_accounts", "0003_names_of_images"])
    async def test_a_copy_by_an_older_version_comes_back(self, places, filled, revision):
        data, copy, again = places
        await back_up(data, copy)
        make_older(copy, revision)
        await put_back(again, copy)
        public = [address for image in filled.images[:PICTURES] for address in (image["url"], image["thumbnail_url"])]
        async with operating(settings_of(again)) as application:
            assert (await application.doctor.examine()).clean
        async with client_of(settings_of(again)) as client:
            for address in public:
                assert (await client.get(address)).content == filled.bytes[address]
            await uploaded(client, pictures.jpeg(64, 64, seed=99))

    async def test_the_collector_goes_on_when_a_copy_died(self, places, filled):
        data, _, _ = places
        async with house(data, settings=settings_of(data)) as running:
            now = running.clock.now()
            async with running.foundation.database.begin() as work:
                until = now + timedelta(seconds=30)
                assert await work.leases.acquire(ERASING_HELD, holder="gone", now=now, until=until)
            image = filled.images[1]
            async with running.client() as client:
                await client.delete(f"{IMAGES}/{image['id']}", headers=token(image))
            running.clock.advance(timedelta(seconds=5))
            assert await running.application.collector.collect() == 0
            running.clock.advance(timedelta(seconds=40))
            assert await running.application.collector.collect() == 1


class TestMovingRows:
    async def move(self, data: Path, target: str, progress: Callable[[int], None] = lambda _: None) -> list[str]:
        async with moving_rows(settings_of(data, read_only=True), target_url=target) as mover:
            await mover.copy(progress=progress)
            return await mover.differences()

    async def test_every_row_arrives_and_the_source_is_untouched(self, places, filled):
        data, _, again = places
        before = tree(data)
        again.mkdir()
        assert await self.move(data, f"sqlite:///{again}/chitram.db") == []
        assert tree(data) == before
        shutil.copytree(data / "storage", again / "storage")
        shutil.copy(data / "secret.key", again)
        await require_everything(settings_of(again), filled)

    async def test_it_may_be_interrupted_anywhere(self, places, filled):
        data, _, again = places
        again.mkdir()
        target = f"sqlite:///{again}/chitram.db"
        await repeated(lambda progress: self.move(data, target, progress), steps=range(1, 40, 7))
        assert await self.move(data, target) == []
        shutil.copytree(data / "storage", again / "storage")
        await require_everything(settings_of(again), filled)

    async def test_a_target_with_rows_of_its_own_is_refused(self, places, filled):
        data, _, again = places
        await fill(again)
        with pytest.raises(NotEmptyError):
            await self.move(data, f"sqlite:///{again}/chitram.db")

    async def test_servers_have_to_rest(self, places, filled):
        data, _, again = places
        with pytest.raises(StartupError, match="READ_ONLY"):
            async with moving_rows(settings_of(data), target_url=f"sqlite:///{again}.db"):
                pass

    async def test_a_change_meanwhile_is_told(self, places, filled):
        data, _, again = places
        again.mkdir()
        image = filled.images[0]
        async with moving_rows(settings_of(data, read_only=True), target_url=f"sqlite:///{again}/chitram.db") as mover:
            await mover.copy(progress=lambda _: None)
            async with client_of(settings_of(data)) as client:
                assert code(await client.delete(f"{IMAGES}/{image['id']}")) == "DELETE_TOKEN_REQUIRED"
                await client.delete(f"{IMAGES}/{image['id']}", headers=token(image))
            assert "images" in await mover.differences()
