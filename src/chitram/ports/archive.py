"""A backup's rows: tables as files, and a manifest that is there when everything else is."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from chitram.ports.repositories.rows import Row


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds. `revision` is that of the schema, `identity` that of the database; `tables`: table → rows.

    `missing` are the keys of objects that the store no longer had whole when the copy was made.
    """

    version: str
    revision: str
    identity: str
    made_at: datetime
    tables: Mapping[str, int]
    objects: int
    bytes: int
    missing: Sequence[str]


class Archive(Protocol):
    """Every method raises StorageUnavailable when the archive cannot be read or written, StorageFull without room."""

    async def begin(self) -> None:
        """Begin a new copy. The one of before stays the one that is there until `finish`."""
        ...

    async def write(self, table: str, rows: Sequence[Row]) -> None:
        """Append rows of a table."""
        ...

    async def finish(self, manifest: Manifest) -> None:
        """Everything is there and on the disk: say so."""
        ...

    async def manifest(self) -> Manifest | None:
        """What the archive holds; None before the first whole copy. ValueError when it is not to be understood."""
        ...

    def read(self, table: str) -> AsyncIterator[Sequence[Row]]:
        """The rows of a table in the last whole copy, in the order in which they were written, some at a time.

        ValueError when they are damaged.
        """
        ...
