"""Collects what the proofs have shown, for the table of docs/explanation/proofs.md.

A test takes the fixture `proof` and calls `proof.record(...)`; with `--proofs=FILE` the table is written when the run
ends. Records travel in the reports of their tests, so they also arrive from parallel workers, and a test that fails
leaves none.
"""

import platform
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

import chitram

KEY = "proof"

PREAMBLE = """# Proofs

What `make soak` has shown. Each row is a promise that the named test tried to break, and the day of its last run.
This page is written by that command and edited by nobody; a run of some of the proofs replaces their rows alone.
"""


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the table."""

    name: str
    shown: str
    value: str
    test: str
    day: str


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
        f"| {_cell(r.name)} | {_cell(r.shown)} | {_cell(r.value)} | `{r.test}` | {r.day} |"
        for r in sorted(records, key=lambda r: (r.name, r.test))
    ]
    return "\n".join([PREAMBLE + head, "| Promise | Shown | Value | Test | Day |", "|---|---|---|---|---|", *rows, ""])


def rows_of(page: str) -> list[Record]:
    """The records of a page that `render` made."""
    cells = [re.split(r"(?<!\\) \| ", line.strip("| ")) for line in page.splitlines() if line.startswith("| ")]
    found = [[cell.replace("\\|", "|") for cell in row] for row in cells if len(row) == 5 and row[0] != "Promise"]
    return [Record(name, shown, value, test.strip("`"), day) for name, shown, value, test, day in found]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


class Collector:
    """The pytest plug-in of the controlling process: gathers records and writes the page."""

    def __init__(self, path: Path, *, keep: bool) -> None:
        self._path = path
        self._keep = keep
        self._records: list[Record] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self._records += [
                Record(*fields, test=report.nodeid, day=f"{datetime.now(UTC):%Y-%m-%d}")
                for key, fields in report.user_properties
                if key == KEY
            ]

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        # A run that failed or was cut short proves nothing as a whole: the last good page stays.
        if exitstatus == pytest.ExitCode.OK and self._records:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh = {record.test for record in self._records}
            kept = rows_of(self._path.read_text(encoding="utf-8")) if self._keep and self._path.exists() else []
            records = self._records + [record for record in kept if record.test not in fresh]
            self._path.write_text(render(records, taken_at=datetime.now(UTC)), encoding="utf-8")


def add_option(parser: pytest.Parser) -> None:
    """Teach pytest `--proofs=FILE`."""
    parser.addoption("--proofs", type=Path, default=None, help="write what the proofs have shown to this page")
    parser.addoption("--proofs-keep", action="store_true", help="keep the rows of proofs that are not run")


def install(config: pytest.Config) -> None:
    """Collect, unless this process is a parallel worker, whose reports the controlling process sees anyway."""
    path = config.getoption("--proofs")
    if path is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Collector(path, keep=config.getoption("--proofs-keep")), "chitram-proofs")
