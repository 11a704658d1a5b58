"""Migrations on real files: names, up, down, twice at once, and nothing half done."""

import fcntl
import re
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic import op
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from chitram.adapters.db import migrate
from chitram.adapters.db.sqlite import open_sqlite
from chitram.adapters.db.tables import metadata
from chitram.domain.errors import ServiceUnavailable
from tests.factories.databases import copy_migrated, database_url
from tests.factories.releases import INSERT_IMAGE, TABLES, schema
from tests.factories.rows import add_blob, add_image

HEAD = "0004_invalidations"
#: A foreign key as it stands beside a column that was added later, and in the list of a table's constraints.
BESIDE = re.compile(r"(\w+)VARCHAR\((\d+)\)CONSTRAINT(fk_\w+?_users)REFERENCESusers\(id\)")
LISTED = r"\1VARCHAR(\2),CONSTRAINT\3FOREIGNKEY(\1)REFERENCESusers(id)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chitram.db"


def parts(definition: str) -> tuple[str, ...]:
    """The pieces of a definition in an order of their own: constraints may stand in any."""
    listed = BESIDE.sub(LISTED, definition)
    return tuple(sorted(listed.replace("!=", "<>").replace("(", ",").replace(")", ",").replace('"', "").split(",")))


class TestUpgrade:
    def test_an_empty_database_gets_every_table(self, path):
        url = database_url(path)
        assert (migrate.current(url), migrate.pending(url)) == (None, True)
        assert not path.exists()
        migrate.upgrade(url)
        assert (migrate.current(url), migrate.pending(url)) == (HEAD, False)
        assert set(schema(path)) >= TABLES
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_a_second_time_does_nothing(self, path):
        url = copy_migrated(path)
        before = path.read_bytes()
        migrate.upgrade(url)
        assert path.read_bytes() == before

    def test_the_tables_are_those_that_the_program_expects(self, path):
        assert migrate.check(copy_migrated(path)) == []

    def test_a_difference_is_found(self, path):
        url = copy_migrated(path)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("ALTER TABLE leases ADD COLUMN more TEXT")
            connection.execute("DROP INDEX ix_blobs_renderable")
            connection.execute("DROP INDEX ix_images_names")
            connection.commit()
        assert len(migrate.check(url)) == 3

    def test_every_word_is_the_same_as_the_tables_say(self, path, tmp_path):
        copy_migrated(path)
        other = tmp_path / "other.db"
        engine = create_engine(f"sqlite:///{other}")
        metadata.create_all(engine)
        engine.dispose()
        migrated, made = schema(path), schema(other)
        assert migrated.keys() == made.keys()
        for name, definition in made.items():
            assert parts(migrated[name]) == parts(definition), name

    def test_every_constraint_and_index_has_a_name(self, path):
        copy_migrated(path)
        with closing(sqlite3.connect(path)) as connection:
            definitions = dict(
                connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
            )
        for name in TABLES:
            # A number that SQLite counts up by itself is the one key that cannot have a name there.
            words = definitions[name].replace("PRIMARY KEY AUTOINCREMENT", "")
            constraints = re.findall(r"(?:CONSTRAINT (\w+) )?(PRIMARY KEY|UNIQUE|FOREIGN KEY|CHECK) ", words)
            assert all(re.match(r"(pk|uq|fk|ck)_" + name, given) for given, _ in constraints), (name, constraints)
            assert "PRIMARY KEY" in definitions[name]
        assert all(name.startswith(("ix_", "uq_")) for name in schema(path).keys() - TABLES)


class TestDowngrade:
    async def test_down_and_up_again_with_data(self, path):
        url = copy_migrated(path)
        database = await open_sqlite(url=url)
        async with database.begin() as work:
            blob = await add_blob(work)
            await add_image(work, 1, blob_id=blob.id)
        await database.aclose()
        migrate.downgrade(url, "base")
        assert (migrate.current(url), migrate.pending(url)) == (None, True)
        assert schema(path) == {}
        migrate.upgrade(url)
        assert migrate.check(url) == []
        database = await open_sqlite(url=url)
        async with database.begin() as work:
            assert await work.images.count() == 0
            await add_blob(work)
        await database.aclose()


class TestRefusals:
    def test_a_database_from_the_future(self, path):
        url = copy_migrated(path)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999_later'")
            connection.commit()
        before = path.read_bytes()
        for action in (migrate.upgrade, migrate.pending, lambda url: migrate.downgrade(url, "base")):
            with pytest.raises(migrate.SchemaNewerError, match="9999_later") as caught:
                action(url)
            assert "\n" not in str(caught.value)
        assert migrate.current(url) == "9999_later"
        assert path.read_bytes() == before

    def test_a_directory_that_is_not_there(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            migrate.upgrade(database_url(tmp_path / "none" / "chitram.db"))

    def test_a_file_that_is_no_database(self, path):
        path.write_bytes(b"no database" * 1000)
        with pytest.raises(ServiceUnavailable, match="file is not a database"):
            migrate.upgrade(database_url(path))

    def test_a_directory_in_its_place(self, path):
        path.mkdir()
        url = database_url(path)
        for action in (migrate.upgrade, migrate.current, migrate.pending, lambda url: migrate.downgrade(url, "base")):
            with pytest.raises(migrate.MigrationError, match="is a directory"):
                action(url)
        assert list(path.parent.iterdir()) == [path]

    def test_down_from_nothing(self, path):
        with pytest.raises(migrate.MigrationError, match="there is no database"):
            migrate.downgrade(database_url(path), "base")
        assert list(path.parent.iterdir()) == []

    def test_a_database_of_another_program(self, path):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE blobs (theirs)")
        with pytest.raises(OperationalError, match="already exists"):
            migrate.upgrade(database_url(path))
        assert schema(path) == {"blobs": "CREATETABLEblobs(theirs)"}


class TestAllOrNothing:
    """The migrations' own work fails half way: the file is as it was."""

    @pytest.fixture
    def failing(self, monkeypatch):
        create_index = op.create_index

        def fail_late(name, *args, **options):
            if name == "ix_images_twins":
                raise LookupError
            return create_index(name, *args, **options)

        monkeypatch.setattr(op, "create_index", fail_late)

    def test_going_up(self, path, failing, monkeypatch):
        url = database_url(path)
        with pytest.raises(LookupError):
            migrate.upgrade(url)
        assert schema(path) == {}
        assert migrate.current(url) is None
        monkeypatch.undo()
        migrate.upgrade(url)
        assert migrate.check(url) == []

    async def test_rows_without_their_parents_are_taken_back(self, path):
        url = copy_migrated(path)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"{INSERT_IMAGE} ('x', 404, 'f', 'public', '2026-01-01 00:00:00.000000', NULL, 'r')")
            connection.execute("ALTER TABLE images RENAME TO kept")
            connection.execute("DELETE FROM alembic_version")
            for name in TABLES - {"images"}:
                connection.execute(f"DROP TABLE {name}")
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
            ).fetchall():
                connection.execute(f"DROP INDEX {name}")
            connection.commit()
        with pytest.raises(migrate.ForeignKeyError, match="kept"):
            migrate.upgrade(url)
        assert set(schema(path)) == {"kept"}


UPGRADE = "import sys; from chitram.adapters.db import migrate; migrate.upgrade(sys.argv[1])"


@pytest.mark.slow
class TestProcesses:
    def start(self, url: str) -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-c", UPGRADE, url], stderr=subprocess.PIPE, text=True)

    def test_several_that_start_together_all_come_up(self, path):
        url = database_url(path)
        processes = [self.start(url) for _ in range(3)]
        for process in processes:
            _, errors = process.communicate(timeout=60)
            assert (process.returncode, errors) == (0, "")
        assert migrate.check(url) == []

    def test_one_that_is_killed_at_any_moment_leaves_a_file_that_can_go_on(self, path):
        url = database_url(path)
        for wait in (0.3, 0.5, 0.6, 0.7):
            process = self.start(url)
            try:
                process.communicate(timeout=wait)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
            assert not path.exists() or set(schema(path)) & TABLES in (set(), TABLES)
        migrate.upgrade(url)
        assert migrate.check(url) == []

    def test_the_lock_is_private_and_let_go(self, path):
        url = copy_migrated(path)
        migrate.upgrade(url)
        lock = Path(f"{path}.migrate.lock")
        assert stat.S_IMODE(lock.stat().st_mode) & 0o027 == 0
        with lock.open() as again:
            fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
