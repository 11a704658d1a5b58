"""Migrations of a database on a server: the same scripts, all or nothing, one process at a time."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from alembic import op

from chitram.adapters.db import migrate
from chitram.adapters.db.tables import metadata
from tests.services.postgres import CARELESS, DEBIAN, WHEEL, Postgres, Session, running_postgres

pytestmark = pytest.mark.slow

INSTALLED = [path for path in (WHEEL, DEBIAN) if path.exists()]
UPGRADE = "import sys; from chitram.adapters.db import migrate; migrate.upgrade(sys.argv[1])"


@pytest.fixture
def name(postgres: Postgres) -> Iterator[str]:
    """An empty database."""
    made = postgres.create()
    yield made
    postgres.drop(made)


def things(postgres: Postgres, name: str) -> set[str]:
    """The names of all tables, sequences, indexes and constraints."""
    found = postgres.execute(
        "SELECT relname FROM pg_class JOIN pg_namespace ON relnamespace = pg_namespace.oid WHERE nspname = 'public' "
        "UNION SELECT conname FROM pg_constraint JOIN pg_namespace ON connamespace = pg_namespace.oid "
        "WHERE nspname = 'public' AND contype <> 'n'",
        database=name,
    )
    return {str(row[0]) for row in found}


def test_an_empty_database_gets_what_the_tables_say_and_gives_it_up_again(postgres, name):
    url = postgres.url(name)
    assert (migrate.current(url), migrate.pending(url)) == (None, True)
    for _ in range(2):
        migrate.upgrade(url)
        assert not migrate.pending(url)
        assert migrate.check(url) == []
        expected = {str(index.name) for table in metadata.tables.values() for index in table.indexes}
        expected |= {str(constraint.name) for table in metadata.tables.values() for constraint in table.constraints}
        expected |= {*metadata.tables, "blobs_id_seq", "jobs_id_seq", "alembic_version", "alembic_version_pkc"}
        assert things(postgres, name) == expected
        migrate.downgrade(url, "base")
        assert things(postgres, name) == {"alembic_version", "alembic_version_pkc"}
        assert (migrate.current(url), migrate.pending(url)) == (None, True)


def test_all_text_but_that_of_a_few_words_is_compared_by_its_bytes(postgres, name):
    migrate.upgrade(postgres.url(name))
    others = postgres.execute(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' "
        "AND data_type IN ('text', 'character varying') AND collation_name IS DISTINCT FROM 'C'",
        database=name,
    )
    words = {"state", "kind", "visibility", "role", "scopes", "version_num"}
    assert {column for _, column in others} <= words


def test_a_difference_is_found(postgres, name):
    url = postgres.url(name)
    migrate.upgrade(url)
    postgres.execute(
        "ALTER TABLE leases ADD COLUMN more TEXT",
        "DROP INDEX ix_blobs_renderable",
        "DROP INDEX ix_images_names",
        database=name,
    )
    assert len(migrate.check(url)) == 3


def test_a_database_from_the_future_is_left_alone(postgres, name):
    url = postgres.url(name)
    migrate.upgrade(url)
    postgres.execute("UPDATE alembic_version SET version_num = '9999_later'", database=name)
    for action in (migrate.upgrade, migrate.pending, lambda url: migrate.downgrade(url, "base")):
        with pytest.raises(migrate.SchemaNewerError, match="9999_later"):
            action(url)
    assert migrate.current(url) == "9999_later"


def test_an_account_that_may_make_no_tables_is_told_so(postgres, name):
    postgres.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC", "DROP ROLE IF EXISTS guest", database=name)
    postgres.execute("CREATE ROLE guest LOGIN", database=name)
    url = re.sub(r"//[^@/]*@", "//guest@", postgres.url(name))
    with pytest.raises(migrate.MigrationError, match="PostgreSQL refuses: permission denied for schema public"):
        migrate.upgrade(url)


def test_a_revision_that_nobody_knows_is_refused(postgres, name, tmp_path):
    for url in (postgres.url(name), f"sqlite:///{tmp_path}/unknown.db"):
        with pytest.raises(migrate.MigrationError, match="9999_later"):
            migrate.upgrade(url, revision="9999_later")
    assert (migrate.is_known("9999_later"), migrate.is_known("0001_images_blobs_jobs")) == (False, True)


def test_one_that_fails_half_way_leaves_nothing(postgres, name, monkeypatch):
    create_index = op.create_index

    def fail_late(index, *args, **options):
        if index == "ix_images_twins":
            raise LookupError
        return create_index(index, *args, **options)

    monkeypatch.setattr(op, "create_index", fail_late)
    with pytest.raises(LookupError):
        migrate.upgrade(postgres.url(name))
    assert things(postgres, name) == set()
    monkeypatch.undo()
    migrate.upgrade(postgres.url(name))
    assert migrate.check(postgres.url(name)) == []


def test_several_processes_that_start_together_all_come_up(postgres, name):
    url = postgres.url(name)
    command = [sys.executable, "-c", UPGRADE, url]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert (process.returncode, errors) == (0, "")
    assert migrate.check(url) == []


def test_another_one_is_waited_for(postgres, name):
    with Session(postgres.url(name)) as other:
        other.execute("BEGIN")
        other.execute(f"SELECT pg_advisory_xact_lock({int.from_bytes(b'chitram') << 8})")
        process = subprocess.Popen([sys.executable, "-c", UPGRADE, postgres.url(name)])
        waiting = f"SELECT 1 FROM pg_stat_activity WHERE datname = '{name}' AND wait_event = 'advisory'"
        deadline = time.monotonic() + 60
        while not postgres.execute(waiting):
            assert process.poll() is None, "it did not wait"
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert things(postgres, name) == set()
        other.execute("COMMIT")
    assert process.wait(60) == 0
    assert migrate.check(postgres.url(name)) == []


def test_an_encoding_that_cannot_take_every_name_is_refused(postgres):
    postgres.execute("CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    with pytest.raises(migrate.MigrationError, match="UTF8"):
        migrate.upgrade(postgres.url("ascii"))
    postgres.drop("ascii")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql://somebody:hidden@127.0.0.1:1/none", "refused"),
        ("postgres://somebody:hidden@127.0.0.1:{port}/none", 'database "none" does not exist'),
        ("postgresql+asyncpg://nobody:hidden@127.0.0.1:{port}/postgres", 'role "nobody" does not exist'),
    ],
)
def test_what_cannot_be_reached_is_said_to_be_so_without_a_password(postgres, url, why):
    for action in (migrate.upgrade, migrate.current, migrate.pending, migrate.check):
        with pytest.raises(migrate.MigrationError, match=why) as caught:
            action(url.format(port=postgres.port).replace("somebody", "chitram"))
        assert "hidden" not in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("binaries", INSTALLED, ids=lambda path: path.parts[-2])
def test_every_server_that_is_here_will_do(binaries):
    with running_postgres(binaries=binaries, settings=CARELESS) as server:
        url = server.url(server.create())
        migrate.upgrade(url)
        assert migrate.check(url) == []
        migrate.downgrade(url, "base")
        assert migrate.current(url) is None
