"""`chitram migrate`: the database schema."""

from typing import Annotated

import typer

from chitram.bootstrap import StartupError, migrate_schema, require_revision, schema_revision
from chitram.entrypoints.cli.loading import fail, settings_or_exit

#: What else follows from going down to a revision.
_BESIDE = {
    "base": " The files of images stay, in a store that the next database will not take for its own: remove it too."
}


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
        typer.confirm(
            f"Going down to {down} deletes what the later schema holds.{_BESIDE.get(down, '')} Go on?", abort=True
        )
    try:
        if not show:
            if down is not None:
                require_revision(down, option="--down")
            migrate_schema(settings, down_to=down)
        typer.echo(schema_revision(settings) or "base")
    except StartupError as error:
        fail(str(error), status=1)
