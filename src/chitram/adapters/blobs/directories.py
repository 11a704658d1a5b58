"""Directories of a local store, made so that a power cut cannot take away what was put into them."""

import os
import stat
import threading
from pathlib import Path


def fsync_directory(path: Path) -> None:
    """Bring the entries of the directory at `path` to the disk. Blocks."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_directories(path: Path) -> None:
    """Make the directory at `path` and what is missing above it, each with its entry on the disk. Blocks; OSError."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=0o750, exist_ok=True)
        fsync_directory(each.parent)
    path.mkdir(exist_ok=True)  # something else in its place is an error


class Directories:
    """The directories below `root`, with a memory of those whose own entry is on the disk for sure.

    That one exists says nothing: another process may have made it an instant ago. So the parent of each is synced once
    by each process. Paths are keys' directories: `/`-separated, relative; the empty one is the root. All methods block.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._mutex = threading.Lock()
        self._settled: set[str] = {""}

    def make(self, directory: str) -> tuple[str, ...]:
        """Make `directory` and what is missing above it; returns those that are not settled yet, uppermost first."""
        if directory in self._settled:  # the usual case
            return ()
        unsettled: list[str] = []
        path = ""
        for part in directory.split("/"):
            path = f"{path}/{part}" if path else part
            if path not in self._settled:
                _make(self._root / path)
                unsettled.append(path)
        return tuple(unsettled)

    def settle(self, directories: tuple[str, ...]) -> None:
        """Bring the entries of `directories` in their parents to the disk, and remember that."""
        for path in directories:
            parent = path.rpartition("/")[0]
            fsync_directory(self._root / parent)
        with self._mutex:
            self._settled.update(directories)

    def forget(self, directory: str) -> None:
        """`directory` is gone or said to be: nothing about it or below it is known any more. The root stays settled."""
        if not directory:
            return
        below = f"{directory}/"
        with self._mutex:
            gone = [path for path in self._settled if path == directory or path.startswith(below)]
            self._settled.difference_update(gone)


def _make(path: Path) -> None:
    try:
        path.mkdir(mode=0o750)
    except FileExistsError:
        if not stat.S_ISDIR(path.lstat().st_mode):
            # A link would lead out of the store, and a file in the way is none of ours.
            raise NotADirectoryError(f"not a directory: {path}") from None
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o777 != 0o750:
        # The mask of the process took something away; an inherited group bit stays.
        path.chmod(mode & ~0o777 | 0o750)
