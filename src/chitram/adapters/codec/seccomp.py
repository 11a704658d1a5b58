"""A system call filter for decoding processes, as classic BPF: the kernel refuses whatever decoding does not need."""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Mapping
from dataclasses import dataclass

# seccomp(2), linux/filter.h, linux/audit.h.
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_X32 = 0x40000000
#: From here on call numbers are the same everywhere, and young: "no such call" makes every libc take the older one.
#: clone3 and openat2 are among them, which hide their flags in memory, where no filter sees them.
_YOUNG = 424
_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

#: Name → number on x86_64 and on aarch64, where there is one. Memory, threads, clocks, the descriptors that are open.
_ALLOWED: Mapping[str, tuple[int, ...]] = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "fstat": (5, 80),
    "lseek": (8, 62),
    "pread64": (17, 67),
    "readv": (19, 65),
    "writev": (20, 66),
    "dup": (32, 23),
    "poll": (7,),
    "ppoll": (271, 73),
    "select": (23,),
    "pselect6": (270, 72),
    "sendto": (44, 206),
    "recvfrom": (45, 207),
    "recvmsg": (47, 212),
    "shutdown": (48, 210),
    "getsockname": (51, 204),
    "getsockopt": (55, 209),
    "eventfd2": (290, 19),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "futex": (202, 98),
    "futex_waitv": (449, 449),
    "membarrier": (324, 283),
    "set_robust_list": (273, 99),
    "get_robust_list": (274, 100),
    "rseq": (334, 293),
    "set_tid_address": (218, 96),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "restart_syscall": (219, 128),
    "arch_prctl": (158,),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "rt_sigpending": (127, 136),
    "rt_sigsuspend": (130, 133),
    "rt_sigtimedwait": (128, 137),
    "nanosleep": (35, 101),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "gettimeofday": (96, 169),
    "time": (201,),
    "times": (100, 153),
    "getrusage": (98, 165),
    "sysinfo": (99, 179),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "getppid": (110, 173),
    "getuid": (102, 174),
    "getgid": (104, 176),
    "geteuid": (107, 175),
    "getegid": (108, 177),
    "uname": (63, 160),
    "getrandom": (318, 278),
    "getcpu": (309, 168),
    "getrlimit": (97, 163),
    "setrlimit": (160, 164),
    "getpriority": (140, 141),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "sched_getparam": (143, 121),
    "sched_getscheduler": (145, 120),
}


@dataclass(frozen=True, slots=True)
class _Rule:
    """A call that is allowed when one of `values` is what `test` finds in its argument number `argument`."""

    numbers: tuple[int, ...]
    argument: int
    test: int
    values: tuple[int, ...]


def _rules(own_pid: int) -> tuple[_Rule, ...]:
    """Calls of which decoding needs a harmless part."""
    return (
        # clone: threads, no processes.
        _Rule((56, 220), 0, _JUMP_SET, (0x00010000,)),
        # tgkill: signals to itself, as abort(3) sends one.
        _Rule((234, 131), 0, _JUMP_EQUAL, (own_pid,)),
        # prlimit64: its own limits, which it cannot raise.
        _Rule((302, 261), 0, _JUMP_EQUAL, (0,)),
        # prctl: the name of a thread.
        _Rule((157, 167), 0, _JUMP_EQUAL, (15, 16)),
        # fcntl: flags of a descriptor, and a copy of it; no leases, and no signals to whomever.
        _Rule((72, 25), 1, _JUMP_EQUAL, (1, 2, 3, 1030)),
        # newfstatat and statx with AT_EMPTY_PATH: of an open file, as some libcs ask for it.
        _Rule((262, 79), 3, _JUMP_SET, (0x1000,)),
        _Rule((332, 291), 2, _JUMP_SET, (0x1000,)),
    )


#: open and openat: an answer that every library takes for a file that is not for it.
_OPENING = (2, 257), (56,)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install(libc: ctypes.CDLL, *, machine: str | None = None) -> bool:
    """Put the filter on this process, for good; False where there is none for this kernel or `machine`.

    Needs PR_SET_NO_NEW_PRIVS before it. Nothing can be opened any more: modules and data must be loaded by then.
    """
    machine = machine or platform.machine()
    if machine not in _AUDIT:
        return False
    code = _compile(machine, own_pid=os.getpid())
    program = _Program(len(code) // 8, code)
    return bool(libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0) == 0)


def _compile(machine: str, *, own_pid: int) -> bytes:
    """The filter: what is not named fails with EPERM, and young calls as if the kernel had never heard of them."""
    which = tuple(_AUDIT).index(machine)
    code = [
        _load(_ARCHITECTURE),
        _instruction(_JUMP_EQUAL, _AUDIT[machine], if_true=1),
        _return(_KILL),
        _load(_NUMBER),
        _instruction(_JUMP_GREATER_EQUAL, _X32, if_false=1),
        _return(_ERRNO | errno.EPERM),
    ]
    for number in sorted(numbers[which] for numbers in _ALLOWED.values() if which < len(numbers)):
        code += [_instruction(_JUMP_EQUAL, number, if_false=1), _return(_ALLOW)]
    for number in _OPENING[which]:
        code += [_instruction(_JUMP_EQUAL, number, if_false=1), _return(_ERRNO | errno.EACCES)]
    for rule in _rules(own_pid):
        code += _conditional(rule, number=rule.numbers[which])
    code += [_instruction(_JUMP_GREATER_EQUAL, _YOUNG, if_false=1), _return(_ERRNO | errno.ENOSYS)]
    return b"".join([*code, _return(_ERRNO | errno.EPERM)])


def _conditional(rule: _Rule, *, number: int) -> list[bytes]:
    """The call `number` under `rule`. Only the low half of the argument is looked at: all of these are 32 bits wide."""
    tests = [part for value in rule.values for part in (_instruction(rule.test, value, if_false=1), _return(_ALLOW))]
    return [
        _instruction(_JUMP_EQUAL, number, if_false=len(tests) + 2),
        _load(_ARGUMENTS + 8 * rule.argument),
        *tests,
        _return(_ERRNO | errno.EPERM),
    ]


def _load(offset: int) -> bytes:
    return _instruction(_LOAD, offset)


def _return(value: int) -> bytes:
    return _instruction(_RETURN, value)


def _instruction(code: int, value: int, *, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
