"""`chitram migrate`: the database schema."""

from typing import Annotated

import typer

from chitram.bootstrap import StartupError, migrate_schema, schema_revision
from chitram.entrypoints.cli.loading import fail, settings_or_exit


def migrate(
    down: Annotated[
        str | None, typer.Option(metavar="REVISION", help="Go down to a revision; `base` removes every table.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before going down.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Only print the present revision.")] = False,
) -> None:
    """Bring the database schema up to date. `chitram serve` does this by itself."""
    settings = settings_or_exit()
    if down is not None and not show and not yes:
        typer.confirm(f"Going down to {down} deletes what the later schema holds. Go on?", abort=True)
    try:
        if not show:
            migrate_schema(settings, down_to=down)
        typer.echo(schema_revision(settings) or "base")
    except StartupError as error:
        fail(str(error), status=1)
