"""Landlock: the kernel's way to give up every file that is not open yet (landlock(7))."""

import ctypes
import os
import struct

# The same numbers on every architecture.
_CREATE_RULESET, _RESTRICT_SELF = 444, 446
_VERSION = 1
#: How many kinds of access to files the first versions of the interface know.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
_LATEST_FILE_RIGHTS = 16
#: The versions that brought TCP (bind, connect), and abstract sockets and signals outside the own domain.
_WITH_NETWORK, _WITH_SCOPES = 4, 6


def restrict(libc: ctypes.CDLL) -> bool:
    """Give up, for good, all access to files by path and all that Landlock knows beside it; False where the kernel has
    none. What is open stays open. Needs PR_SET_NO_NEW_PRIVS before it.
    """
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION))
    if version < 1:
        return False
    attributes = _attributes(version)
    # Everything is handled and no rule grants anything of it.
    ruleset = libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint(0))
    if ruleset < 0:
        return False
    try:
        return bool(libc.syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint(0)) == 0)
    finally:
        os.close(ruleset)


def _attributes(version: int) -> bytes:
    """The `landlock_ruleset_attr` that handles all that `version` of the interface can, in the length it knows."""
    fields = [(1 << _FILE_RIGHTS.get(version, _LATEST_FILE_RIGHTS)) - 1]
    if version >= _WITH_NETWORK:
        fields.append(0b11)
    if version >= _WITH_SCOPES:
        fields.append(0b11)
    return struct.pack(f"={len(fields)}Q", *fields)
