"""A backup's rows in a directory: one compressed file of JSON lines a table, and `manifest.json`, written last.

Each copy's rows have a directory of their own, which the manifest names: while the next copy is made, and when that is
cut short, the one of before is whole.
"""

import gzip
import json
import os
import secrets
import shutil
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from chitram.domain.errors import StorageFull, StorageUnavailable
from chitram.ports.archive import Manifest
from chitram.ports.repositories.rows import Row

MANIFEST = "manifest.json"
#: What this program writes, and the only form that it reads.
FORMAT = 1
#: Begins the names of directories of rows, and is the member of the manifest that names its own.
_ROWS = "rows"
_NO_ROOM = frozenset({28, 122})  # ENOSPC, EDQUOT
_FILE_MODE, _DIRECTORY_MODE = 0o600, 0o700
_BATCH = 500


class DirectoryArchive:
    """ports.archive.Archive. Rows carry password hashes and e-mails: nobody but the owner may read the files."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._rows = ""
        self._files: dict[str, tuple[gzip.GzipFile, BinaryIO]] = {}

    async def begin(self) -> None:
        with _translated():
            self._rows = f"{_ROWS}-{secrets.token_hex(8)}"
            self._root.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
            self._remove_rows(but=self._described().get(_ROWS, _ROWS))
            (self._root / self._rows).mkdir(mode=_DIRECTORY_MODE)
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
            _sync_directory(self._root / self._rows)
            text = json.dumps({"format": FORMAT, _ROWS: self._rows, **asdict(manifest)}, indent=2, default=_plain)
            temporary = self._root / f"{MANIFEST}.new"
            descriptor = os.open(temporary, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, _FILE_MODE)
            with os.fdopen(descriptor, "w") as written:
                written.write(text + "\n")
                written.flush()
                os.fsync(written.fileno())
            temporary.rename(self._root / MANIFEST)
            _sync_directory(self._root)
            self._remove_rows(but=self._rows)

    async def manifest(self) -> Manifest | None:
        found = self._described()
        if not found:
            return None
        try:
            told = {name: value for name, value in found.items() if name not in ("format", _ROWS)}
            return Manifest(**{**told, "made_at": datetime.fromisoformat(found["made_at"])})
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{MANIFEST} is damaged") from error

    async def read(self, table: str) -> AsyncIterator[Sequence[Row]]:
        path = self._root / self._described().get(_ROWS, _ROWS) / _file_name(table)
        if not path.exists():  # a table without rows has no file
            return
        with _translated(), gzip.open(path, "rb") as lines:
            while batch := _batch(lines, path):
                yield batch

    def _described(self) -> dict[str, Any]:
        """The manifest's members; none before there is one."""
        with _translated():
            try:
                found = json.loads((self._root / MANIFEST).read_text())
            except FileNotFoundError:
                return {}
            except ValueError as error:
                raise ValueError(f"{MANIFEST} is damaged") from error
        # The directory is one beside the manifest, whatever somebody wrote into it.
        if not isinstance(found, dict) or found.get("format") != FORMAT or "/" in str(found.get(_ROWS, _ROWS)):
            raise ValueError(f"{MANIFEST} was not written by a program that this one understands")
        return found

    def _remove_rows(self, *, but: str) -> None:
        """Remove the rows of every copy but one: of older ones, and of those that were cut short."""
        for path in self._root.glob(f"{_ROWS}*"):
            if path.name != but:
                shutil.rmtree(path)

    def _create(self, table: str) -> tuple[gzip.GzipFile, BinaryIO]:
        descriptor = os.open(
            self._root / self._rows / _file_name(table), os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, _FILE_MODE
        )
        raw = os.fdopen(descriptor, "wb")
        # Without a moment in it, so that the same rows make the same file.
        return gzip.GzipFile(fileobj=raw, mode="wb", mtime=0), raw

    def close(self) -> None:
        """Let go of every file."""
        files, self._files = self._files, {}
        for file, raw in files.values():
            file.close()
            raw.close()


def _file_name(table: str) -> str:
    return f"{table}.jsonl.gz"


def _batch(lines: gzip.GzipFile, path: Path) -> Sequence[Row]:
    try:
        return [json.loads(line) for line in islice(lines, _BATCH)]
    except (EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        raise ValueError(f"{path.parent.name}/{path.name} is damaged") from error


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
