"""Bringing the schema up to date, and back. One process at a time, all or nothing."""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

from sqlalchemy import Connection, inspect, text

from chitram.adapters.db.schemas import MigrationError, Schema
from chitram.adapters.db.sqlite_schema import ForeignKeyError, SqliteSchema
from chitram.adapters.db.tables import metadata

__all__ = [
    "ForeignKeyError",
    "MigrationError",
    "SchemaNewerError",
    "check",
    "current",
    "downgrade",
    "is_known",
    "pending",
    "revisions",
    "upgrade",
]

_VERSIONS = Path(__file__).parent / "migrations" / "versions"


class SchemaNewerError(MigrationError):
    """The database was made by a newer version of the program, which this one must not touch."""

    def __init__(self, revision: str) -> None:
        super().__init__(f"the database is at revision {revision}, which is newer than this version of the program")
        self.revision = revision


def upgrade(url: str, *, revision: str = "head") -> None:
    """Bring the database at `url` up to `revision`, making the file if need be.

    Safe to call from several processes at once. SchemaNewerError when the database is ahead of this program,
    ServiceUnavailable or StorageFull when the database cannot answer.
    A migration that fails leaves everything as it was.
    """

    def work(connection: Connection) -> bool:
        if _up_to_date(connection):
            return False
        _scripts().upgrade(connection, revision)
        return True

    _schema(url).change(work, create=True)


def downgrade(url: str, revision: str) -> None:
    """Take the database at `url` back to `revision`; `base` removes every table. Errors as for `upgrade`."""

    def work(connection: Connection) -> bool:
        _up_to_date(connection)
        _scripts().downgrade(connection, revision)
        return True

    _schema(url).change(work)


def current(url: str) -> str | None:
    """The revision of the database at `url`; None when it is empty or not there."""
    schema = _schema(url)
    return schema.look(_revision) if schema.exists() else None


def pending(url: str) -> bool:
    """Whether the database at `url` needs `upgrade`. SchemaNewerError when it is ahead of this program."""
    schema = _schema(url)
    return not schema.exists() or not schema.look(_up_to_date)


def is_known(revision: str) -> bool:
    """Whether this version of the program knows the schema of that name."""
    return revision in revisions()


def check(url: str) -> Sequence[object]:
    """How the migrated database at `url` differs from the tables that the program expects; empty when it does not."""

    def work(connection: Connection) -> Sequence[object]:
        found: Sequence[object] = _scripts().differences(connection, metadata=metadata)
        return found

    return _schema(url).look(work)


def configure(connection: Connection, *, configure_with: Callable[..., None]) -> None:
    """Tell Alembic's environment how migrations run: all of them in the transaction that is open on `connection`."""
    configure_with(
        connection=connection,
        target_metadata=metadata,
        # SQLite has it, but not by its driver's old habit of committing before DDL, which engine.connect turns off.
        transactional_ddl=True,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
    )


def _schema(url: str) -> Schema:
    if url.startswith("postgres"):
        # A server on SQLite must not carry the driver of PostgreSQL.
        from chitram.adapters.db.postgresql.schema import PostgresSchema  # noqa: PLC0415

        return PostgresSchema(url)
    return SqliteSchema(url)


def _scripts() -> ModuleType:
    """The module that can run migrations, which a server whose schema is current does not load."""
    return importlib.import_module("chitram.adapters.db.scripts")


def _revision(connection: Connection) -> str | None:
    """What Alembic has noted down; its own way to read it is dear to import."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return revision


def _up_to_date(connection: Connection) -> bool:
    revision = _revision(connection)
    known = revisions()
    if revision is not None and revision not in known:
        raise SchemaNewerError(revision)
    return revision == known[-1]


def revisions() -> Sequence[str]:
    """Every revision, the oldest first: each is the name of its script's file, and they are numbered."""
    return sorted(path.stem for path in _VERSIONS.glob("[0-9]*.py"))
