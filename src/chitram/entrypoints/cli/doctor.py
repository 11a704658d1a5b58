"""`chitram doctor`: is everything there that should be?"""

import asyncio
import json
from dataclasses import asdict, fields
from typing import Annotated

import typer

from chitram.bootstrap import StartupError, operating
from chitram.bootstrap.inspection import inspect
from chitram.domain.errors import ChitramError
from chitram.entrypoints.cli.loading import fail, settings_or_exit
from chitram.services.doctor import Diagnosis, Finding
from chitram.settings import Settings

app = typer.Typer(invoke_without_command=True)


@app.callback()
def doctor(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Compare the database with the store. Changes no image and no file of one.

    Exit status: 0 all is well, 1 something needs attention or repairs itself in time, 2 images are damaged or the
    examination was not possible.
    """
    if context.invoked_subcommand is not None:
        return
    settings = settings_or_exit()
    try:
        diagnosis = asyncio.run(_examine(settings))
    except (StartupError, ChitramError) as error:
        fail(str(error))
    typer.echo(json.dumps(asdict(diagnosis), indent=2) if as_json else _describe(diagnosis))
    raise typer.Exit(2 if diagnosis.damaging else 0 if diagnosis.clean else 1)


@app.command("env")
def environment() -> None:
    """Look whether every service that the settings name is there, and right. Exit status: 0 yes, 1 no."""
    failed = asyncio.run(_inspect(settings_or_exit()))
    raise typer.Exit(1 if failed else 0)


async def _inspect(settings: Settings) -> int:
    failed = 0
    async for check in inspect(settings):
        typer.secho(f"{'ok' if check.ok else 'bad':<4}{check.name:<11}{check.said}", fg=None if check.ok else "red")
        failed += not check.ok
    return failed


async def _examine(settings: Settings) -> Diagnosis:
    async with operating(settings) as application:
        return await application.doctor.examine()


def _describe(diagnosis: Diagnosis) -> str:
    lines = [f"{diagnosis.images} images over {diagnosis.blobs} stored files, {diagnosis.bytes:,} bytes"]
    for f in fields(diagnosis):
        finding = getattr(diagnosis, f.name)
        if isinstance(finding, Finding):
            lines.append(f"{f.name.replace('_', ' ')}: {finding.count}")
            lines += [f"  {example}" for example in finding.examples]
    return "\n".join(lines)
