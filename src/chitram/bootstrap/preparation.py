"""Before anything runs: directories, secret, schema."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from chitram.adapters.blobs.directories import fsync_directory, make_directories
from chitram.adapters.db import migrate
from chitram.adapters.db.engine import database_path
from chitram.domain.errors import ChitramError
from chitram.settings import MIN_SECRET_BYTES, Settings

_SECRET_FILE = "secret.key"  # noqa: S105 - a file name


class StartupError(RuntimeError):
    """The service cannot start; one line says why and what to do."""


def prepare(settings: Settings) -> None:
    """Make the data directory and bring the schema up to date. StartupError when that is not possible."""
    with startup_errors("DATA_DIR"):
        make_directories(settings.app.data_dir)
        if settings.storage.backend == "local":
            make_directories(settings.storage_path)
        load_secret(settings)
    if not settings.app.read_only:
        migrate_schema(settings)
        return
    require_current_schema(settings)


def migrate_schema(
    settings: Settings, *, up_to: str = "head", down_to: str | None = None, variable: str = "DATABASE_URL"
) -> None:
    """Bring the schema up or down to a revision. StartupError, which blames `variable`, when that is not possible."""
    with startup_errors(variable):
        make_directories(settings.app.data_dir)
        if down_to is None:
            migrate.upgrade(settings.database_url, revision=up_to)
        else:
            migrate.downgrade(settings.database_url, down_to)


def require_current_schema(settings: Settings) -> None:
    """StartupError unless the schema is the one that this version of the program works with."""
    _require_file(settings)
    with startup_errors("DATABASE_URL"):
        if not migrate.pending(settings.database_url):
            return
    if settings.app.read_only:
        raise StartupError("READ_ONLY: the schema is not up to date, and nothing may be changed now")
    raise StartupError("DATABASE_URL: the schema is not up to date; run `chitram migrate`")


def _require_file(settings: Settings) -> None:
    """StartupError where there is no file of SQLite: as a rule somebody is in another directory than the service."""
    if settings.on_postgresql:
        return
    path = database_path(settings.database_url).absolute()
    if not path.exists():
        raise StartupError(
            f"There is no database at {path}: is this the directory of the service? If so, run `chitram migrate`"
        )


def require_revision(revision: str, *, option: str) -> None:
    """StartupError, which blames `option`, unless the schema can be brought down to what begins so."""
    if revision != "base" and not any(known.startswith(revision) for known in migrate.revisions()):
        raise StartupError(f"{option}: {revision} is no revision; there are base, {', '.join(migrate.revisions())}")


def require_known_revision(revision: str, *, version: str) -> None:
    """StartupError when a schema is of a newer version of the program, `version`, than this one."""
    if not migrate.is_known(revision):
        raise StartupError(f"the backup was made by Chitram {version}, which is newer than this one")


def schema_revision(settings: Settings) -> str | None:
    """The present revision of the schema; None for an empty database."""
    with startup_errors("DATABASE_URL"):
        return migrate.current(settings.database_url)


@contextmanager
def startup_errors(variable: str) -> Iterator[None]:
    """Turn what can go wrong with `variable` into a StartupError that names it."""
    try:
        yield
    except OSError as error:
        what = f"{error.filename} cannot be used: " if error.filename else ""
        raise StartupError(f"{variable}: {what}{error.strerror}") from error
    except (migrate.MigrationError, ChitramError, ValueError) as error:
        raise StartupError(f"{variable}: {error}") from error


def load_secret(settings: Settings) -> bytes:
    """The secret that signs what we hand out: from the settings, else made once and kept beside the data."""
    if settings.app.secret_key is not None:
        return settings.app.secret_key.get_secret_value().encode()
    path = settings.app.data_dir / _SECRET_FILE
    if not path.exists():  # a full disk must not keep a server from starting again
        _make_secret(path)
    secret = path.read_bytes()
    if len(secret) < MIN_SECRET_BYTES:
        raise StartupError(
            f"{path} is damaged: it should hold {MIN_SECRET_BYTES} bytes or more. Restore it, or remove it"
        )
    return secret


def load_secrets(settings: Settings) -> tuple[bytes, ...]:
    """The secret of today, and before it those whose signatures are still good."""
    previous = (secret.get_secret_value().encode() for secret in settings.app.previous_secrets)
    return (load_secret(settings), *previous)


def keep_copy_of_secret(settings: Settings, directory: Path) -> None:
    """Put the generated secret, if there is one, into a backup: it signs what the copied rows belong to."""
    source = settings.app.data_dir / _SECRET_FILE
    if source.exists():
        copy = directory / _SECRET_FILE
        _write_private(source.read_bytes(), copy.with_suffix(".new")).rename(copy)
        fsync_directory(directory)


def put_back_secret(settings: Settings, directory: Path) -> None:
    """Take the secret out of a backup. StartupError when there is another one already: what it signed would be void."""
    copy, target = directory / _SECRET_FILE, settings.app.data_dir / _SECRET_FILE
    if settings.app.secret_key is not None or not copy.exists():
        return
    secret = copy.read_bytes()
    if target.exists():
        if target.read_bytes() != secret:
            raise StartupError(f"{target} is not the secret of the backup: remove it, or sessions and tokens are void")
        return
    _link(secret, target)


def _make_secret(path: Path) -> None:
    _link(secrets.token_hex(32).encode(), path)


def _link(secret: bytes, path: Path) -> None:
    # Linked into place whole, so that of two processes that start together both get the same one.
    temporary = _write_private(secret, path.with_suffix(f".{os.getpid()}"))
    try:
        with suppress(FileExistsError):
            path.hardlink_to(temporary)
    finally:
        temporary.unlink()
    fsync_directory(path.parent)


def _write_private(data: bytes, path: Path) -> Path:
    """A file for its owner alone, on the disk when this returns."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return path
