"""Nothing happens at import: no thread, no process, no connection, no file written."""

import subprocess
import sys
import textwrap

import pytest

WATCHED = textwrap.dedent("""
    import importlib, pkgutil, sys, threading

    ACTS = {"os.fork", "os.mkdir", "os.remove", "os.rename", "socket.bind", "socket.connect", "sqlite3.connect",
            "subprocess.Popen"}
    doing, seen = [""], []

    def watch(event, arguments):
        writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
        if doing[0] and (event in ACTS or writes):
            seen.append(f"{doing[0]}: {event} {arguments!r}")

    sys.addaudithook(watch)
    import chitram
    found = (m.name for m in pkgutil.walk_packages(chitram.__path__, "chitram."))
    names = ["chitram", *(name for name in found if ".migrations." not in name)]  # Alembic runs these
    for name in names:
        doing[0] = name
        exec(sys.argv[1]) if name == "chitram" else importlib.import_module(name)
    doing[0] = ""
    seen += [f"thread {t.name}" for t in threading.enumerate() if t is not threading.main_thread()]
    print(len(names))
    print("\\n".join(seen), file=sys.stderr)
""")


def import_everything(*, first: str = "pass") -> tuple[int, str]:
    """How many modules were imported in a fresh process, and what happened meanwhile. `first` runs under watch too."""
    result = subprocess.run([sys.executable, "-B", "-c", WATCHED, first], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return int(result.stdout), result.stderr.strip()


@pytest.mark.slow
def test_importing_does_nothing_else():
    modules, happened = import_everything()
    assert happened == ""
    assert modules > 20


@pytest.mark.slow
@pytest.mark.parametrize(
    ("act", "event"),
    [("import sqlite3; sqlite3.connect(':memory:')", "sqlite3.connect"), ("open('/dev/null', 'w').close()", "open")],
)
def test_an_act_would_be_noticed(act: str, event: str):
    assert f"chitram: {event}" in import_everything(first=act)[1]
