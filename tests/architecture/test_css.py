"""The style sheet that is served is the one that its sources make."""

import subprocess
import sys
from pathlib import Path

from tests.architecture.sources import SOURCES

WEB = SOURCES / "entrypoints" / "web"


def built(target: Path, *, source: Path = WEB / "styles/app.css") -> str:
    """What the style sheet's sources make."""
    program = Path(sys.executable).with_name("tailwindcss")
    command = [program, "-i", source, "-o", target, "--minify"]
    subprocess.run(command, cwd=WEB, check=True, capture_output=True, timeout=120)
    return target.read_text(encoding="utf-8")


def test_the_committed_style_sheet_is_up_to_date(tmp_path: Path):
    assert built(tmp_path / "app.css") == (WEB / "static/app.css").read_text(encoding="utf-8"), "run `make css`"


def test_a_change_of_its_source_would_be_noticed(tmp_path: Path):
    source = tmp_path / "changed.css"
    source.write_text('@import "tailwindcss" source(none);\n.changed { color: red; }\n')
    assert ".changed{color:red}" in built(tmp_path / "app.css", source=source)
