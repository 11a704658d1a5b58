"""What decoding processes put up around themselves, each wall by itself. All together: tests/faults/test_sandbox.py."""

import ctypes
import errno
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from chitram.adapters.codec import landlock, seccomp

ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
OWN_PID = 4242


def verdict(machine: str, number: int, *arguments: int, audit: int | None = None) -> int:
    """What the filter for `machine` says to a call: the classic BPF machine, as far as the filter uses it."""
    values = struct.pack("=6Q", *arguments, *[0] * (6 - len(arguments)))
    call = struct.pack("=IIQ", number, AUDIT[machine] if audit is None else audit, 0) + values
    code = list(struct.iter_unpack("=HBBI", seccomp._compile(machine, own_pid=OWN_PID)))
    at, register = 0, 0
    while True:
        operation, if_true, if_false, value = code[at]
        at += 1
        if operation == 0x06:
            return int(value)
        if operation == 0x20:
            register = struct.unpack_from("=I", call, value)[0]
        else:
            holds = {0x15: register == value, 0x35: register >= value, 0x45: bool(register & value)}[operation]
            at += if_true if holds else if_false


#: Name → numbers on x86_64 and aarch64, of calls with which a process reaches something outside itself.
DANGEROUS = {
    "execve": (59, 221),
    "execveat": (322, 281),
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "sendmsg": (46, 211),
    "ioctl": (16, 29),
    "pwrite64": (18, 68),
    "sendfile": (40, 71),
    "ftruncate": (77, 46),
    "fallocate": (285, 47),
    "unlinkat": (263, 35),
    "renameat2": (316, 276),
    "mknodat": (259, 33),
    "fchmodat": (268, 53),
    "kill": (62, 129),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "setuid": (105, 146),
    "capset": (126, 91),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "memfd_create": (319, 279),
    "shmget": (29, 194),
    "semop": (65, 193),
    "msgsnd": (69, 189),
    "mq_open": (240, 180),
    "reboot": (169, 142),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
    "sched_setaffinity": (203, 122),
    "setpriority": (141, 140),
    "open_by_handle_at": (304, 265),
    "readlinkat": (267, 78),
    "getdents64": (217, 61),
    "faccessat": (269, 48),
}


@pytest.mark.parametrize("machine", list(AUDIT))
def test_what_reaches_out_is_refused(machine: str) -> None:
    which = list(AUDIT).index(machine)
    found = {name: verdict(machine, numbers[which]) for name, numbers in DANGEROUS.items()}
    assert found == dict.fromkeys(DANGEROUS, ERRNO | errno.EPERM)


@pytest.mark.parametrize("machine", list(AUDIT))
def test_calls_that_are_younger_than_the_filter_do_not_exist(machine: str) -> None:
    """pidfd, io_uring, clone3, openat2, the new mounts, and whatever comes: libc then falls back to older ones."""
    known = {449}  # futex_waitv
    assert {verdict(machine, number) for number in range(424, 600) if number not in known} == {ERRNO | errno.ENOSYS}
    assert verdict(machine, 449) == ALLOW


@pytest.mark.parametrize(
    ("machine", "clone", "tgkill", "prlimit", "prctl", "fcntl", "newfstatat", "opening"),
    [("x86_64", 56, 234, 302, 157, 72, 262, (2, 257)), ("aarch64", 220, 131, 261, 167, 25, 79, (56,))],
)
def test_calls_of_which_a_part_is_needed(
    machine: str, clone: int, tgkill: int, prlimit: int, prctl: int, fcntl: int, newfstatat: int, opening: tuple[int]
) -> None:
    refused = ERRNO | errno.EPERM
    assert verdict(machine, clone, 0x3D0F00) == ALLOW  # as a thread is made
    assert verdict(machine, clone, 17) == refused  # as a process is made
    assert (verdict(machine, tgkill, OWN_PID), verdict(machine, tgkill, 1)) == (ALLOW, refused)
    assert (verdict(machine, prlimit, 0), verdict(machine, prlimit, 1)) == (ALLOW, refused)
    assert (verdict(machine, prctl, 15), verdict(machine, prctl, 4)) == (ALLOW, refused)
    assert (verdict(machine, fcntl, 3, 1030), verdict(machine, fcntl, 3, 8)) == (ALLOW, refused)
    assert verdict(machine, newfstatat, 3, 0, 0, 0x1000) == ALLOW
    assert verdict(machine, newfstatat, 3, 0, 0, 0) == refused
    assert {verdict(machine, number) for number in opening} == {ERRNO | errno.EACCES}


def test_other_call_tables_are_no_way_round() -> None:
    assert verdict("x86_64", 1) == ALLOW
    assert verdict("x86_64", 1, audit=0x40000003) == KILL  # 32 bits
    assert verdict("x86_64", 0x40000000 + 1) == ERRNO | errno.EPERM  # x32


def test_machines_without_a_filter_run_without_one() -> None:
    assert seccomp.install(ctypes.CDLL(None), machine="pdp11") is False


PROGRAM = """
import ctypes, errno, os, sys
from chitram.adapters.codec import landlock, seccomp
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38, 1, 0, 0, 0)
path, wall = sys.argv[1:]
kept = os.open(path, os.O_RDONLY)
assert {"landlock": landlock.restrict, "seccomp": seccomp.install}[wall](libc)
said = os.pread(kept, 100, 0).decode()
for way in (lambda: os.open(path, os.O_RDONLY), lambda: os.listdir("/"), lambda: os.open(path, os.O_WRONLY)):
    try:
        way()
    except OSError as error:
        said += " " + errno.errorcode[error.errno]
print(said)
"""


@pytest.mark.parametrize("wall", ["landlock", "seccomp"])
def test_each_wall_alone_keeps_files_away(tmp_path: Path, wall: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text("open before")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(secret), wall], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "open before EACCES EACCES EACCES\n"


class _Kernel:
    """A kernel whose Landlock has a version and answers to the making of a ruleset; stands in for libc's syscall."""

    def __init__(self, version: int, *, ruleset: int = -1) -> None:
        self.version, self.ruleset = version, ruleset
        self.attributes: bytes | None = None

    def syscall(self, number: int, attributes: object, *_: object) -> int:
        if attributes is None:
            return self.version
        assert isinstance(attributes, bytes)
        self.attributes = attributes
        return self.ruleset


@pytest.mark.parametrize(
    ("version", "attributes"),
    [
        (-1, None),
        (1, struct.pack("=Q", 0x1FFF)),
        (2, struct.pack("=Q", 0x3FFF)),
        (3, struct.pack("=Q", 0x7FFF)),
        (4, struct.pack("=2Q", 0x7FFF, 3)),
        (5, struct.pack("=2Q", 0xFFFF, 3)),
        (6, struct.pack("=3Q", 0xFFFF, 3, 3)),
        (9, struct.pack("=3Q", 0xFFFF, 3, 3)),
    ],
)
def test_all_that_a_kernel_can_withhold_is_withheld(version: int, attributes: bytes | None) -> None:
    kernel = _Kernel(version)
    assert landlock.restrict(kernel) is False  # type: ignore[arg-type] -- only `syscall` of libc is used
    assert kernel.attributes == attributes
