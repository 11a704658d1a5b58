import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from chitram.adapters.db.engine import connect, create_file, database_path


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///chitram.db", "chitram.db"),
        ("sqlite:////var/lib/chitram/a b.db", "/var/lib/chitram/a b.db"),
        ("sqlite+aiosqlite:///data/chitram.db", "data/chitram.db"),
    ],
)
def test_urls_name_files(url, path):
    assert database_path(url) == Path(path)


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "postgresql://user:hunter2@db/chitram",
        "mysql+pymysql://user:hunter2@db/chitram",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x?mode=memory",
        "sqlite://host/path.db",
        "sqlite:///path.db?timeout=5",
    ],
)
def test_other_urls_are_refused_without_being_shown(url):
    with pytest.raises(ValueError, match="DATABASE_URL") as caught:
        database_path(url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_file_is_made_for_its_owner_alone(tmp_path):
    path = tmp_path / "a.db"
    before = os.umask(0)
    try:
        create_file(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_existing_file_is_left_as_it_is(tmp_path):
    path = tmp_path / "a.db"
    path.write_bytes(b"kept")
    path.chmod(0o640)
    create_file(path)
    assert path.read_bytes() == b"kept"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def pragma(connection: sqlite3.Connection, name: str) -> object:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def test_the_writer_is_durable(tmp_path):
    create_file(tmp_path / "a.db")
    with closing(connect(tmp_path / "a.db", busy_timeout=0.3)) as connection:
        assert pragma(connection, "journal_mode") == "wal"
        assert pragma(connection, "synchronous") == 2  # FULL
        assert pragma(connection, "foreign_keys") == 1
        assert pragma(connection, "query_only") == 0
        assert pragma(connection, "busy_timeout") == 300
        assert pragma(connection, "trusted_schema") == 0
        assert pragma(connection, "journal_size_limit") == 16 * 1024 * 1024
        assert pragma(connection, "mmap_size") == 0


def test_files_beside_the_database_have_its_mode(tmp_path):
    create_file(tmp_path / "a.db")
    with closing(connect(tmp_path / "a.db")) as connection:
        connection.execute("CREATE TABLE t (x)")
        assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
        assert len(list(tmp_path.iterdir())) == 3


def test_a_reader_cannot_write(tmp_path):
    create_file(tmp_path / "a.db")
    with closing(connect(tmp_path / "a.db", read_only=True)) as connection:  # noqa: SIM117 - the second one is what is tested
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("CREATE TABLE t (x)")


def test_a_missing_file_is_not_made(tmp_path):
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        connect(tmp_path / "a.db")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_leaves_no_connection_open(tmp_path):
    (tmp_path / "a.db").write_bytes(b"no database" * 1000)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        connect(tmp_path / "a.db")


def test_names_with_marks_of_their_own_are_taken_literally(tmp_path):
    path = tmp_path / "a?mode=memory#x%20.db"
    create_file(path)
    with closing(connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
    assert path.stat().st_size > 0
