"""`chitram seed` and `chitram reset`: something to look at, and nothing at all."""

import asyncio
from typing import Annotated

import typer

from chitram.bootstrap import StartupError, operating
from chitram.bootstrap.demo import demo_pictures
from chitram.domain.errors import ChitramError
from chitram.domain.images import Visibility
from chitram.domain.uploads import UploadDetails
from chitram.entrypoints.cli.loading import fail, settings_or_exit
from chitram.entrypoints.cli.progress import progress_bar
from chitram.settings import Settings


def seed(
    count: Annotated[int, typer.Option(help="How many pictures.", min=1, max=10_000)] = 24,
) -> None:
    """Upload drawn landscapes, public and without an owner, and print each one's id and delete token."""
    settings = settings_or_exit()
    try:
        asyncio.run(_seed(settings, count))
    except (StartupError, ChitramError) as error:
        fail(str(error), status=1)


def reset(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    production: Annotated[bool, typer.Option("--production", help="Do it although APP_ENV=production.")] = False,
) -> None:
    """Erase everything: every image, every file of one, every account. Nothing brings them back but a backup.

    Stop every server and worker first.
    """
    settings = settings_or_exit()
    if settings.app.env == "production" and not production:
        fail("APP_ENV=production: `chitram reset` erases everything. If that is meant, add --production.")
    if not yes:
        typer.confirm("This erases every image and every account. Go on?", abort=True)
    try:
        images, files = asyncio.run(_reset(settings))
    except (StartupError, ChitramError) as error:
        fail(str(error), status=1)
    typer.echo(f"{images} images and {files} files erased.")


async def _seed(settings: Settings, count: int) -> None:
    async with operating(settings) as application:
        with progress_bar("Pictures", length=count) as advance:
            for picture in demo_pictures(count):
                details = UploadDetails(filename=f"{picture.name}.jpg", visibility=Visibility.PUBLIC)
                async with application.uploads.stage() as staged:
                    await staged.write(picture.data)
                    uploaded = await application.uploads.keep(staged, details=details)
                typer.echo(f"{uploaded.record.image.id}\t{uploaded.delete_token}\t{picture.name}")
                advance(1)


async def _reset(settings: Settings) -> tuple[int, int]:
    async with operating(settings) as application:
        return await application.erasure.erase_everything()
