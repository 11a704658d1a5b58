"""Run a Python module on a small file system of its own, in a mount namespace that ends with it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

FILE_SYSTEMS = {
    "tmpfs": "mount -t tmpfs -o size=6m,nr_inodes=2000 tmpfs disk",
    "tmpfs-few-inodes": "mount -t tmpfs -o size=6m,nr_inodes=40 tmpfs disk",
    "ext4": "truncate -s 14M image && mkfs.ext4 -qF -m 0 image && mount -o loop image disk",
    "ext4-few-inodes": "truncate -s 14M image && mkfs.ext4 -qF -m 0 -N 64 image && mount -o loop image disk",
}


def require_mounting() -> None:
    """The test fails where nothing can be mounted."""
    assert os.geteuid() == 0, "mounting a small disk takes root: run as root, or leave these tests out (make test-fast)"
    for program, package in (("unshare", "util-linux"), ("mkfs.ext4", "e2fsprogs")):
        assert shutil.which(program), f"{program} is missing: install the Debian package {package}"


def run_on(file_system: str, *, directory: Path, module: str, arguments: Sequence[str] = ()) -> str:
    """Standard output of `python -m module DISK *arguments`, DISK being the mount point of a fresh file system."""
    require_mounting()
    disk = directory / "disk"
    disk.mkdir()
    # The namespace goes with its last process, and with it the mount and its loop device.
    script = f'set -e; cd "$1"; {FILE_SYSTEMS[file_system]}; shift; cd "$1"; shift; exec "$@"'
    command = [sys.executable, "-m", module, str(disk), *arguments]
    namespace = ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", str(directory), str(Path.cwd())]
    finished = subprocess.run([*namespace, *command], capture_output=True, text=True, check=False, timeout=120)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout
