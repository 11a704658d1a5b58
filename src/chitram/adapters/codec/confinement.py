"""What a decoding process may use, set by itself before it sees the first file. Everything here is one-way."""

import ctypes
import math
import os
import resource
import signal
from pathlib import Path

from chitram.adapters.codec import seccomp

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_MAX_FILES = 32
_NICENESS = 10


def confine(*, parent: int, memory_bytes: int) -> bool:
    """Limit this process: `memory_bytes` of address space more than it has now, no files to write, no core, no rights
    to gain, death with the process `parent`. True when the system call filter is on as well.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        # It died before the line above was reached.
        os._exit(0)
    os.nice(_NICENESS)
    base = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    for what, amount in (
        (resource.RLIMIT_AS, base + memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, _MAX_FILES),
    ):
        resource.setrlimit(what, (amount, amount))
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return seccomp.install(libc)


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
