"""Settings for a command: read once, or an end with one line for each one that is wrong."""

from typing import NoReturn

import typer

from chitram.observability import configure_logging
from chitram.settings import Settings, SettingsError, load_settings

#: The command could not begin: something about how it was called or set up.
USAGE_ERROR = 2


def settings_or_exit() -> Settings:
    """The settings; the process ends with status 2 and a line a problem when they cannot be used."""
    try:
        return load_settings()
    except SettingsError as error:
        fail(str(error))


def log_to_stderr(settings: Settings) -> None:
    """Warnings, and the audit log, which no level silences, go to standard error, as the lines of a server do."""
    chosen = settings.app.log_format
    configure_logging(level="WARNING", json=None if chosen == "auto" else chosen == "json")


def fail(message: str, *, status: int = USAGE_ERROR) -> NoReturn:
    """Print `message` to standard error and end the process with `status`."""
    typer.secho(message, err=True, fg=typer.colors.RED)
    raise typer.Exit(status)
