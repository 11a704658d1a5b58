"""Files that say the same thing in two places agree; lock files pin everything and name nobody's machine."""

import re
import tomllib

import pytest

import chitram
from tests.architecture.sources import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WORKFLOW = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
LOCKS = ["bootstrap", "run", "dev"]
LOCK_LINE = re.compile(
    r"(?P<name>[a-z0-9.-]+)==(?P<version>[\w.+!]+)(?: ; [^/\\]+)? \\|    --hash=sha256:[0-9a-f]{64}(?: \\)?"
)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lock: str) -> dict[str, set[str]]:
    """Package → the versions that the lock file allows; more than one where they depend on the platform."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / f"requirements/{lock}.txt").read_text(encoding="utf-8").splitlines():
        if (match := LOCK_LINE.fullmatch(line)) and match["name"]:
            found.setdefault(normal(match["name"]), set()).add(match["version"])
    return found


def release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def unmet(requirements: list[str], lock: str) -> list[str]:
    """Those `requirements`, all of the form `name>=version`, that the lock file does not meet."""
    locked = pins(lock)
    split = [(requirement, *requirement.partition(">=")[::2]) for requirement in requirements]
    return [
        requirement
        for requirement, name, floor in split
        if not floor or not any(release(v) >= release(floor) for v in locked.get(_package(name), ()))
    ]


def _package(name: str) -> str:
    """The package's own name, without the extras that are asked for."""
    return normal(name.partition("[")[0])


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_files_hold_pins_and_hashes_only(lock: str):
    lines = (ROOT / f"requirements/{lock}.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not LOCK_LINE.fullmatch(line)] == []


@pytest.mark.parametrize(
    "line",
    ["--index-url https://example.org/simple", "attrs @ https://example.org/a.whl \\", "attrs>=1 \\", "attrs==1"],
)
def test_a_lock_line_with_an_address_or_without_hash_would_be_noticed(line: str):
    assert not LOCK_LINE.fullmatch(line)


def test_every_declared_dependency_is_locked():
    assert unmet(PYPROJECT["project"]["dependencies"], "run") == []
    assert unmet(PYPROJECT["dependency-groups"]["dev"], "dev") == []
    assert unmet(["editables>=0", "hatchling>=0", "setuptools>=0", "uv>=0"], "bootstrap") == []
    assert unmet(["unheard-of>=1", "pillow>=9999", "pillow"], "run") == ["unheard-of>=1", "pillow>=9999", "pillow"]


def test_lock_files_agree():
    run, dev, bootstrap = pins("run"), pins("dev"), pins("bootstrap")
    assert run.items() <= dev.items()
    assert {name: v for name, v in bootstrap.items() if name in dev} == {n: v for n, v in dev.items() if n in bootstrap}


def test_the_python_floor_is_the_same_everywhere():
    floor = PYPROJECT["project"]["requires-python"].removeprefix(">=")
    major, minor = floor.split(".")
    assert PYPROJECT["tool"]["ruff"]["target-version"] == f"py{major}{minor}"
    assert f"sys.version_info < ({major}, {minor})" in MAKEFILE
    assert f"--python-version {floor} " in MAKEFILE
    assert pythons_of_the_matrix()[0] == floor
    assert set(re.findall(r'python-version: "([^"]+)"', WORKFLOW)) == {floor}


def pythons_of_the_matrix() -> list[str]:
    (versions,) = re.findall(r"^ +python: \[(.*)\]$", WORKFLOW, re.MULTILINE)
    return [version.strip(' "') for version in versions.split(",")]


def test_continuous_integration_runs_every_python_that_is_promised():
    promised = [
        c.rpartition(" ")[2] for c in PYPROJECT["project"]["classifiers"] if c.startswith("Programming Language")
    ]
    assert pythons_of_the_matrix() == promised


def test_continuous_integration_calls_the_same_command_as_everybody():
    script = ROOT / ".ci/run"
    assert script.stat().st_mode & 0o111
    assert script.read_text(encoding="utf-8").rstrip().endswith("exec make test")
    targets = set(re.findall(r"\bmake ([a-z-]+)", WORKFLOW))
    assert targets == {"lint", "setup", "test"}
    assert targets <= make_targets()


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))


def test_every_target_describes_itself():
    phony = set(re.findall(r"^\.PHONY: ([a-z-]+)$", MAKEFILE, re.MULTILINE))
    assert phony == make_targets()


def test_the_version_is_that_of_the_newest_changelog_entry():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\d+\.\d+\.\d+)", changelog, re.MULTILINE)[0] == chitram.__version__


def test_the_package_says_that_it_is_typed_and_how_it_is_licensed():
    assert (ROOT / "src/chitram/py.typed").is_file()
    assert PYPROJECT["project"]["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_hooks_run_tools_of_the_environment_and_download_nothing():
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert re.findall(r"^ +- repo: (.+)$", hooks, re.MULTILINE) == ["local"]
    assert set(re.findall(r"^ +language: (.+)$", hooks, re.MULTILINE)) == {"system"}
    entries = re.findall(r"^ +entry: (\S+)", hooks, re.MULTILINE)
    assert len(entries) == hooks.count("- id:")
    assert [entry for entry in entries if not entry.startswith(".venv/bin/")] == []


def recipe(target: str) -> str:
    """What the Makefile does for `target`, prerequisites in its first line."""
    (found,) = re.findall(rf"^({target}:.*(?:\n\t.*)+)", MAKEFILE, re.MULTILINE)
    return found


def test_every_check_is_part_of_the_test_command():
    assert recipe("test").split("##")[0].split()[1:] == ["packages", "lint"]
    tools = ("ruff format --check", "ruff check", "mypy", "lint-imports", "deptry src", "deptry tests")
    assert [tool for tool in tools if f"$(BIN)/{tool}" not in recipe("lint")] == []


def test_coverage_floors_are_part_of_the_test_command():
    assert re.search(r"^COVERAGE_FLOOR := 85$", MAKEFILE, re.MULTILINE)
    assert "--cov-fail-under=$(COVERAGE_FLOOR)" in recipe("test")
    assert "--include='src/chitram/domain/*,src/chitram/services/*' --fail-under=100" in recipe("test")
    assert PYPROJECT["tool"]["coverage"]["run"]["branch"] is True


def test_the_test_command_leaves_out_the_soak_alone():
    assert '-m "not soak"' in recipe("test")
    assert '-m "not slow and not soak and not integration"' in recipe("test-fast")
    assert '-m "soak or slow"' in recipe("soak")


def test_nothing_unpinned_is_installed():
    installs = [line for line in MAKEFILE.splitlines() if line.startswith(("\t$(UV) install", "\t$(UV) sync"))]
    assert len(installs) == 4
    assert "--no-build-isolation" in MAKEFILE.partition("\nINTO := ")[2].partition("\n")[0]
    assert [line for line in installs if "$(INTO)" not in line] == []
    assert [
        line for line in installs if "--require-hashes" not in line and not line.endswith("--no-deps --editable .")
    ] == []
    assert (
        "-m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt" in MAKEFILE
    )
