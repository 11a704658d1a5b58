"""Every requirement names a real test, or the version that it waits for."""

import ast
import re
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT, parse

PAGE = ROOT / "docs/reference/specification.md"
PLANNED = re.compile(r"0\.[3-9]\.0 \(\w+\)|later")
REFERENCE = re.compile(r"`(tests/[\w/.]+?)(?:::(\w+))?`")
PLACE = re.compile(
    r"`((?:entrypoints|domain|services|ports|adapters|observability|settings|bootstrap|tests|benchmarks)[\w/.]*)`"
)
ROW = re.compile(r"^\| (?P<requirement>.+?) \| (?P<where>.*?) ?\| (?P<shown>.*) \|$")


def rows(text: str) -> list[re.Match[str]]:
    """The rows of the tables below a phase's heading."""
    found = [ROW.match(line) for line in text.partition("\n## ")[2].splitlines() if line.startswith("| ")]
    return [row for row in found if row is not None and row["requirement"] != "Requirement"]


def exists(reference: tuple[str, str]) -> bool:
    """Whether the file, and the function where one is named, is there."""
    path, function = reference
    file = ROOT / path
    if not function or not file.is_file():
        return file.exists()
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return any(isinstance(node, functions) and node.name == function for node in ast.walk(parse(file)))


def unshown(found: list[re.Match[str]]) -> list[str]:
    """Requirements that name neither a version nor a test that exists."""
    return [
        row["requirement"]
        for row in found
        if not PLANNED.fullmatch(row["shown"])
        and not ((named := REFERENCE.findall(row["shown"])) and all(map(exists, named)))
    ]


ROWS = rows(PAGE.read_text(encoding="utf-8"))


def test_the_whole_specification_is_there():
    assert len(ROWS) > 100


def test_every_requirement_is_shown_or_planned():
    assert unshown(ROWS) == []


def test_every_place_exists():
    places = {place for row in ROWS for place in PLACE.findall(row["where"]) if not PLANNED.fullmatch(row["shown"])}
    assert len(places) > 30
    assert [p for p in sorted(places) if not (ROOT / p).exists() and not (ROOT / "src/chitram" / p).exists()] == []


@pytest.mark.parametrize(
    ("shown", "good"),
    [
        ("`tests/docs/test_specification.py::test_the_whole_specification_is_there`", True),
        ("`tests/docs/test_specification.py`", True),
        ("`tests/docs/test_specification.py::test_that_is_not_there`", False),
        ("`tests/docs/test_nothing.py`", False),
        ("0.4.0 (services)", True),
        ("some day", False),
        ("", False),
    ],
)
def test_a_row_without_a_real_test_would_be_found(shown: str, good: bool):
    text = f"\n## Phase\n\n| Requirement | Where | Shown by |\n|---|---|---|\n| A wish | here | {shown} |\n"
    assert unshown(rows(text)) == ([] if good else ["A wish"])


def test_pages_name_sources_that_exist():
    recipes = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = {n for n in re.findall(r"`((?:src|tests|docs)/[\w/.-]+)`", recipes) if "<" not in n}
    assert len(named) > 10
    assert [name for name in sorted(named) if not Path(ROOT / name).exists()] == []
