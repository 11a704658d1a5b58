"""What needs Alembic: running the scripts in migrations/versions. Imported only when there is something to run.

It takes a quarter of a second and some fifteen megabytes, which a server whose schema is current can do without.
"""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Column, Connection, MetaData

from chitram.adapters.db.schemas import MigrationError

DIRECTORY = Path(__file__).parent / "migrations"


class UnknownRevision(MigrationError):
    """No script has that name; the message says which."""


def upgrade(connection: Connection, revision: str) -> None:
    """Run the scripts that lead up to `revision` in the transaction that is open on `connection`. UnknownRevision."""
    try:
        command.upgrade(_config(connection), revision)
    except CommandError as error:
        raise UnknownRevision(str(error)) from error


def downgrade(connection: Connection, revision: str) -> None:
    """Run the scripts backwards down to `revision`; UnknownRevision when there is none of that name."""
    try:
        command.downgrade(_config(connection), revision)
    except CommandError as error:
        raise UnknownRevision(str(error)) from error


def differences(connection: Connection, *, metadata: MetaData) -> Sequence[object]:
    """How the database differs from the tables of `metadata`."""
    with warnings.catch_warnings():
        # On SQLite such an index cannot be read back, and is not compared. It is looked for by its name below.
        warnings.filterwarnings("ignore", "(Skipped unsupported|autogenerate skipping) .*expression-based index")
        found = compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)
    return [*found, *_lacking(connection, metadata=metadata)]


def _lacking(connection: Connection, *, metadata: MetaData) -> Iterator[object]:
    """Indexes of expressions that are not there, where Alembic cannot read them back."""
    if connection.dialect.name != "sqlite":
        return
    present = set(connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'index'").scalars())
    for table in metadata.sorted_tables:
        for index in table.indexes:
            if index.name not in present and not all(isinstance(each, Column) for each in index.expressions):
                yield ("add_index", index)


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(DIRECTORY).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
