"""One screen, one thought: functions of at most 40 lines, files of about 300."""

import ast
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.sources import modules, name_of, parse

FUNCTION_LINES = 40
FILE_LINES = 300
FILE_LINES_STOP = 400

#: `file::function` → why it may be longer.
LONGER: dict[str, str] = {}

type_of_function = (ast.FunctionDef, ast.AsyncFunctionDef)


def body_length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, without the docstring."""
    length = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        length -= (first.end_lineno or first.lineno) - first.lineno + 1
    return length


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """`file::function` with its length, for every function in the file, nested ones too."""
    for node in ast.walk(parse(path)):
        if isinstance(node, type_of_function):
            yield f"{name_of(path)}::{node.name}", body_length(node)


def too_long(paths: Iterator[Path]) -> list[str]:
    return [
        f"{name} has {length} lines"
        for path in paths
        for name, length in functions(path)
        if length > FUNCTION_LINES and name not in LONGER
    ]


def test_functions_fit_on_a_screen():
    assert too_long(modules()) == []


def test_a_long_function_is_found_and_its_docstring_does_not_count(tmp_path: Path):
    lines = ["def long():", '    """Says', "    little.", '    """', *["    pass"] * FUNCTION_LINES]
    source = tmp_path / "long.py"
    source.write_text("\n".join(lines))
    assert too_long(iter([source])) == [f"long.py::long has {FUNCTION_LINES + 1} lines"]
    source.write_text("\n".join(lines[:-1]))
    assert too_long(iter([source])) == []


def test_every_exception_is_still_needed():
    lengths = dict(entry for path in modules() for entry in functions(path))
    assert [name for name in LONGER if lengths.get(name, 0) <= FUNCTION_LINES] == []


def test_files_stay_short():
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in modules()}
    large = {name: length for name, length in lengths.items() if length > FILE_LINES}
    if large:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.warn(f"Longer than {FILE_LINES} lines, time to make a package of it: {large}", stacklevel=1)
    assert [name for name, length in large.items() if length > FILE_LINES_STOP] == []


@pytest.mark.parametrize("lines", [FUNCTION_LINES, FUNCTION_LINES + 1])
def test_async_functions_count_too(tmp_path: Path, lines: int):
    source = tmp_path / "long.py"
    source.write_text("\n".join(["async def long():", *["    pass"] * (lines - 1)]))
    assert bool(too_long(iter([source]))) is (lines > FUNCTION_LINES)
