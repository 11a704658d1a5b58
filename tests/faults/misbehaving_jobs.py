"""What a decoder that was taken over, or simply breaks, would do: jobs for the sandbox's processes.

Each says in its result how far it got.
"""

import ctypes
import errno
import mmap
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from chitram.adapters.codec.wire import Reply


def attempt(act: Callable[[], object]) -> str:
    """The name of the error that `act` ends in, or "done"."""
    try:
        act()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "?")
    except MemoryError:
        return "MemoryError"
    return "done"


def echo(fd: int, arguments: Mapping[str, Any]) -> Reply:
    data = os.pread(fd, 1 << 20, 0)
    time.sleep(arguments.get("seconds", 0))
    return Reply({"pid": os.getpid(), "text": data.decode(), "nice": os.nice(0), "environment": sorted(os.environ)})


def segfault(fd: int, arguments: Mapping[str, Any]) -> Reply:
    ctypes.string_at(0)
    return Reply({})


def abort(fd: int, arguments: Mapping[str, Any]) -> Reply:
    os.abort()


def leave(fd: int, arguments: Mapping[str, Any]) -> Reply:
    os._exit(0)


def burn(fd: int, arguments: Mapping[str, Any]) -> Reply:
    while True:
        pass


def sleep(fd: int, arguments: Mapping[str, Any]) -> Reply:
    time.sleep(3600)
    return Reply({})


def hold_the_lock(fd: int, arguments: Mapping[str, Any]) -> Reply:
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP})
    time.sleep(3600)
    return Reply({})


def allocate(fd: int, arguments: Mapping[str, Any]) -> Reply:
    return Reply({"mapped": attempt(lambda: mmap.mmap(-1, 10 << 30)), "taken": attempt(lambda: bytes(10 << 30))})


def exhaust(fd: int, arguments: Mapping[str, Any]) -> Reply:
    return Reply({"length": len(bytes(10 << 30))})


def escape(fd: int, arguments: Mapping[str, Any]) -> Reply:
    """Everything that a decoder never needs."""
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getppid()

    def call(name: str, *values: int | bytes) -> str:
        ctypes.set_errno(0)
        return errno.errorcode.get(ctypes.get_errno(), "done") if getattr(libc, name)(*values) < 0 else "done"

    return Reply(
        {
            "fork": attempt(os.fork),
            "exec": attempt(lambda: os.execv("/bin/true", ["true"])),
            "socket": attempt(socket.socket),
            "socketpair": attempt(socket.socketpair),
            "kill": attempt(lambda: os.kill(parent, 0)),
            "create": attempt(lambda: os.open(f"/tmp/{os.getpid()}", os.O_CREAT | os.O_WRONLY)),
            "write": attempt(lambda: os.open("/dev/null", os.O_WRONLY)),
            "unlink": attempt(lambda: Path("/nonexistent").unlink()),
            "mkdir": attempt(lambda: Path(f"/tmp/d{os.getpid()}").mkdir()),
            "truncate": attempt(lambda: os.ftruncate(fd, 0)),
            "overwrite": attempt(lambda: os.pwrite(fd, b"x", 0)),
            "ptrace": call("ptrace", 16, parent, 0, 0),
            "memfd": call("memfd_create", b"x", 0),
            "limits": attempt(lambda: resource.prlimit(parent, resource.RLIMIT_NOFILE)),
            "raise": attempt(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1))) if os.geteuid() else "EPERM",
            "descriptors": len(list(Path("/proc/self/fd").iterdir())) - 1,
            "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
            "read": attempt(lambda: os.close(os.open("/proc/self/statm", os.O_RDONLY))),
        }
    )


def lie(fd: int, arguments: Mapping[str, Any]) -> Reply:
    """A result as the test wants it."""
    return Reply(arguments["result"], [bytes.fromhex(blob) for blob in arguments["blobs"]])


def babble(fd: int, arguments: Mapping[str, Any]) -> Reply:
    """Bytes that are no reply, past the proper way."""
    os.write(3, bytes.fromhex(arguments["bytes"]))
    time.sleep(3600)
    return Reply({})


def fail(fd: int, arguments: Mapping[str, Any]) -> Reply:
    raise KeyError("secret\nline")


def preload() -> None:
    """Nothing to load."""


JOBS = {
    job.__name__: job
    for job in (
        *(echo, segfault, abort, leave, burn, sleep, hold_the_lock, allocate, exhaust, escape, lie, babble, fail),
    )
}
JOBS = {**JOBS, "inspect": lie, "ingest": lie}
