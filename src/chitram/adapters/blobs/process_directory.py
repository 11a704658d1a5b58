"""A directory for the temporary files of one process, which any other process can tell from a dead one's."""

import fcntl
import os
import secrets
import shutil
import threading
from contextlib import suppress
from pathlib import Path

_PREFIX = "process-"
_ATTEMPTS = 16


class ProcessDirectory:
    """A sub-directory of `parent` that is held with a lock for as long as this process lives.

    Nobody but the owner looks in: what is on its way has its metadata still. The kernel drops the lock when the process
    ends, however it ends, so a directory that can be locked has no owner any more. Two of these in one process do not
    take each other's files either. All methods block.
    """

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._mutex = threading.Lock()
        self._held: tuple[Path, int] | None = None

    def create_file(self) -> tuple[Path, int]:
        """A new, empty file of mode 0640: its path and a descriptor open for reading and writing."""
        with self._mutex:
            try:
                return self._create(self._acquire())
            except FileNotFoundError:
                # Somebody has cleared the directory away under us; the lock on it is worth nothing any more.
                self._release()
                return self._create(self._acquire())

    def files(self) -> list[Path]:
        """The files in this process's directory."""
        with self._mutex:
            if self._held is None:
                return []
            with suppress(FileNotFoundError):
                return list(self._held[0].iterdir())
            return []

    def sweep(self) -> int:
        """Remove the directories of processes that are dead; how many files that were."""
        try:
            candidates = [path for path in self._parent.iterdir() if path.name.startswith(_PREFIX)]
        except FileNotFoundError:
            return 0
        return sum(_remove_if_dead(path) for path in candidates)

    def close(self) -> None:
        """Give the directory up, with everything in it."""
        with self._mutex:
            if self._held is not None:
                shutil.rmtree(self._held[0], ignore_errors=True)
            self._release()

    def _acquire(self) -> Path:
        if self._held is not None:
            return self._held[0]
        self._parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        for _ in range(_ATTEMPTS):
            path = self._parent / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
            path.mkdir(mode=0o700)
            fd = _lock(path)
            if fd is not None:
                self._held = (path, fd)
                return path
            # A sweeper met the directory before it was locked and is taking it away: leave it to the sweeper.
        raise BlockingIOError(f"cannot hold a directory below {self._parent}")

    def _release(self) -> None:
        if self._held is not None:
            os.close(self._held[1])
            self._held = None

    @staticmethod
    def _create(directory: Path) -> tuple[Path, int]:
        path = directory / secrets.token_hex(8)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
        try:
            # The mask of the process must not take away the group's right: a web server in front may belong to it, and
            # reads the file once it has its name in the store.
            os.fchmod(fd, 0o640)
        except BaseException:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        return path, fd


def _lock(path: Path) -> int | None:
    """A descriptor that holds the lock of the directory at `path`; None when another one does or it is gone."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(fd), path.stat()):
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def _remove_if_dead(path: Path) -> int:
    fd = _lock(path)
    if fd is None:
        return 0
    try:
        files = len(list(path.iterdir()))
        shutil.rmtree(path)
        return files
    finally:
        os.close(fd)
