"""The files of the project as the house rules look at them."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src" / "chitram"

#: What is made by tools or by a running server, and so is nobody's to keep in order.
_NOT_OURS = {".venv", ".git", "data", "dist", "build", "htmlcov", "__pycache__", "node_modules"}


def modules(folder: Path = SOURCES) -> Iterator[Path]:
    """Every Python file below `folder`."""
    return (path for path in sorted(folder.rglob("*.py")) if "__pycache__" not in path.parts)


def project_files(root: Path = ROOT) -> Iterator[Path]:
    """Every file of the project that a person wrote or that is kept with it. Works without git."""
    for path in sorted(root.iterdir()):
        if path.name in _NOT_OURS or path.name.endswith((".egg-info", "_cache")):
            continue
        if path.is_dir():
            if path.name != ".hypothesis":
                yield from project_files(path)
        elif not path.name.startswith(".coverage") and path.name != ".env":
            yield path


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def name_of(path: Path) -> str:
    """The path as people write it, from the top of the checkout."""
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
