"""A backup's rows in a directory: one compressed file of JSON lines a table, and `manifest.json`, written last."""

import gzip
import json
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from chitram.domain.errors import StorageFull, StorageUnavailable
from chitram.ports.archive import Manifest
from chitram.ports.repositories.rows import Row

MANIFEST = "manifest.json"
#: What this program writes, and the only form that it reads.
FORMAT = 1
_NO_ROOM = frozenset({28, 122})  # ENOSPC, EDQUOT
_FILE_MODE, _DIRECTORY_MODE = 0o600, 0o700
_BATCH = 500


class DirectoryArchive:
    """ports.archive.Archive. Rows carry password hashes and e-mails: nobody but the owner may read the files."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files: dict[str, tuple[gzip.GzipFile, BinaryIO]] = {}

    async def begin(self) -> None:
        with _translated():
            (self._root / "rows").mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
            (self._root / MANIFEST).unlink(missing_ok=True)
            for old in (self._root / "rows").iterdir():
                old.unlink()
            _sync_directory(self._root)

    async def write(self, table: str, rows: Sequence[Row]) -> None:
        with _translated():
            if table not in self._files:
                self._files[table] = self._create(table)
            self._files[table][0].writelines(json.dumps(row, sort_keys=True).encode() + b"\n" for row in rows)

    async def finish(self, manifest: Manifest) -> None:
        with _translated():
            for file, raw in self._files.values():
                file.close()
                raw.flush()
                os.fsync(raw.fileno())
            self.close()
            _sync_directory(self._root / "rows")
            text = json.dumps({"format": FORMAT, **asdict(manifest)}, indent=2, default=_plain)
            temporary = self._root / f"{MANIFEST}.new"
            descriptor = os.open(temporary, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, _FILE_MODE)
            with os.fdopen(descriptor, "w") as written:
                written.write(text + "\n")
                written.flush()
                os.fsync(written.fileno())
            temporary.rename(self._root / MANIFEST)
            _sync_directory(self._root)

    async def manifest(self) -> Manifest | None:
        with _translated():
            try:
                found = json.loads((self._root / MANIFEST).read_text())
            except FileNotFoundError:
                return None
        if not isinstance(found, dict) or found.pop("format", None) != FORMAT:
            raise ValueError(f"{MANIFEST} was not written by a program that this one understands")
        try:
            return Manifest(**{**found, "made_at": datetime.fromisoformat(found["made_at"])})
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{MANIFEST} is damaged") from error

    async def read(self, table: str) -> AsyncIterator[Sequence[Row]]:
        path = self._path(table)
        if not path.exists():  # a table without rows has no file
            return
        with _translated(), gzip.open(path, "rb") as lines:
            while batch := [json.loads(line) for line in islice(lines, _BATCH)]:
                yield batch

    def _path(self, table: str) -> Path:
        return self._root / "rows" / f"{table}.jsonl.gz"

    def _create(self, table: str) -> tuple[gzip.GzipFile, BinaryIO]:
        descriptor = os.open(self._path(table), os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, _FILE_MODE)
        raw = os.fdopen(descriptor, "wb")
        # Without a moment in it, so that the same rows make the same file.
        return gzip.GzipFile(fileobj=raw, mode="wb", mtime=0), raw

    def close(self) -> None:
        """Let go of every file."""
        files, self._files = self._files, {}
        for file, raw in files.values():
            file.close()
            raw.close()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StorageFull from error
        raise StorageUnavailable("The backup's directory cannot be read or written.") from error


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _plain(value: object) -> str:
    assert isinstance(value, datetime)
    return value.isoformat()
