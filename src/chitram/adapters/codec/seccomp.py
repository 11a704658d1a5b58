"""A system call filter for decoding processes, as classic BPF: what a decoder never needs is refused by the kernel."""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Mapping
from dataclasses import dataclass

# seccomp(2), prctl(2), linux/filter.h, linux/audit.h.
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_X32 = 0x40000000
_CLONE_THREAD = 0x00010000
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

#: The same number everywhere: pidfd_send_signal, io_uring_setup, _enter, _register, open_tree, move_mount, fsopen,
#: fsconfig, fsmount, fspick, pidfd_open, pidfd_getfd, process_madvise, mount_setattr, fchmodat2.
_REFUSED_EVERYWHERE = frozenset({*range(424, 434), 434, 438, 440, 442, 452})
#: clone3 and openat2 hide their flags in memory, where no filter sees them; without them libc takes the older calls.
_UNKNOWN_EVERYWHERE = frozenset({435, 437})


@dataclass(frozen=True, slots=True)
class _Architecture:
    """Call numbers of one architecture. `opening`: number → which argument holds the flags."""

    audit: int
    refused: frozenset[int]
    opening: Mapping[int, int]
    clone: int
    tgkill: int
    prlimit: int


_ARCHITECTURES: Mapping[str, _Architecture] = {
    "x86_64": _Architecture(
        audit=0xC000003E,
        # socket, connect, accept, bind, listen, socketpair, fork, vfork, execve, kill, truncate to rmdir without the
        # directory reads, creat to symlink, chmod to lchown, ptrace, rt_sigqueueinfo, mknod, chroot, mount, umount2,
        # setxattr and kin, tkill, keys, *at forms, unshare, fallocate, accept4, rt_tgsigqueueinfo, perf_event_open,
        # setns, process_vm_*, renameat2, memfd_create, bpf, execveat, userfaultfd.
        refused=frozenset(
            {41, 42, 43, 49, 50, 53, 57, 58, 59, 62, 76, 77, 82, 83, 84, 85, 86, 87, 88, 90, 91, 92, 93, 94, 101, 129}
            | {133, 161, 165, 166, 188, 189, 190, 200, 248, 249, 250, 258, 259, 260, 263, 264, 265, 266, 268, 272, 285}
            | {288, 297, 298, 308, 310, 311, 316, 319, 321, 322, 323}
        ),
        opening={2: 1, 257: 2},
        clone=56,
        tgkill=234,
        prlimit=302,
    ),
    "aarch64": _Architecture(
        audit=0xC00000B7,
        # The same calls; this architecture never had the forms without a directory descriptor.
        refused=frozenset(
            {198, 199, 200, 201, 202, 203, 221, 129, 130, 138, 240, 117, 45, 46, 47, 33, 34, 35, 36, 37, 38, 39, 40, 51}
            | {52, 53, 54, 55, 5, 6, 7, 217, 218, 219, 97, 242, 268, 241, 270, 271, 276, 279, 280, 281, 282}
        ),
        opening={56: 2},
        clone=220,
        tgkill=131,
        prlimit=261,
    ),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install(libc: ctypes.CDLL, *, machine: str | None = None) -> bool:
    """Put the filter on this process, for good; False where there is none for this kernel or `machine`.

    Needs PR_SET_NO_NEW_PRIVS before it.
    """
    architecture = _ARCHITECTURES.get(machine or platform.machine())
    if architecture is None:
        return False
    code = _compile(architecture, own_pid=os.getpid())
    program = _Program(len(code) // 8, code)
    return bool(libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0) == 0)


def _compile(architecture: _Architecture, *, own_pid: int) -> bytes:
    """The filter: calls not named are allowed, those that are fail with EPERM."""
    code = [
        _load(_ARCHITECTURE),
        _instruction(_JUMP_EQUAL, architecture.audit, if_true=1),
        _return(_KILL),
        _load(_NUMBER),
        _instruction(_JUMP_GREATER_EQUAL, _X32, if_false=1),
        _return(_ERRNO | errno.EPERM),
    ]
    for number in sorted(architecture.refused | _REFUSED_EVERYWHERE):
        code += [_instruction(_JUMP_EQUAL, number, if_false=1), _return(_ERRNO | errno.EPERM)]
    for number in sorted(_UNKNOWN_EVERYWHERE):
        code += [_instruction(_JUMP_EQUAL, number, if_false=1), _return(_ERRNO | errno.ENOSYS)]
    for number, argument in architecture.opening.items():
        code += _argument_rule(number, argument, test=_JUMP_SET, value=_WRITING, allowed=False)
    code += _argument_rule(architecture.clone, 0, test=_JUMP_SET, value=_CLONE_THREAD, allowed=True)
    code += _argument_rule(architecture.tgkill, 0, test=_JUMP_EQUAL, value=own_pid, allowed=True)
    code += _argument_rule(architecture.prlimit, 0, test=_JUMP_EQUAL, value=0, allowed=True)
    return b"".join([*code, _return(_ALLOW)])


def _argument_rule(number: int, argument: int, *, test: int, value: int, allowed: bool) -> list[bytes]:
    """The call `number` is `allowed` (else refused) when the test of the low half of an argument succeeds."""
    yes, no = (_ALLOW, _ERRNO | errno.EPERM) if allowed else (_ERRNO | errno.EPERM, _ALLOW)
    return [
        _instruction(_JUMP_EQUAL, number, if_false=4),
        _load(_ARGUMENTS + 8 * argument),
        _instruction(test, value, if_false=1),
        _return(yes),
        _return(no),
    ]


def _load(offset: int) -> bytes:
    return _instruction(_LOAD, offset)


def _return(value: int) -> bytes:
    return _instruction(_RETURN, value)


def _instruction(code: int, value: int, *, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
