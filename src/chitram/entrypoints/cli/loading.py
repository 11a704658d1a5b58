"""Settings for a command: read once, or an end with one line for each one that is wrong."""

from typing import NoReturn

import typer

from chitram.settings import Settings, SettingsError, load_settings

#: The command could not begin: something about how it was called or set up.
USAGE_ERROR = 2


def settings_or_exit() -> Settings:
    """The settings; the process ends with status 2 and a line a problem when they cannot be used."""
    try:
        return load_settings()
    except SettingsError as error:
        fail(str(error))


def fail(message: str, *, status: int = USAGE_ERROR) -> NoReturn:
    """Print `message` to standard error and end the process with `status`."""
    typer.secho(message, err=True, fg=typer.colors.RED)
    raise typer.Exit(status)
