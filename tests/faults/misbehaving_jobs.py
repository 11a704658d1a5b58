"""What a decoder that was taken over, or simply breaks, would do: jobs for the sandbox's processes.

Each says in its result how far it got.
"""

import ctypes
import errno
import fcntl
import mmap
import os
import platform
import resource
import signal
import socket
import struct
import termios
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
    return Reply(
        {
            "pid": os.getpid(),
            "text": data.decode(),
            "nice": os.getpriority(os.PRIO_PROCESS, 0),
            "environment": sorted(os.environ),
        }
    )


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
    """Everything that a decoder never needs: what became of each attempt."""
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    return Reply(
        {
            "fork": attempt(os.fork),
            "exec": attempt(lambda: os.execv("/bin/true", ["true"])),
            "socket": attempt(socket.socket),
            "socketpair": attempt(socket.socketpair),
            "kill": attempt(lambda: os.kill(parent, 0)),
            "unlink": attempt(lambda: Path("/nonexistent").unlink()),
            "mkdir": attempt(lambda: Path(f"/tmp/d{os.getpid()}").mkdir()),
            "stat": attempt(lambda: Path("/etc/passwd").stat()),
            "truncate": attempt(lambda: os.ftruncate(fd, 0)),
            "overwrite": attempt(lambda: os.pwrite(fd, b"x", 0)),
            "limits": attempt(lambda: resource.prlimit(parent, resource.RLIMIT_NOFILE)),
            "lease": attempt(lambda: fcntl.fcntl(3, fcntl.F_SETOWN, parent)),
            "ioctl": attempt(lambda: fcntl.ioctl(3, termios.FIONREAD, b"1234")),
            "affinity": attempt(lambda: os.sched_setaffinity(0, {0})),
            "dumpable": attempt(lambda: _checked(libc.prctl, 4, 1, 0, 0, 0)),
            "raise": attempt(lambda: _checked(libc.setrlimit, resource.RLIMIT_FSIZE, struct.pack("=2Q", 1, 1))),
            "descriptors": sum(1 for number in range(64) if attempt(lambda n=number: os.fstat(n)) == "done"),
            "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
        }
    )


def steal(fd: int, arguments: Mapping[str, Any]) -> Reply:
    """Reading `paths`, in every way there is to open a file: what came of each."""
    found: dict[str, str] = {}
    for path in [*arguments["paths"], "/proc/self/mem", "/proc/self/environ", f"/proc/{os.getppid()}/environ"]:
        name = path.encode() + b"\0"
        found[f"{path} open"] = attempt(lambda path=path: os.open(path, os.O_RDONLY))
        found[f"{path} list"] = attempt(lambda path=path: list(Path(path).iterdir()))
        found[f"{path} link"] = attempt(lambda path=path: Path(path).readlink())
        found[f"{path} write"] = attempt(lambda path=path: os.open(path, os.O_WRONLY | os.O_CREAT))
        found[f"{path} openat2"] = attempt(lambda name=name: raw("openat2", -100, name, bytes(24), 24))
        found[f"{path} handle"] = attempt(
            lambda name=name: raw("name_to_handle_at", -100, name, bytes(200), bytes(8), 0)
        )
    return Reply(found)


#: Numbers on x86_64 and aarch64 of calls for which libc has no function.
_NUMBERS = {
    "openat2": (437, 437),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "clone3": (435, 435),
    "io_uring_setup": (425, 425),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "mount": (165, 40),
    "unshare": (272, 97),
    "setns": (308, 268),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "kexec_load": (246, 104),
    "reboot": (169, 142),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "process_vm_readv": (310, 270),
    "ptrace": (101, 117),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "personality": (135, 92),
    "sendmsg": (46, 211),
    "setuid": (105, 146),
    "capset": (126, 91),
    "seccomp": (317, 277),
    "timer_create": (222, 107),
    "inotify_init1": (294, 26),
    "fanotify_init": (300, 262),
}


def call(fd: int, arguments: Mapping[str, Any]) -> Reply:
    """Every call of which a way out could be made, without arguments: what the kernel says."""
    return Reply({name: attempt(lambda name=name: raw(name, 0, 0, 0, 0, 0)) for name in _NUMBERS})


def raw(name: str, *values: int | bytes) -> int:
    """The system call `name`, past libc."""
    number = _NUMBERS[name][platform.machine() == "aarch64"]
    return _checked(ctypes.CDLL(None, use_errno=True).syscall, number, *values)


def _checked(function: Callable[..., int], *values: int | bytes) -> int:
    ctypes.set_errno(0)
    result = function(*values)
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result


def identity(fd: int, arguments: Mapping[str, Any]) -> Reply:
    return Reply({"user": os.getuid(), "group": os.getgid(), "effective": [os.geteuid(), os.getegid()]})


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
        *(echo, segfault, abort, leave, burn, sleep, hold_the_lock, allocate, exhaust, escape, steal, call),
        *(identity, lie, babble, fail),
    )
}
JOBS = {**JOBS, "inspect": lie, "ingest": lie}
