"""Run the benchmarks: `python -m benchmarks [--list] [NAME [ARGUMENT ...]]`.

A case is a module of this package with a function `main(argv)`. Without a name every case runs, each in a process of
its own, so that neither the memory nor the warmed caches of one touch the next.
"""

import ast
import importlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent


def discover(folder: Path = HERE) -> dict[str, str]:
    """Name → first line of the docstring of every case in `folder`. Nothing is imported for it."""
    cases: dict[str, str] = {}
    for path in sorted(folder.glob("[!_]*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            cases[path.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return cases


def run_all(cases: Sequence[str]) -> int:
    """Run each case; the exit status is 1 when any of them failed."""
    failed = []
    for name in cases:
        print(f"== {name}", flush=True)
        if subprocess.run([sys.executable, "-m", "benchmarks", name], cwd=HERE.parent, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def main(argv: Sequence[str]) -> int:
    """Exit status: that of the cases; 2 for a name that is not one."""
    cases = discover()
    if not argv:
        return run_all(list(cases))
    name, *rest = argv
    if name == "--list":
        for case, summary in cases.items():
            print(f"{case:<16} {summary}")
        return 0
    if name not in cases:
        print(f"{name} is no benchmark; there are: {', '.join(cases) or 'none'}", file=sys.stderr)
        return 2
    return importlib.import_module(f"benchmarks.{name}").main(rest) or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
