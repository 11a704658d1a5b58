"""`chitram migrate-db` and `chitram migrate-store`: everything to another place, the old one untouched."""

import asyncio
from typing import Annotated, Literal

import typer

from chitram.bootstrap import StartupError
from chitram.bootstrap.transfers import TARGET, moving_objects, moving_rows
from chitram.domain.errors import ChitramError
from chitram.entrypoints.cli.loading import fail, settings_or_exit
from chitram.entrypoints.cli.progress import progress_bar
from chitram.services.transfer import NotEmptyError, Transfer, objects_of
from chitram.settings import Settings

#: Most keys of lost objects that are printed; the number is always exact.
EXAMPLES = 20

#: What a transfer ends with when it cannot be done.
FAILURES = (StartupError, ChitramError, NotEmptyError, ValueError)


def migrate_db(
    to: Annotated[
        str,
        typer.Option(
            envvar=TARGET,
            help="The database to fill, empty. Name it in the environment: others can read a command line.",
        ),
    ],
) -> None:
    """Copy every row into another database and compare both. The one in use stays as it is.

    Set READ_ONLY=true and restart every server and worker first. May be interrupted and begun again. Afterwards set
    DATABASE_URL to the new one and READ_ONLY to false, and restart. Exit status: 0 both are the same, 1 they are not.
    """
    settings = settings_or_exit()
    try:
        different = asyncio.run(_move_rows(settings, to))
    except FAILURES as error:
        fail(str(error), status=1)
    if different:
        fail(f"These tables are not the same: {', '.join(different)}. Was anything changed meanwhile?", status=1)
    typer.echo("All rows are there, and the same. Now set DATABASE_URL to the new database, and READ_ONLY=false.")


def migrate_store(
    to: Annotated[
        Literal["local", "minio"],
        typer.Option(help="The store to fill, as STORAGE_BACKEND names it; it is set up as ever."),
    ],
) -> None:
    """Copy every stored file into the other kind of store, each compared with its hash. The one in use stays as it is.

    Set READ_ONLY=true and restart every server and worker first. May be interrupted and begun again. Afterwards set
    STORAGE_BACKEND and READ_ONLY=false, and restart. Exit status: 0 all is there, 1 files were lost before.
    """
    settings = settings_or_exit()
    try:
        transfer = asyncio.run(_move_objects(settings, to))
    except FAILURES as error:
        fail(str(error), status=1)
    typer.echo(describe(transfer))
    report_lost([*transfer.missing, *transfer.damaged])
    typer.echo(f"Now set STORAGE_BACKEND={to}, and READ_ONLY=false.")


def describe(transfer: Transfer) -> str:
    """What was copied, in one line."""
    return f"{transfer.copied} files copied, {transfer.bytes:,} bytes; {transfer.present} were there already"


def report_lost(keys: list[str]) -> None:
    """End with status 1 and the names of objects that the source no longer had whole, if any."""
    if not keys:
        return
    for key in keys[:EXAMPLES]:
        typer.echo(f"  lost: {key}", err=True)
    fail(f"{len(keys)} files were missing or damaged before, and are not there; see `chitram doctor`.", status=1)


async def _move_rows(settings: Settings, target_url: str) -> list[str]:
    async with moving_rows(settings, target_url=target_url) as mover:
        with progress_bar("Rows", length=await mover.total()) as advance:
            await mover.copy(progress=advance)
        return await mover.differences()


async def _move_objects(settings: Settings, to: Literal["local", "minio"]) -> Transfer:
    transfer = Transfer()
    async with moving_objects(settings, to=to) as move:
        wanted = [expected async for expected in objects_of(move.database)]
        with progress_bar("Files", length=len(wanted)) as advance:
            for expected in wanted:
                await move.mover.copy(expected, transfer=transfer)
                advance(1)
    return transfer
