"""Passwords on their way in: typed unseen, or piped. Never an argument, which every process may read."""

import sys
from typing import Annotated

import typer

from chitram.entrypoints.cli.loading import fail

FromStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input, one line, and do not ask.")
]

#: Far more than a password may have, in bytes.
_MAX_PIPED = 4096


def read_password(*, from_stdin: bool) -> str:
    """A password, asked for twice without being shown, or read from standard input; ends the process without one."""
    if not from_stdin:
        typed: str = typer.prompt("Password", hide_input=True, confirmation_prompt="Again", err=True)
        return typed
    try:
        text = sys.stdin.buffer.read(_MAX_PIPED).decode()
    except UnicodeDecodeError:
        fail("password: must be UTF-8", status=1)
    password = text.removesuffix("\n").removesuffix("\r")
    if any(character in password for character in "\r\n\0"):
        fail("password: must be one line, without NUL", status=1)
    return password
