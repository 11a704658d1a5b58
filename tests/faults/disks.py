"""Small file systems in a mount namespace of their own, in which a real server can be started."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.faults.small_disk import require_mounting


class Disk:
    """A disk that is mounted at `inside` for those started with `launcher`; everybody else sees it at `outside`."""

    def __init__(self, directory: Path, *, kind: str, size: str) -> None:
        self.inside = directory / "disk"
        self.inside.mkdir()
        self._image = directory / "image"
        self._tmpfs = kind == "tmpfs"
        self._size = size
        if not self._tmpfs:
            subprocess.run(["truncate", "-s", size, self._image], check=True)
            subprocess.run(["mkfs.ext4", "-qF", "-m", "0", self._image], check=True)
        self._holder = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sleep", "infinity"])
        self._await_namespace()
        self.launcher = ["nsenter", "-t", str(self._holder.pid), "-m", "--"]
        self.outside = Path(f"/proc/{self._holder.pid}/root") / self.inside.relative_to("/")

    def mount(self) -> None:
        """Mount it, as it was left."""
        what = ["-t", "tmpfs", "-o", f"size={self._size}", "tmpfs"] if self._tmpfs else ["-o", "loop", str(self._image)]
        self.run("mount", *what, str(self.inside))

    def unmount(self) -> None:
        """Unmount it, once those who were killed have let go of it."""
        deadline = time.monotonic() + 10
        while subprocess.run([*self.launcher, "umount", self.inside], check=False, capture_output=True).returncode:
            assert time.monotonic() < deadline, "somebody still uses the disk"
            time.sleep(0.05)

    def run(self, *command: str) -> None:
        """Run a command that sees the disk."""
        subprocess.run([*self.launcher, *command], check=True, capture_output=True)

    def census(self, data: Path) -> dict[str, Any]:
        """The census of a data directory on the disk, by a process that sees it: SQLite takes no way around."""
        command = [*self.launcher, sys.executable, "-m", "tests.faults.census", str(data)]
        # Entering a namespace leads to its root directory.
        environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
        finished = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        found: dict[str, Any] = json.loads(finished.stdout)
        return found

    def close(self) -> None:
        """The namespace goes with its last process, and with it the mount and its loop device."""
        self._holder.kill()
        self._holder.wait()

    def _await_namespace(self) -> None:
        ours = Path("/proc/self/ns/mnt").readlink()
        deadline = time.monotonic() + 10
        while True:
            try:
                if Path(f"/proc/{self._holder.pid}/ns/mnt").readlink() != ours:
                    return
            except OSError:
                pass
            assert time.monotonic() < deadline, "no mount namespace"
            time.sleep(0.01)


@contextmanager
def mounted_disk(directory: Path, *, kind: str, size: str) -> Iterator[Disk]:
    """A fresh `kind` (ext4 or tmpfs) of `size`, mounted."""
    require_mounting()
    disk = Disk(directory, kind=kind, size=size)
    try:
        disk.mount()
        yield disk
    finally:
        disk.close()
