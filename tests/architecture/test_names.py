"""Names say what; words that say nothing, notes to oneself and addresses of this or that machine stay out."""

import ast
import re
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT, SOURCES, modules, name_of, parse, project_files

EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "core", "base", "misc"}
#: Written apart so that this file does not contain what it looks for.
NOTES = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
REGISTRIES = [f"{name}.{top}" for name, top in (
    ("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("deb.debian", "org"), ("ghcr", "io"), ("docker", "io"),
)]  # fmt: skip
MACHINE_PATHS = re.compile(
    "(?<![\\w.}])/(?:" + "|".join(["wo" + "rk/", "ro" + "ot/", "opt/wh" + "eels", "ho" + "me/\\w"]) + ")"
)

CODE = {".py", ".toml", ".yml", ".yaml", ".cfg", ".ini", ".sh", ".mako", ""}


def text_files() -> list[tuple[str, str]]:
    found = []
    for path in project_files():
        try:
            found.append((name_of(path), path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue
    return found


TEXTS = text_files()


def test_no_module_has_a_name_that_says_nothing():
    places = [*modules(), *modules(ROOT / "tests"), *modules(ROOT / "benchmarks")]
    assert [name_of(p) for p in places if EMPTY_NAMES & {*p.relative_to(ROOT).parts, p.stem}] == []


def test_no_notes_to_oneself():
    code = [(name, text) for name, text in TEXTS if Path(name).suffix in CODE and name != "LICENSE"]
    assert len(code) > 50
    assert [f"{name}: {hit.group()}" for name, text in code for hit in NOTES.finditer(text)] == []


def test_no_address_of_a_package_registry():
    assert [f"{name}: {host}" for name, text in TEXTS for host in REGISTRIES if host in text] == []


def test_no_path_of_somebodys_machine():
    assert [f"{name}: {hit.group()}" for name, text in TEXTS for hit in MACHINE_PATHS.finditer(text)] == []


@pytest.mark.parametrize("text", ["cd /wo" + "rk/main", "'/ro" + "ot/.cache'", "see /ho" + "me/ann/x"])
def test_a_machine_path_would_be_found(text: str):
    assert MACHINE_PATHS.search(text)


@pytest.mark.parametrize("text", ["${{ github.wo" + "rk/x }}", "https://a/framework/", "docs/how-to/x", "homework/"])
def test_ordinary_words_are_no_machine_paths(text: str):
    assert not MACHINE_PATHS.search(text)


def printing(path: Path) -> list[str]:
    return [
        f"{name_of(path)}:{node.lineno}"
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]


def test_only_the_command_line_prints():
    cli = SOURCES / "entrypoints" / "cli"
    assert [hit for path in modules() if not path.is_relative_to(cli) for hit in printing(path)] == []


def test_a_print_would_be_found(tmp_path: Path):
    source = tmp_path / "loud.py"
    source.write_text("def f():\n    print('x')\n")
    assert printing(source) == ["loud.py:2"]
