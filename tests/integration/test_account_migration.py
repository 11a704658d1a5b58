"""Between the first released schema and the one with accounts, with data in it."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import op

from chitram.adapters.db import migrate
from chitram.adapters.db.sqlite import open_sqlite
from chitram.domain.images import Visibility
from tests.factories.databases import copy_migrated, database_url
from tests.factories.releases import FIRST, FIRST_TABLES, TABLES, contents, fill_first, schema
from tests.factories.rows import add_api_token, add_blob, add_image, add_session, add_user, new_invite, user_id_of

HEAD = "0004_invalidations"
NEW_COLUMNS = ("owner_id", "title", "description")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chitram.db"


def within(rows: dict[str, list[dict[str, object]]], columns: dict[str, list[dict[str, object]]]) -> object:
    """Of `rows`, the tables and columns that `columns` has."""
    return {table: [{name: row[name] for name in columns[table][0]} for row in rows[table]] for table in columns}


def pages_that_differ(before: bytes, after: bytes, *, size: int = 4096) -> int:
    """How many pages of `before` are others in `after`."""
    starts = range(0, len(before), size)
    return sum(before[start : start + size] != after[start : start + size] for start in starts)


class TestBothWays:
    def test_up_down_and_up_lose_nothing_and_leave_no_trace(self, path):
        url = database_url(path)
        fill_first(path)
        first, rows = schema(path), contents(path)
        assert all(rows[table] for table in FIRST_TABLES)
        for _ in range(2):
            migrate.upgrade(url)
            assert migrate.current(url) == HEAD
            assert migrate.check(url) == []
            assert within(contents(path), rows) == rows
            assert all(image[name] is None for image in contents(path)["images"] for name in NEW_COLUMNS)
            migrate.downgrade(url, FIRST)
            assert (migrate.current(url), schema(path), contents(path)) == (FIRST, first, rows)

    def test_the_images_stay_without_row_numbers_and_name_their_owners(self, path):
        fill_first(path)
        migrate.upgrade(database_url(path))
        definition = schema(path)["images"]
        assert definition.endswith("WITHOUTROWID")
        assert "CONSTRAINTfk_images_owner_id_usersREFERENCESusers(id)" in definition
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA foreign_keys = ON")
            with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
                connection.execute("UPDATE images SET owner_id = 'nobody'")

    async def test_the_program_works_with_what_was_there(self, path):
        url = database_url(path)
        fill_first(path)
        migrate.upgrade(url)
        database = await open_sqlite(url=url)
        async with database.begin() as work:
            user = await add_user(work, 1)
            for number in range(3):
                image = await work.images.lock(f"image{number:06d}")
                assert image is not None
                await work.images.update(replace(image, owner_id=user.id, delete_token_hash=None, title="mine"))
            assert len(await work.images.list_owned(user.id, after=None, limit=10)) == 3
            assert len(await work.images.list_public(after=None, limit=10)) == 1
        await database.aclose()

    async def test_on_the_way_back_every_image_stays_and_is_in_nobodys_hands(self, path):
        url = copy_migrated(path)
        database = await open_sqlite(url=url)
        async with database.begin() as work:
            await add_user(work, 1)
            await add_session(work, 1)
            await add_api_token(work, 1)
            await work.invites.add(new_invite())
            blob = await add_blob(work)
            owner = {"owner_id": user_id_of(1), "delete_token_hash": None, "title": "t", "description": "d"}
            for number, visibility in enumerate(Visibility):
                await add_image(work, number, blob_id=blob.id, visibility=visibility, **owner)
            await add_image(work, 9, blob_id=blob.id)
        await database.aclose()
        rows = contents(path)["images"]
        migrate.downgrade(url, FIRST)
        assert schema(path).keys() & TABLES == FIRST_TABLES
        old = [{name: value for name, value in row.items() if name not in NEW_COLUMNS} for row in rows]
        assert contents(path)["images"] == old
        assert [row["delete_token_hash"] for row in old] == [None, None, None, "d" * 64]
        migrate.upgrade(url)
        assert migrate.check(url) == []
        assert contents(path)["images"] == [row | dict.fromkeys(NEW_COLUMNS) for row in old]
        assert contents(path)["users"] == []

    def test_a_big_table_is_not_written_again(self, path):
        fill_first(path, images=20_000)
        before = path.read_bytes()
        migrate.upgrade(database_url(path))
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert len(before) > 1000 * 4096
        assert pages_that_differ(before, path.read_bytes()) < 20


class TestAllOrNothing:
    """The migration's own work fails at its end: everything is as it was."""

    def test_going_on_with_data(self, path, monkeypatch):
        url = database_url(path)
        fill_first(path)
        before, rows = schema(path), contents(path)
        create_index = op.create_index

        def fail_last(name, *args, **options):
            create_index(name, *args, **options)
            if name == "ix_images_twins":
                raise LookupError

        monkeypatch.setattr(op, "create_index", fail_last)
        with pytest.raises(LookupError):
            migrate.upgrade(url)
        assert (migrate.current(url), schema(path), contents(path)) == (FIRST, before, rows)

    def test_going_back_with_data(self, path, monkeypatch):
        url = database_url(path)
        fill_first(path)
        migrate.upgrade(url)
        before, rows = schema(path), contents(path)
        drop_table = op.drop_table

        def fail_last(name, *args, **options):
            drop_table(name, *args, **options)
            if name == "users":
                raise LookupError

        monkeypatch.setattr(op, "drop_table", fail_last)
        with pytest.raises(LookupError):
            migrate.downgrade(url, FIRST)
        assert (migrate.current(url), schema(path), contents(path)) == (HEAD, before, rows)
