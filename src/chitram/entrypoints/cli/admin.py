"""`chitram admin`: accounts, by whoever has the machine itself."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated, TypeVar

import typer

from chitram.bootstrap import StartupError, operating
from chitram.domain.errors import ChitramError, EmailExists, ValidationFailed
from chitram.domain.users import Role
from chitram.entrypoints.cli.loading import fail, log_to_stderr, settings_or_exit
from chitram.entrypoints.cli.passwords import FromStdin, read_password
from chitram.entrypoints.cli.user_list import as_records, as_table
from chitram.entrypoints.support.emails import clean_email
from chitram.services.administration import Administration
from chitram.settings import MAX_QUOTA_FILES, MAX_QUOTA_MB, MEBIBYTE

T = TypeVar("T")

Email = Annotated[str, typer.Argument(help="The account's e-mail.")]

app = typer.Typer(
    no_args_is_help=True,
    help="Make admins and invitations, and look after accounts. Takes effect at once, also beside a running server.",
)


@app.command("create")
def create(email: Email, from_stdin: FromStdin = False) -> None:
    """Make an account that is an admin's. The password is asked for twice."""
    address = _checked(email)
    password = read_password(from_stdin=from_stdin)

    async def act(administration: Administration) -> str:
        try:
            return (await administration.create(address, password=password)).id
        except EmailExists:
            raise EmailExists("There is an account with this e-mail already; promote makes it an admin's.") from None

    typer.echo(f"{address} is an admin; the account's id is {_perform(act)}")


@app.command("promote")
def promote(email: Email) -> None:
    """Make an account an admin's. Admins may delete and verify every image; private ones stay hidden from them."""
    address = _checked(email)
    _perform(lambda administration: administration.set_role(address, role=Role.ADMIN))
    typer.echo(f"{address} is an admin")


@app.command("demote")
def demote(email: Email) -> None:
    """Make an admin's account an ordinary one again."""
    address = _checked(email)
    _perform(lambda administration: administration.set_role(address, role=Role.USER))
    typer.echo(f"{address} is no admin")


@app.command("reset-password")
def reset_password(email: Email, from_stdin: FromStdin = False) -> None:
    """Set a new password, which is asked for twice. Every session and API token of the account ends."""
    address = _checked(email)
    password = read_password(from_stdin=from_stdin)
    _perform(lambda administration: administration.reset_password(address, password=password))
    typer.echo(f"{address} has a new password; every session and API token has ended")


@app.command("invite")
def invite(
    valid_days: Annotated[int, typer.Option(help="Days that the invitation is good for.", min=1, max=365)] = 7,
) -> None:
    """Print the code of a new invitation, which one person can register with while REGISTRATION=invite."""
    if settings_or_exit().accounts.registration != "invite":
        typer.echo("REGISTRATION is not `invite`: as long as that is so, nobody is asked for a code.", err=True)
    typer.echo(_perform(lambda administration: administration.invite(valid_for=timedelta(days=valid_days))))


@app.command("users")
def users(as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False) -> None:
    """List every account by e-mail, with what it keeps and what it may."""

    async def act(administration: Administration) -> str:
        found = [user async for user in administration.users()]
        return json.dumps(as_records(found), indent=2) if as_json else as_table(found)

    typer.echo(_perform(act))


@app.command("quota")
def quota(
    email: Email,
    megabytes: Annotated[
        int | None,
        typer.Option(
            help="Most MiB to keep; 0: no limit; left out: as DEFAULT_QUOTA_MB says.", min=0, max=MAX_QUOTA_MB
        ),
    ] = None,
    files: Annotated[
        int | None,
        typer.Option(
            help="Most files to keep; 0: no limit; left out: as DEFAULT_QUOTA_FILES says.", min=0, max=MAX_QUOTA_FILES
        ),
    ] = None,
    default: Annotated[bool, typer.Option("--default", help="Go back to what the settings say for both.")] = False,
) -> None:
    """Set what an account may keep, in place of what was set for it before. Nothing that is there is deleted."""
    if default is (megabytes is not None or files is not None):
        fail("quota: give --megabytes or --files or both, or --default alone")
    address, size = _checked(email), None if megabytes is None else megabytes * MEBIBYTE
    _perform(lambda administration: administration.set_quota(address, quota_bytes=size, quota_files=files))
    typer.echo(f"{address} may keep {_described(megabytes, 'MiB')} and {_described(files, 'files')}")


@app.command("deactivate")
def deactivate(email: Email) -> None:
    """Close an account: its sessions end and its API tokens do not work. Its images stay."""
    address = _checked(email)
    _perform(lambda administration: administration.set_active(address, active=False))
    typer.echo(f"{address} is closed")


@app.command("activate")
def activate(email: Email) -> None:
    """Open a closed account again. Its API tokens work again; its owner has to sign in."""
    address = _checked(email)
    _perform(lambda administration: administration.set_active(address, active=True))
    typer.echo(f"{address} is open")


def _checked(email: str) -> str:
    try:
        return clean_email(email)
    except ValueError as error:
        fail(f"e-mail: {error}", status=1)


def _perform(act: Callable[[Administration], Awaitable[T]]) -> T:
    """What `act` does; the process ends with status 1 and one line when it could not be done."""
    settings = settings_or_exit()
    log_to_stderr(settings)

    async def run() -> T:
        async with operating(settings) as application:
            return await act(application.administration)

    try:
        return asyncio.run(run())
    except (StartupError, ChitramError) as error:
        fail(_one_line(error), status=1)


def _one_line(error: StartupError | ChitramError) -> str:
    problems = error.details.get("errors") if isinstance(error, ValidationFailed) else None
    if isinstance(problems, list):
        return "; ".join(f"{problem['field']}: {problem['message']}" for problem in problems)
    return str(error)


def _described(number: int | None, unit: str) -> str:
    return f"as many {unit} as the settings say" if number is None else f"{number or 'any number of'} {unit}"
