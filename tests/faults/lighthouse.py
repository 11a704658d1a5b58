"""Lighthouse, which judges pages as a phone on a slow line sees them: installed by its lock file, run headless."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from tests.services.packages import SEARCH_PATH

LOCK = Path(__file__).parents[1] / "browser" / "lighthouse"
CATEGORIES = ("performance", "accessibility", "best-practices", "seo")
_CHROME = "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
#: Seconds. Installing fetches some two hundred packages.
_INSTALLING, _JUDGING = 600, 300


@dataclass(frozen=True, slots=True)
class Judgement:
    """Scores of 0 to 100 by category; what cost points, as `category/audit: what was found`."""

    scores: Mapping[str, int]
    complaints: tuple[str, ...]


def program(name: str) -> str:
    """The path of a program; AssertionError when the machine has none."""
    found = shutil.which(name, path=SEARCH_PATH)
    assert found is not None, f"{name} is missing: run `make packages`"
    return found


def installed() -> Path:
    """Lighthouse's command line, installed beside the other tools, once for each content of the lock file."""
    digest = sha256((LOCK / "package-lock.json").read_bytes()).hexdigest()[:12]
    home = Path(sys.prefix) / f"lighthouse-{digest}"
    if not (home / "installed").exists():
        home.mkdir(exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(LOCK / name, home / name)
        # What packages want to run when they are installed is not needed, and nobody has read it.
        _run([program("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=home, patience=_INSTALLING)
        (home / "installed").touch()
    return home / "node_modules" / "lighthouse" / "cli" / "index.js"


def judge(url: str, *, directory: Path) -> Judgement:
    """One run over the page at `url`; its report is left in `directory`."""
    report = directory / "report.json"
    _run(
        [
            program("node"), str(installed()), url, "--quiet", "--no-enable-error-reporting", "--output=json",
            f"--output-path={report}", f"--chrome-flags={_CHROME}", f"--only-categories={','.join(CATEGORIES)}",
        ],
        cwd=directory,
        patience=_JUDGING,
    )  # fmt: skip
    found = json.loads(report.read_text(encoding="utf-8"))
    assert "runtimeError" not in found, found["runtimeError"]
    scores, complaints = {}, []
    for name, category in found["categories"].items():
        scores[name] = round(category["score"] * 100)
        for reference in category["auditRefs"]:
            audit = found["audits"][reference["id"]]
            if reference["weight"] and audit["score"] is not None and audit["score"] < 1:
                complaints.append(f"{name}/{audit['id']}: {audit.get('displayValue', audit['title'])}")
    return Judgement(scores, tuple(complaints))


def _run(command: list[str], *, cwd: Path, patience: float) -> None:
    environment = {**os.environ, "CHROME_PATH": program("chromium")}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=patience, check=False
    )
    assert done.returncode == 0, f"{' '.join(command[:3])}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
