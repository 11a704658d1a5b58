"""The commands and programs that a page shows, to be run as they stand against a server of the test's own."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.architecture.sources import ROOT

#: Where the pages suppose the server to be.
SHOWN = "http://localhost:8000"


def blocks(page: str, *, language: str = "sh") -> list[str]:
    """The fenced blocks in `language` of a page below `docs/`, in order."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def shell(script: str, *, directory: Path, environment: Mapping[str, str] | None = None) -> str:
    """What a shell prints that runs `script` in `directory`; CalledProcessError when a command of it fails."""
    done = subprocess.run(
        ["sh", "-eu"],
        input=script,
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    return done.stdout
