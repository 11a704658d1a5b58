"""Real databases for tests: migrated once a session, copied for each test."""

import atexit
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from chitram.adapters.db import migrate
from chitram.adapters.db.unit_of_work import SqlDatabase


def copy_migrated(path: Path) -> str:
    """Put an empty migrated database at `path`, which must not exist, and return its URL."""
    if path.exists():
        raise FileExistsError(path)
    shutil.copyfile(_template(), path)
    return database_url(path)


@asynccontextmanager
async def open_migrated(path: Path, **options: Any) -> AsyncIterator[SqlDatabase]:
    """An empty migrated database at `path`, opened with `options`."""
    database = await SqlDatabase.open(url=copy_migrated(path), **options)
    try:
        yield database
    finally:
        await database.aclose()


@asynccontextmanager
async def open_twice(path: Path) -> AsyncIterator[tuple[SqlDatabase, SqlDatabase]]:
    """An empty migrated database at `path`, opened by two who wait patiently for each other, as two servers would."""
    async with open_migrated(path, connection_wait=30, busy_timeout=30) as one:
        two = await SqlDatabase.open(url=database_url(path), connection_wait=30, busy_timeout=30)
        try:
            yield one, two
        finally:
            await two.aclose()


def database_url(path: Path) -> str:
    """The URL of the SQLite file at `path`."""
    return f"sqlite:///{path}"


@cache
def _template() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="chitram-template-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    path = directory / "template.db"
    migrate.upgrade(database_url(path))
    if path.with_name(path.name + "-wal").exists():
        raise RuntimeError("the template is not in one file")
    return path
