"""What a decoding process may use, set by itself before it sees the first file. Everything here is one-way."""

import contextlib
import ctypes
import math
import os
import resource
import signal
import struct
from pathlib import Path

from chitram.adapters.codec import landlock, seccomp

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_CAPABILITY_VERSION = 0x20080522
#: The user and the group that own nothing.
_NOBODY = 65_534
_MAX_FILES = 32
_NICENESS = 10


def confine(*, parent: int, memory_bytes: int) -> tuple[str, ...]:
    """Limit this process: `memory_bytes` of address space more than it has now, no file but those that it is handed, no
    rights to gain, death with the process `parent`. The names of the walls that could not be put up here.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    _give_way()
    _limit(memory_bytes)
    walls = {"an account of its own": _renounce(libc)}
    # A change of account resets both of these.
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        # It died before the line above was reached.
        os._exit(0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    walls["Landlock"] = landlock.restrict(libc)
    walls["a system call filter"] = seccomp.install(libc)
    return tuple(name for name, stands in walls.items() if not stands)


def release_memory() -> None:
    """Give freed memory back to the system: after a large picture the allocator holds tens of megabytes."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)


def grant_cpu(seconds: float) -> None:
    """Let this process run `seconds` of CPU time from now on, rounded up to whole ones; SIGXCPU ends it then."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = math.ceil(used.ru_utime + used.ru_stime + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


def _give_way() -> None:
    """Come last for a processor, and first when the machine runs out of memory: a decoder is the one to replace."""
    os.nice(_NICENESS)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _limit(memory_bytes: int) -> None:
    base = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    for what, amount in (
        (resource.RLIMIT_AS, base + memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, _MAX_FILES),
    ):
        resource.setrlimit(what, (amount, amount))


def _renounce(libc: ctypes.CDLL) -> bool:
    """Give up root and every capability; False when the process is root even then, as in some containers."""
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):
            os.setgroups([])
            os.setresgid(_NOBODY, _NOBODY, _NOBODY)
            os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    libc.capset(struct.pack("=Ii", _CAPABILITY_VERSION, 0), bytes(24))
    return os.geteuid() != 0
