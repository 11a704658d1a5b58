"""docs/reference/cli.md: every command, argument and option."""

import inspect
from collections.abc import Iterator
from typing import Any

import typer

from chitram.entrypoints.cli.main import app
from tests.docs.tables import code, table

INTRODUCTION = """# Command line

`make run` calls `chitram serve`; the command itself is `.venv/bin/chitram`. Every command reads the same
[settings](settings.md), and `--help` after any of them prints what is written here.
"""


def commands(command: Any, *, path: str) -> Iterator[tuple[str, Any]]:
    """Every command below `command` that does something by itself, with the words that call it."""
    if not hasattr(command, "commands"):
        yield path, command
        return
    if command.invoke_without_command and path.count(" "):
        yield path, command
    for name in command.commands:
        yield from commands(command.commands[name], path=f"{path} {name}")


def parameters(command: Any) -> list[list[str]]:
    """One row for each argument and option of `command`, `--help` left out."""
    return [_row(p) for p in command.params if p.name not in {"help", "install_completion", "show_completion"}]


def _row(parameter: Any) -> list[str]:
    option = parameter.param_type_name == "option"
    names = [*parameter.opts, *parameter.secondary_opts] if option else [parameter.name.upper()]
    variable = parameter.envvar if isinstance(parameter.envvar, str) else ""
    return [", ".join(map(code, names)), _default(parameter), code(variable), (parameter.help or "").strip()]


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    default = getattr(parameter.default, "value", parameter.default)
    return "" if default is None or default is False else code(default)


def render() -> str:
    program = typer.main.get_command(app)
    parts = [INTRODUCTION]
    for path, command in commands(program, path="chitram"):
        parts.append(f"## `{path}`\n\n{inspect.cleandoc(command.help or '')}\n")
        if rows := parameters(command):
            parts.append(table(["Name", "Default", "Variable", "Meaning"], rows) + "\n")
    return "\n".join(parts)
