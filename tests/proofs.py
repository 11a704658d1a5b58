"""Collects what the proofs have shown, for the table of docs/explanation/proofs.md.

A test takes the fixture `proof` and calls `proof.record(...)`; with `--proofs=FILE` the table is written when the run
ends. Records travel in the reports of their tests, so they also arrive from parallel workers, and a test that fails
leaves none.
"""

import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

import chitram

KEY = "proof"

PREAMBLE = """# Proofs

What `make soak` has shown, in the last full run. Each row is a promise that the named test tried to break.
This page is written by that command and edited by nobody.
"""


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the table."""

    name: str
    shown: str
    value: str
    test: str


class Proof:
    """Hands what a test has shown to the table."""

    def __init__(self, node: pytest.Item) -> None:
        self._node = node

    def record(self, name: str, shown: str, value: object) -> None:
        """`name` of the promise, what was `shown`, and the `value`: a count, a ratio, a worst case."""
        self._node.user_properties.append((KEY, [name, shown, str(value)]))


def render(records: list[Record], *, taken_at: datetime) -> str:
    """The page with one row a record, sorted by name and then by test."""
    machine = f"Python {platform.python_version()}, {platform.system()} {platform.release()}"
    head = f"\nChitram {chitram.__version__}, {taken_at:%Y-%m-%d}, {machine}.\n"
    rows = [
        f"| {_cell(r.name)} | {_cell(r.shown)} | {_cell(r.value)} | `{r.test}` |"
        for r in sorted(records, key=lambda r: (r.name, r.test))
    ]
    return "\n".join([PREAMBLE + head, "| Promise | Shown | Value | Test |", "|---|---|---|---|", *rows, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


class Collector:
    """The pytest plug-in of the controlling process: gathers records and writes the page."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._records: list[Record] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self._records += [
                Record(*fields, test=report.nodeid) for key, fields in report.user_properties if key == KEY
            ]

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        # A run that failed or was cut short proves nothing as a whole: the last good page stays.
        if exitstatus == pytest.ExitCode.OK and self._records:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(render(self._records, taken_at=datetime.now(UTC)), encoding="utf-8")


def add_option(parser: pytest.Parser) -> None:
    """Teach pytest `--proofs=FILE`."""
    parser.addoption("--proofs", type=Path, default=None, help="write what the proofs have shown to this page")


def install(config: pytest.Config) -> None:
    """Collect, unless this process is a parallel worker, whose reports the controlling process sees anyway."""
    path = config.getoption("--proofs")
    if path is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Collector(path), "chitram-proofs")
