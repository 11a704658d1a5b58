"""What processes cost, from /proc."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
KIB = 1024


def family(pid: int) -> tuple[int, ...]:
    """`pid` and every process below it."""
    found = [pid]
    for parent in found:
        with suppress(OSError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += map(int, (task / "children").read_text(encoding="ascii").split())
    return tuple(dict.fromkeys(found))


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time together; 0 for a process that is gone, whose time its parent has by then.

    The times of children that ended and were waited for are in it, so that replaced decoders are not lost.
    """
    ticks = 0
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / _TICK


def pss(pids: Iterable[int]) -> int:
    """Bytes of memory, where shared pages count in equal parts for those that share them."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            total += _kib(Path(f"/proc/{pid}/smaps_rollup"), "Pss:")
    return total * KIB


def rss(pid: int) -> int:
    """Bytes of memory that are resident now."""
    return _kib(Path(f"/proc/{pid}/status"), "VmRSS:") * KIB


def peak_rss(pid: int) -> int:
    """The most bytes that were resident since `forget_peak`."""
    return _kib(Path(f"/proc/{pid}/status"), "VmHWM:") * KIB


def forget_peak(pid: int) -> None:
    """Begin a new peak."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


def _kib(path: Path, name: str) -> int:
    for line in path.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise ValueError(f"{path} has no {name}")
