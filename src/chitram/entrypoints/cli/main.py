"""The command line: one file a topic, gathered here."""

import gc
from typing import Annotated

import typer

from chitram import __version__
from chitram.entrypoints.cli import admin, backup, database, demo, doctor, jobs, moving, serve, settings, smoke, worker

app = typer.Typer(
    name="chitram",
    help="A self-hosted image host: upload a picture, get a link, a thumbnail and a way to delete it.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # a traceback must not print secrets
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"chitram {__version__}")
        raise typer.Exit


@app.callback()
def main(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A self-hosted image host: upload a picture, get a link, a thumbnail and a way to delete it."""


app.command("serve")(serve.serve)
app.command("worker")(worker.worker)
app.command("migrate")(database.migrate)
app.add_typer(doctor.app, name="doctor")
app.command("settings")(settings.settings)
app.command("seed")(demo.seed)
app.command("reset")(demo.reset)
app.command("smoke")(smoke.smoke)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("migrate-db")(moving.migrate_db)
app.command("migrate-store")(moving.migrate_store)
app.add_typer(admin.app, name="admin")
app.add_typer(jobs.app, name="jobs")

gc.enable()
# What is loaded now stays: no later collection has to look at it again.
gc.freeze()
