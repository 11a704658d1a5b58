"""`chitram settings`: what is set, and by whom."""

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import typer
from dotenv import dotenv_values
from pydantic import SecretStr

from chitram.entrypoints.cli.loading import settings_or_exit
from chitram.settings import Entry, entries

ENV_FILE = Path(".env")


def settings(
    changed: Annotated[bool, typer.Option("--changed", help="Only those that are not at their default.")] = False,
) -> None:
    """Print every setting, its value and where that comes from. Secrets are masked."""
    loaded = settings_or_exit()
    known = [entry.variable for entry in entries(loaded)]
    in_file = {name.upper() for name in dotenv_values(ENV_FILE)} if ENV_FILE.is_file() else set()
    in_environment = {name.upper() for name, value in os.environ.items() if value}
    for name in sorted(in_file - set(known)):
        # Other names may be there for compose; one that is nearly ours is a slip.
        for meant in get_close_matches(name, known, n=1, cutoff=0.85):
            typer.secho(f"{name}: there is no such setting; did you mean {meant}?", err=True, fg=typer.colors.YELLOW)
    group = ""
    for entry in entries(loaded):
        source = (
            "environment" if entry.variable in in_environment else ".env" if entry.variable in in_file else "default"
        )
        if changed and source == "default":
            continue
        if entry.group != group:
            group = entry.group
            typer.secho(f"\n# {group}", bold=True)
        typer.echo(f"{entry.variable}={_shown(entry)}  ({source})")


def _shown(entry: Entry) -> str:
    if entry.secret:
        return _masked(entry.value)
    if isinstance(entry.value, tuple):
        return ",".join(map(str, entry.value))
    return "" if entry.value is None else str(entry.value)


def _masked(value: object) -> str:
    """Nothing of a secret; of a URL everything but what comes before the host."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else ""
    scheme, separator, rest = text.partition("://")
    if not separator:
        return "********" if text else ""
    return f"{scheme}://{'********@' if '@' in rest else ''}{rest.rpartition('@')[2].partition('?')[0]}"
