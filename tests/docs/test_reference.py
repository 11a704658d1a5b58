"""The generated pages say what the code says, and leave nothing out."""

import os
import re
import subprocess
import sys

import pytest

from chitram.observability import Metrics
from chitram.settings import Settings
from tests.architecture.sources import ROOT
from tests.docs import cli_page, errors_page, settings_page
from tests.docs.generate import PAGES, REFERENCE, content, main


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_up_to_date(name: str):
    assert (REFERENCE / name).read_text(encoding="utf-8") == content(name), "run `make docs`"


def test_a_page_that_fell_behind_is_rewritten(tmp_path):
    (tmp_path / "errors.md").write_text("old")
    main(tmp_path)
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == {
        n: content(n) for n in PAGES
    }


def test_every_setting_is_documented():
    variables = settings_page.schemas(Settings)
    page = content("settings.md")
    assert len(variables) > 30
    assert [name for name in variables if f"\n| `{name}` |" not in page] == []


def test_defaults_do_not_come_from_the_environment():
    environment = {**os.environ, "MAX_FILE_SIZE_MB": "77", "APP_ENV": "nonsense"}
    program = "from tests.docs.generate import content; print(content('settings.md'), end='')"
    answer = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert answer.stdout == content("settings.md")


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 1024}, "whole number from 1 to 1,024"),
        ({"type": "number", "exclusiveMinimum": 0}, "number above 0"),
        ({"enum": ["a", "b"], "type": "string"}, "`a`, `b`"),
        ({"const": "local", "type": "string"}, "`local`"),
        ({"anyOf": [{"type": "string", "format": "path"}, {"type": "null"}]}, "path"),
        ({"type": "string", "format": "password", "writeOnly": True}, "secret"),
    ],
)
def test_constraints_are_put_into_words(schema, words: str):
    assert settings_page.allowed(schema) == words


def test_every_error_code_is_documented():
    codes = {error.code for error in errors_page.error_classes()}
    page = content("errors.md")
    assert {"IMAGE_NOT_FOUND", "INTERNAL_ERROR", "STORAGE_FULL"} <= codes
    assert [code for code in codes if f"\n| `{code}` |" not in page] == []


def test_everything_in_details_is_documented():
    """By the names in the sources, but for those of the audit log, which has `details` of its own."""
    written = set()
    for path in (ROOT / "src/chitram").rglob("*.py"):
        for found in re.finditer(r'details(?:=\{|\[)"(\w+)"', path.read_text(encoding="utf-8")):
            written.add(found.group(1))
    assert written - {"method", "visibility"} == set(errors_page.DETAILS)


def test_every_metric_is_documented():
    page = content("metrics.md")
    exported = {metric.name for metric in Metrics().registry.collect() if metric.name.startswith("chitram_")}
    assert len(exported) > 10
    assert [name for name in exported if f"`{name}" not in page] == []


def test_every_command_and_option_is_documented():
    page = content("cli.md")
    found = dict(cli_page.commands(cli_page.typer.main.get_command(cli_page.app), path="chitram"))
    assert {"chitram serve", "chitram migrate", "chitram doctor", "chitram jobs retry", "chitram admin create"} <= set(
        found
    )
    assert [path for path in found if f"\n## `{path}`\n" not in page] == []
    assert [
        row[0] for command in found.values() for row in cli_page.parameters(command) if f"| {row[0]} |" not in page
    ] == []
    assert "`--port` | `8000` | `CHITRAM_PORT`" in page
