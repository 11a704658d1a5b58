"""What needs Alembic: running the scripts in migrations/versions. Imported only when there is something to run.

It takes a quarter of a second and some fifteen megabytes, which a server whose schema is current can do without.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Connection, MetaData

DIRECTORY = Path(__file__).parent / "migrations"


class UnknownRevision(ValueError):
    """No script has that name; the message says which."""


def upgrade(connection: Connection, revision: str) -> None:
    """Run the scripts that lead up to `revision` in the transaction that is open on `connection`."""
    command.upgrade(_config(connection), revision)


def downgrade(connection: Connection, revision: str) -> None:
    """Run the scripts backwards down to `revision`; UnknownRevision when there is none of that name."""
    try:
        command.downgrade(_config(connection), revision)
    except CommandError as error:
        raise UnknownRevision(str(error)) from error


def differences(connection: Connection, *, metadata: MetaData) -> Sequence[object]:
    """How the database differs from the tables of `metadata`."""
    return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata))


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(DIRECTORY).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
