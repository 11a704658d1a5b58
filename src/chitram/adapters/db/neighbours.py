"""Whether other servers run on the same database file: then what this one has cached may be out of date.

The first server holds the lock beside the database; later ones are its guests. A guest takes a share in a second lock,
then leaves a mark, and only then serves; so whoever looks for the mark after a guest has answered anything finds it.
"""

import fcntl
import os
from pathlib import Path

from chitram.adapters.db.engine import FILE_MODE, database_path


class Neighbours:
    """Made when a server starts, closed when it ends; a process that is killed lets go of its locks as well."""

    def __init__(self, *, url: str) -> None:
        """`url` as for open_sqlite. OSError when the files beside the database cannot be made."""
        path = database_path(url)
        self._mark = Path(f"{path}.shared")
        self._first = _open(Path(f"{path}.first.lock"))
        self._guests = _open(Path(f"{path}.guests.lock"))
        self._is_guest = not _try_lock(self._first)
        if self._is_guest:
            fcntl.flock(self._guests, fcntl.LOCK_SH)
            self._mark.touch(mode=FILE_MODE)
        elif _try_lock(self._guests):
            # Nobody is here but us: a mark is one of servers that are gone. New guests wait for the lock until then.
            self._mark.unlink(missing_ok=True)
            fcntl.flock(self._guests, fcntl.LOCK_UN)

    def present(self) -> bool:
        """Whether other servers have come since this one started, or were there before. Costs a look-up of a name."""
        return self._is_guest or os.access(self._mark, os.F_OK)

    def close(self) -> None:
        """Leave."""
        os.close(self._guests)
        os.close(self._first)


def _open(path: Path) -> int:
    return os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, FILE_MODE)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
