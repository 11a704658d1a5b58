"""The jobs of a decoder that was taken over, under a kernel that has no Landlock: a filter takes it away."""

import ctypes
import errno
import struct

from tests.faults import misbehaving_jobs

_LANDLOCK_CREATE_RULESET = 444


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def preload() -> None:
    """Let this process and its children find no Landlock: load the number, compare, refuse, allow."""
    code = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            (0x20, 0, 0, 0),
            (0x15, 0, 1, _LANDLOCK_CREATE_RULESET),
            (0x06, 0, 0, 0x00050000 | errno.ENOSYS),
            (0x06, 0, 0, 0x7FFF0000),
        )
    )
    libc = ctypes.CDLL(None)
    libc.prctl(38, 1, 0, 0, 0)
    if libc.prctl(22, 2, ctypes.byref(_Program(len(code) // 8, code)), 0, 0) != 0:
        raise OSError("no filter can be set")


JOBS = misbehaving_jobs.JOBS
