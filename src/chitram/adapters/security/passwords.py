"""Passwords, hashed with bcrypt on threads of their own."""

import asyncio
import contextlib
import hashlib
import math
import os
import re
import sys
import threading
import unicodedata
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import bcrypt

from chitram.domain.errors import ServiceUnavailable
from chitram.domain.users import MAX_PASSWORD

#: What the hashing threads give way to everything else by, on Linux's scale from 0 to 19.
NICENESS = 10
#: Seconds that a hash of cost 12 takes on one core, roughly; each step of the cost doubles it.
_SECONDS_AT_12 = 0.25
# Our own hashes and nothing else. One of a cost beyond 19 would hold a thread for minutes.
_HASH = re.compile(r"\$2b\$(0[4-9]|1[0-9])\$[./A-Za-z0-9]{53}", re.ASCII)

_Result = TypeVar("_Result")


class BcryptPasswords:
    """bcrypt over base64(SHA-256(password)), so that of a long password no byte is cut.

    At most `threads` hashes are made at a time and `max_waiting` wait; who comes then gets ServiceUnavailable. `rounds`
    is the cost, 4 to 19, the logarithm of the work. `blocklist` holds what `is_known` knows.
    """

    def __init__(self, *, rounds: int, threads: int, max_waiting: int, blocklist: frozenset[str] = frozenset()) -> None:
        self._rounds = rounds
        self._places = threads + max_waiting
        self._retry_after = float(math.ceil(_SECONDS_AT_12 * 2 ** (rounds - 12) * self._places / threads))
        self._blocklist = frozenset(map(_comparable, blocklist))
        # Nobody's: the work goes by the salt, and no password is known that gives this checksum.
        self._nobodys = bcrypt.gensalt(rounds).decode() + "." * 31
        self._taken = 0
        self._lock = threading.Lock()
        self._closed = False
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="passwords", initializer=_give_way)

    async def hash(self, password: str) -> str:
        return await self._run(lambda: bcrypt.hashpw(_digest(password), bcrypt.gensalt(self._rounds)).decode())

    async def verify(self, password: str, *, password_hash: str | None) -> bool:
        return await self._run(lambda: self._matches(password, password_hash))

    def is_outdated(self, password_hash: str) -> bool:
        return _cost(password_hash) != self._rounds

    def is_known(self, password: str) -> bool:
        return _comparable(password) in self._blocklist

    def close(self) -> None:
        """End the threads. What they are at is finished, who still waits gets ServiceUnavailable."""
        with self._lock:
            self._closed = True
        self._threads.shutdown(cancel_futures=True)

    @property
    def taken(self) -> int:
        """How many hashes are being made or wait."""
        return self._taken

    def _matches(self, password: str, password_hash: str | None) -> bool:
        cost = None if password_hash is None else _cost(password_hash)
        if password_hash is None or cost is None:
            bcrypt.checkpw(_digest(password), self._nobodys.encode())
            return False
        if bcrypt.checkpw(_digest(password), password_hash.encode()):
            return True
        # An old hash of less cost would tell by its speed that there is such an account. The work of these costs
        # together is what is missing: 2^n = 2^k + 2^k + 2^(k+1) + ... + 2^(n-1).
        for missing in range(cost, self._rounds):
            bcrypt.hashpw(b"", bcrypt.gensalt(missing))
        return False

    async def _run(self, work: Callable[[], _Result]) -> _Result:
        waiting = self._submit(work)
        try:
            return await asyncio.wrap_future(waiting)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and task is not None and not task.cancelling():
                # It was not the caller who gave up: the pool was closed over its head.
                raise ServiceUnavailable(retry_after=self._retry_after) from None
            raise

    def _submit(self, work: Callable[[], _Result]) -> "Future[_Result]":
        with self._lock:
            if self._closed or self._taken >= self._places:
                raise ServiceUnavailable(
                    "Too many people are signing in. Try again shortly.", retry_after=self._retry_after
                )
            self._taken += 1
            submitted = self._threads.submit(work)
        # This runs at once for those who give up while they wait, and at the end of the work for everybody else:
        # to give up does not stop a hash that is being made.
        submitted.add_done_callback(self._leave)
        return submitted

    def _leave(self, _done: "Future[_Result]") -> None:
        with self._lock:
            self._taken -= 1


def read_blocklist(path: Path) -> frozenset[str]:
    """The passwords in the file at `path`, UTF-8, one a line; blank lines do not count. OSError."""
    # Public lists hold lines of other encodings; they match nothing, and the others must not be lost for them.
    lines = path.read_text(encoding="utf-8-sig", errors="surrogateescape").split("\n")
    return frozenset(word for line in lines if (word := line.rstrip("\r")).strip())


def _digest(password: str) -> bytes:
    """What bcrypt is given: 44 characters.

    NFC makes one password of what different keyboards write for the same characters. NFKC would also make one of
    different characters, so not every one would count (RFC 8265 section 4.2 decides the same). Longer passwords than
    anybody can have are not normalised, for that takes time by the square of their length.
    """
    text = unicodedata.normalize("NFC", password) if len(password) <= MAX_PASSWORD else password
    return b64encode(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())


def _comparable(password: str) -> str:
    return unicodedata.normalize("NFC", password).casefold() if len(password) <= MAX_PASSWORD else password


def _cost(password_hash: str) -> int | None:
    found = _HASH.fullmatch(password_hash)
    return int(found[1]) if found else None


def _give_way() -> None:
    if sys.platform == "linux":  # Elsewhere priorities are of whole processes.
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
