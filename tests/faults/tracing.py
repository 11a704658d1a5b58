"""Watching, failing and ending a process at its system calls, with strace."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_UNFINISHED = " <unfinished ...>"
_RESUMED = re.compile(r"^<\.\.\. \w+ resumed>")


def require_strace() -> str:
    """Where strace is; the test fails without it."""
    found = shutil.which("strace")
    assert found, "strace is missing: install the Debian package strace"
    return found


@dataclass(frozen=True, slots=True)
class Call:
    """A finished system call: its name, its arguments as strace writes them, and what it returned."""

    name: str
    arguments: str
    result: str

    @property
    def succeeded(self) -> bool:
        return not self.result.startswith("-1")


def read_trace(path: Path) -> list[Call]:
    """The calls of all threads in the order in which they ended."""
    open_calls: dict[str, str] = {}
    calls = []
    for line in path.read_text(errors="replace").splitlines():
        pid, _, text = line.partition(" ")
        text = text.lstrip()
        if text.endswith(_UNFINISHED):
            open_calls[pid] = text.removesuffix(_UNFINISHED)
            continue
        if _RESUMED.match(text):
            text = open_calls.pop(pid, "") + _RESUMED.sub("", text)
        # Arguments may hold " = " as well: the result is what follows the last one behind a closing bracket.
        head, separator, result = text.rpartition(") = ")
        if not separator:
            head, separator, result = text.rpartition(")  = ")
        name, bracket, arguments = head.rstrip(" )").partition("(") if separator else ("", "", "")
        if bracket:
            calls.append(Call(name, arguments, result.strip()))
    return calls


@contextmanager
def attached(thread: int, *, options: Sequence[str], output: Path) -> Iterator[None]:
    """strace on one thread, given by its id, until the block or the thread ends."""
    command = [require_strace(), *options, "-o", str(output), "-p", str(thread)]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    try:
        first = tracer.stderr.readline()
        assert "attached" in first, first
        yield
    finally:
        tracer.terminate()
        try:
            tracer.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            # It waits for a tracee that is gone already.
            tracer.kill()
            tracer.communicate()


def other_thread(process: subprocess.Popen[str]) -> int:
    """The id of the one thread that `process` has beside its main thread."""
    threads = {int(task.name) for task in Path(f"/proc/{process.pid}/task").iterdir()} - {process.pid}
    assert len(threads) == 1
    return threads.pop()
