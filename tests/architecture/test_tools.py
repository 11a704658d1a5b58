"""The project's own tools: packages are asked for, benchmarks found, proofs collected, left-over processes caught."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from benchmarks import __main__ as benchmarks
from benchmarks.peers import gallery

from tests.architecture.sources import ROOT
from tests.counts import count
from tests.services import packages


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_missing_packages_are_named(tmp_path: Path):
    tool = tmp_path / "strace"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    missing = packages.missing(path=str(tmp_path))
    commands = {wanted: package for wanted, (package, _) in packages.NEEDED.items() if not wanted.startswith("/")}
    assert missing == [package for command, package in commands.items() if command != "strace"]
    text = packages.explain(missing)
    assert f"apt-get install {' '.join(missing)}" in text
    assert "strace" not in text


def test_a_package_may_be_known_by_a_file(tmp_path: Path):
    needed = {f"{tmp_path}": ("there", "it is"), f"{tmp_path}/module.so": ("not-there", "it is not")}
    assert packages.missing(needed) == ["not-there"]


@pytest.mark.parametrize(("soak", "asked"), [("", []), ("1", ["nodejs", "npm"])])
def test_the_soak_needs_more(tmp_path: Path, soak: str, asked: list[str]):
    program = (
        "import sys; from tests.services import packages as p\n"
        "p.missing.__kwdefaults__['path'] = sys.argv[1]; raise SystemExit(p.main())"
    )
    result = run(sys.executable, "-c", program, tmp_path, PATH=str(tmp_path), CHITRAM_SOAK=soak)
    assert result.returncode == 1
    assert [name for name in ("nodejs", "npm") if f"  {name}: " in result.stderr] == asked


def test_without_apt_the_package_check_ends_with_a_message(tmp_path: Path):
    program = (
        "import sys; from tests.services import packages as p; p.SEARCH_PATH = sys.argv[1]\n"
        "p.missing.__kwdefaults__['path'] = sys.argv[1]\n"
        "raise SystemExit(p.main())"
    )
    result = run(sys.executable, "-c", program, tmp_path, PATH=str(tmp_path))
    assert result.returncode == 1
    assert "strace" in result.stderr


def test_benchmarks_are_found_without_being_imported(tmp_path: Path):
    (tmp_path / "fast.py").write_text('"""How fast.\n\nMore."""\nraise SystemExit\ndef main(argv): ...\n')
    (tmp_path / "tables.py").write_text('"""No case."""\n')
    (tmp_path / "__main__.py").write_text("def main(argv): ...\n")
    assert benchmarks.discover(tmp_path) == {"fast": "How fast."}


def test_every_benchmark_is_listed(capsys: pytest.CaptureFixture[str]):
    assert benchmarks.main(["--list"]) == 0
    listed = capsys.readouterr().out
    cases = benchmarks.discover()
    assert cases
    assert [name for name, summary in cases.items() if not summary or f"{name:<16} {summary}" not in listed] == []


async def test_the_limit_of_the_gallery_is_our_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It renders the server's own template, which may have come to need more."""
    with sqlite3.connect(tmp_path / "images.db") as connection:
        connection.execute("CREATE TABLE images (id TEXT, created_at INTEGER)")
        connection.executemany("INSERT INTO images VALUES (?, ?)", [("older", 1), ("newer", 2)])
    monkeypatch.setenv(gallery.DATABASE, str(tmp_path / "images.db"))
    transport = httpx.ASGITransport(gallery.constant_list())  # type: ignore[arg-type] - a narrower scope than httpx's
    async with httpx.AsyncClient(transport=transport, base_url="http://benchmark") as client:
        page = (await client.get("/")).raise_for_status().text
    assert page.index("/image/newer") < page.index("/image/older")


def test_an_unknown_benchmark_is_an_error(capsys: pytest.CaptureFixture[str]):
    assert benchmarks.main(["no-such-case"]) == 2
    assert "no-such-case is no benchmark" in capsys.readouterr().err


def test_make_lists_its_targets():
    listed = run("make", "help").stdout
    assert "make test" not in listed
    assert [
        target for target in ("run", "test", "test-fast", "soak", "bench", "lock") if f"\n  {target} " not in listed
    ] == []


def test_counts_are_full_only_in_the_soak():
    program = "from tests.counts import count; print(count(3, 300))"
    assert run(sys.executable, "-c", program, CHITRAM_SOAK="1").stdout == "300\n"
    assert run(sys.executable, "-c", program, CHITRAM_SOAK="").stdout == "3\n"
    assert count(1, 1) == 1


PROVING = """
import pytest

@pytest.mark.parametrize("n", [1, 2])
def test_shown(proof, n):
    proof.record("A promise", "tried | to break", n)

def test_other(proof):
    proof.record("Another", "x", 3)
    assert {outcome}
"""


def run_pytest(folder: Path, source: str, *options: str | Path) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(source)
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-q"]
    return run(*command, "-c", folder / "pytest.ini", *options, folder / "test_it.py", PYTHONPATH=str(ROOT))


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2"])
def test_proofs_are_collected_from_every_worker(tmp_path: Path, workers: str):
    page = tmp_path / "docs/proofs.md"
    result = run_pytest(tmp_path, PROVING.format(outcome=True), f"--proofs={page}", "-n", workers)
    assert result.returncode == 0, result.stdout + result.stderr
    rows = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| A")]
    assert [row.split(" | ")[:3] for row in rows] == [
        ["| A promise", "tried \\| to break", "1"],
        ["| A promise", "tried \\| to break", "2"],
        ["| Another", "x", "3"],
    ]
    assert "test_it.py::test_shown[1]" in rows[0]


@pytest.mark.slow
def test_a_failed_run_leaves_the_last_good_page(tmp_path: Path):
    page = tmp_path / "proofs.md"
    page.write_text("good")
    assert run_pytest(tmp_path, PROVING.format(outcome=False), f"--proofs={page}").returncode == 1
    assert page.read_text() == "good"


LEAVING = """
import subprocess, sys

def test_leaves():
    global child
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep({seconds})"])
    {end}
"""


@pytest.mark.slow
def test_a_test_that_leaves_a_process_behind_fails(tmp_path: Path):
    result = run_pytest(tmp_path, LEAVING.format(seconds=8, end=""), "-W", "ignore")
    assert result.returncode == 1
    assert "left behind" in result.stdout
    assert "time.sleep(8)" in result.stdout


@pytest.mark.slow
def test_a_test_that_waits_for_its_process_passes(tmp_path: Path):
    result = run_pytest(tmp_path, LEAVING.format(seconds=0, end="child.wait()"))
    assert result.returncode == 0, result.stdout
