"""`chitram backup` and `chitram restore`: a copy of everything, and everything out of a copy."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from chitram import __version__
from chitram.bootstrap import schema_revision
from chitram.bootstrap.transfers import backing_up, manifest_of, restoring
from chitram.entrypoints.cli.loading import fail, settings_or_exit
from chitram.entrypoints.cli.moving import FAILURES, describe, report_lost
from chitram.entrypoints.cli.progress import progress_bar
from chitram.services.transfer import Copy
from chitram.settings import Settings

_Directory = Annotated[Path, typer.Argument(help="The backup's directory.", file_okay=False)]


def backup(directory: _Directory) -> None:
    """Copy rows, stored files and the generated secret into a directory, while servers run.

    A directory with an earlier backup of the same service is brought up to date: only new files are copied. Whatever
    database and store are in use, the copy has one form, and can be restored into any of them. Exit status: 0 the copy
    is whole, 1 stored files were lost before, or there is no copy.
    """
    settings = settings_or_exit()
    try:
        made = asyncio.run(_back_up(settings, directory))
    except (*FAILURES, OSError) as error:
        fail(str(error), status=1)
    typer.echo(_summary(made))
    report_lost([*made.manifest.missing])


def restore(directory: _Directory) -> None:
    """Put a backup into the empty database and the empty store that the settings name.

    Start no server before it has ended. May be interrupted and begun again. Exit status: 0 everything is back, 1 it is
    not.
    """
    settings = settings_or_exit()
    try:
        done = asyncio.run(_put_back(settings, directory))
    except (*FAILURES, OSError) as error:
        fail(str(error), status=1)
    typer.echo(_summary(done))
    report_lost([*done.manifest.missing])


async def _back_up(settings: Settings, directory: Path) -> Copy:
    revision = schema_revision(settings) or "base"
    async with backing_up(settings, directory) as making:
        with progress_bar("Files", length=await making.total()) as advance:
            return await making.make(version=__version__, revision=revision, progress=advance)


async def _put_back(settings: Settings, directory: Path) -> Copy:
    manifest = await manifest_of(directory)
    async with restoring(settings, directory, manifest) as restoration:
        with progress_bar("Files", length=manifest.objects) as advance:
            return await restoration.put_back(manifest, progress=advance)


def _summary(copy: Copy) -> str:
    manifest = copy.manifest
    rows = ", ".join(f"{number} {table}" for table, number in manifest.tables.items() if number)
    moment = f"{manifest.made_at:%Y-%m-%d %H:%M:%S} UTC"
    return f"Backup of {moment} by Chitram {manifest.version}: {rows or 'no rows'}\n{describe(copy.transfer)}"
