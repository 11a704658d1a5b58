"""The import contracts hold, and each of them would notice a trespass."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT

LINT_IMPORTS = Path(sys.executable).parent / "lint-imports"

#: Contract → a new module that breaks it: path below src/chitram, and what it says.
TRESPASSES: dict[str, tuple[str, str]] = {
    "1": ("domain/trespass.py", "import chitram.ports.clock"),
    "2": ("entrypoints/support/trespass.py", "import chitram.entrypoints.delivery"),
    "3": ("adapters/blobs/trespass.py", "import chitram.adapters.db"),
    "4": ("services/trespass_adapter.py", "import chitram.adapters.memory"),
    "5": ("ports/trespass.py", "import httpx"),
    "6a": ("adapters/memory/trespass_sql.py", "import sqlalchemy"),
    "6b": ("adapters/memory/trespass_imaging.py", "from PIL import Image"),
    "6c": ("adapters/jobs/trespass_limits.py", "import limits"),
    "6d": ("entrypoints/delivery/trespass.py", "from starlette.responses import Response"),
    "6e": ("entrypoints/api/trespass.py", "import uvicorn"),
    "6f": ("entrypoints/api/trespass_metrics.py", "import prometheus_client"),
    "6g": ("adapters/memory/trespass_secrets.py", "import bcrypt"),
    "6h": ("entrypoints/api/trespass_emails.py", "import email_validator"),
    "6i": ("entrypoints/api/trespass_templates.py", "import jinja2"),
    "6j": ("adapters/memory/trespass_redis.py", "import redis"),
    "6k": ("adapters/memory/trespass_s3.py", "import obstore"),
    "6l": ("adapters/blobs/trespass_celery.py", "import celery"),
    "7": ("domain/media_trespass.py", "import chitram.domain.trespass_back"),
    "8": ("services/trespass.py", "import chitram.services.trespass_adapter"),
}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the package `chitram` in `folder` against the project's contracts."""
    return subprocess.run(
        [LINT_IMPORTS, "--no-cache", "--config", ROOT / ".importlinter"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def broken(output: str) -> set[str]:
    return set(re.findall(r"^(\d\w?)\. .* BROKEN", output, re.MULTILINE))


@pytest.mark.slow
def test_the_contracts_hold():
    result = lint(ROOT / "src")
    assert result.returncode == 0, result.stdout + result.stderr
    assert set(re.findall(r"^(\d\w?)\. .* KEPT", result.stdout, re.MULTILINE)) == set(TRESPASSES)


@pytest.mark.slow
def test_every_contract_notices_a_trespass(tmp_path: Path):
    package = tmp_path / "chitram"
    shutil.copytree(ROOT / "src" / "chitram", package, ignore=shutil.ignore_patterns("__pycache__"))
    for path, statement in TRESPASSES.values():
        (package / path).write_text(f"{statement}\n")
    (package / "domain/trespass_back.py").write_text("import chitram.domain.media_trespass\n")
    result = lint(tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    assert broken(result.stdout) == set(TRESPASSES), result.stdout
