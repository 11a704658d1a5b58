"""The file that tells a store's root from the bare mount point of a volume that is not there."""

import os
from pathlib import Path

from chitram.adapters.blobs.directories import fsync_directory, make_directories
from chitram.domain.errors import StorageUnavailable

MARKER = ".chitram-store"
_CONTENT = """This directory belongs to a Chitram blob store. Without this file the store is taken for unmounted.
database {owner}
"""
#: What a fresh file system or an earlier, interrupted start may have left in a root that counts as empty.
_HARMLESS = frozenset({"lost+found", ".incoming", MARKER})


def require_marker(root: Path) -> None:
    """Raise StorageUnavailable unless `root` carries the marker. Blocks for one look-up of a cached name."""
    if not (root / MARKER).exists():
        # Clients may see the message, so it does not say where.
        raise StorageUnavailable(f"The store has no {MARKER}: is the volume mounted?")


def prepare_root(root: Path, *, owner: str, expect_data: bool) -> None:
    """Make `root` and its marker at the first start; StorageUnavailable when it is not `owner`'s. Blocks.

    A database that does not know the objects of a store would take all of them for left-overs and erase them.
    """
    content = _CONTENT.format(owner=owner)
    if (root / MARKER).exists():
        _require_content(root, content)
        return
    if expect_data:
        raise StorageUnavailable(f"{root} has no {MARKER} though images are recorded: is the volume mounted?")
    make_directories(root)
    names = {entry.name for entry in root.iterdir()} - _HARMLESS
    strangers = sorted(name for name in names if not name.startswith(f"{MARKER}."))
    if strangers:
        raise StorageUnavailable(f"{root} is not empty and has no {MARKER}: found {strangers[0]!r}")
    _write(root, content)
    # Of two processes that start together the later one's marker stays: it must be the same.
    _require_content(root, content)


def _require_content(root: Path, content: str) -> None:
    if (root / MARKER).read_text() != content:
        raise StorageUnavailable(f"{root} belongs to another database: are DATA_DIR and DATABASE_URL right?")


def _write(root: Path, content: str) -> None:
    """Whole or not at all: a marker that a crash left empty would lock its owner out."""
    new = root / f"{MARKER}.{os.getpid()}"
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    try:
        os.write(fd, content.encode())
        os.fsync(fd)
    finally:
        os.close(fd)
    new.rename(root / MARKER)
    fsync_directory(root)
