"""The file that tells a store's root from the bare mount point of a volume that is not there."""

import os
from pathlib import Path

from chitram.adapters.blobs.directories import fsync_directory
from chitram.domain.errors import StorageUnavailable

MARKER = ".chitram-store"
_CONTENT = b"This directory belongs to a Chitram blob store. Without this file the store is taken for unmounted.\n"
#: What a fresh file system or an earlier, interrupted start may have left in a root that counts as empty.
_HARMLESS = frozenset({"lost+found", ".incoming"})


def require_marker(root: Path) -> None:
    """Raise StorageUnavailable unless `root` carries the marker. Blocks for one look-up of a cached name."""
    if not (root / MARKER).exists():
        # Clients may see the message, so it does not say where.
        raise StorageUnavailable(f"The store has no {MARKER}: is the volume mounted?")


def prepare_root(root: Path, *, expect_data: bool) -> None:
    """Make `root` and its marker at the first start; StorageUnavailable when it is not ours. Blocks."""
    if (root / MARKER).exists():
        return
    if expect_data:
        raise StorageUnavailable(f"{root} has no {MARKER} though images are recorded: is the volume mounted?")
    _make(root)
    strangers = sorted({entry.name for entry in root.iterdir()} - _HARMLESS)
    if strangers:
        raise StorageUnavailable(f"{root} is not empty and has no {MARKER}: found {strangers[0]!r}")
    _write(root)


def _make(root: Path) -> None:
    missing = [path for path in (root, *root.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o750, exist_ok=True)
        fsync_directory(path.parent)


def _write(root: Path) -> None:
    fd = os.open(root / MARKER, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        os.write(fd, _CONTENT)
        os.fsync(fd)
    finally:
        os.close(fd)
    fsync_directory(root)
