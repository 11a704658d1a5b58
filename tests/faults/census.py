"""What lies on the disk and in the database, read with nothing of Chitram's own: SQL and a directory walk.

    python -m tests.faults.census DATA_DIRECTORY

prints it as one JSON object: violations, orphans, staged files, originals without thumbnails, waiting and dead jobs.
"""

import hashlib
import json
import os
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

GONE = frozenset({"condemned", "erasing"})


@dataclass(frozen=True, slots=True)
class BlobRow:
    """A row of `blobs`. `images` is how many images name it; `bands` how many rows its perceptual hash has."""

    id: int
    sha256: str
    generation: str
    state: str
    size: int
    condemned: bool
    corrupt: bool
    thumbnails: bool
    hashed: bool
    images: int
    bands: int

    @property
    def key(self) -> str:
        return f"blobs/{self.sha256[:2]}/{self.sha256}.{self.generation}"


@dataclass(slots=True)
class Census:
    """`images`: id → row of its blob. `objects` and `thumbnails`: key → file. `staged`: files on their way in."""

    blobs: list[BlobRow] = field(default_factory=list)
    images: dict[str, BlobRow] = field(default_factory=dict)
    objects: dict[str, Path] = field(default_factory=dict)
    thumbnails: dict[str, Path] = field(default_factory=dict)
    staged: list[Path] = field(default_factory=list)
    jobs: Counter[str] = field(default_factory=Counter)
    dangling: int = 0
    stray_bands: int = 0
    integrity: str = "ok"

    def orphans(self) -> list[str]:
        """Keys of objects, and of thumbnails' originals, that no row names."""
        named = {blob.key for blob in self.blobs}
        originals = {key.removeprefix("thumbs/").rsplit("/", 2)[0] for key in self.thumbnails}
        return sorted((set(self.objects) | originals) - named)

    def unrendered(self) -> list[str]:
        """Keys of originals that somebody can reach and that have no thumbnails yet."""
        return [blob.key for blob in self.blobs if blob.state == "live" and not blob.thumbnails]

    def violations(self, *, damaged: frozenset[str] = frozenset()) -> list[str]:
        """Everything that must never be so, at no moment. `damaged` are keys of objects that a test has spoilt."""
        found = [] if self.integrity == "ok" else [f"the database is damaged: {self.integrity}"]
        if self.dangling:
            found.append(f"{self.dangling} images name no blob")
        if self.stray_bands:
            found.append(f"{self.stray_bands} perceptual hashes belong to no blob")
        present = Counter(blob.sha256 for blob in self.blobs if blob.state != "erasing")
        found += [f"{sha256} has {n} rows" for sha256, n in present.items() if n > 1]
        for blob in self.blobs:
            found += [f"{blob.key}: {problem}" for problem in self._problems(blob, damaged=damaged)]
        return found

    def _problems(self, blob: BlobRow, *, damaged: frozenset[str]) -> list[str]:
        found = []
        if blob.images and blob.state in GONE:
            found.append(f"{blob.state} although {blob.images} images name it")
        if not blob.images and blob.state == "live":
            found.append("live although no image names it")
        if blob.condemned is not (blob.state in GONE):
            found.append(f"{blob.state} with condemned_at {'set' if blob.condemned else 'unset'}")
        if blob.bands != (4 if blob.hashed else 0):
            found.append(f"{blob.bands} rows of its perceptual hash")
        if blob.state != "erasing" and blob.key not in damaged:
            found += self._damage(blob)
        return found

    def _damage(self, blob: BlobRow) -> list[str]:
        """What is wrong with the bytes of a blob that somebody may still be shown, or be given back."""
        path = self.objects.get(blob.key)
        try:
            if path is None:
                return ["its object is missing"]
            if path.stat().st_size != blob.size:
                return ["its object has another length"]
            return [] if sha256_of(path) == blob.sha256 else ["its object has other bytes"]
        except FileNotFoundError:
            return ["its object went away meanwhile"]


def sha256_of(path: Path) -> str:
    """The digest of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def take_census(data: Path, *, storage: Path | None = None, database: Path | None = None) -> Census:
    """Read everything below the data directory. A server that is at work must hold still for the two to agree.

    Somebody else has to have the database open: the last one to close it would move its log.
    """
    census = Census()
    _read_rows(database or data / "chitram.db", census)
    storage = storage or data / "storage"
    for directory, _, names in os.walk(storage):
        for name in names:
            path = Path(directory) / name
            key = path.relative_to(storage).as_posix()
            if key.startswith("blobs/"):
                census.objects[key] = path
            elif key.startswith("thumbs/"):
                census.thumbnails[key] = path
            elif key.startswith((".staging/", ".incoming/")):
                census.staged.append(path)
    return census


def _read_rows(path: Path, census: Census) -> None:
    with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
        connection.execute("PRAGMA query_only=ON")
        connection.execute("BEGIN")
        census.integrity = connection.execute("PRAGMA quick_check").fetchone()[0]
        rows = connection.execute(
            "SELECT b.id, sha256, generation, state, size, condemned_at IS NOT NULL, corrupt_at IS NOT NULL,"
            " pipeline_version > 0, perceptual_hash IS NOT NULL, (SELECT count(*) FROM images WHERE blob_id = b.id),"
            " (SELECT count(*) FROM perceptual_bands WHERE blob_id = b.id) FROM blobs b"
        )
        for row_id, sha256, generation, state, size, *flags, images, bands in rows:
            census.blobs.append(BlobRow(row_id, sha256, generation, state, size, *map(bool, flags), images, bands))
        by_id = {blob.id: blob for blob in census.blobs}
        for image_id, blob_id in connection.execute("SELECT id, blob_id FROM images"):
            if blob_id in by_id:
                census.images[image_id] = by_id[blob_id]
            else:
                census.dangling += 1
        (census.stray_bands,) = connection.execute(
            "SELECT count(*) FROM perceptual_bands WHERE blob_id NOT IN (SELECT id FROM blobs)"
        ).fetchone()
        census.jobs.update(dict(connection.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall()))


def main() -> None:
    census = take_census(Path(sys.argv[1]))
    found = {
        "violations": census.violations(),
        "orphans": census.orphans(),
        "staged": [path.name for path in census.staged],
        "unrendered": census.unrendered(),
        "ready": census.jobs["ready"],
        "dead": census.jobs["dead"],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
