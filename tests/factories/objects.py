"""What lies in a store, behind the back of whoever serves it."""

from pathlib import Path
from typing import Protocol

import obstore

from chitram.adapters.blobs.s3_client import S3Bucket, open_client

PREFIXES = ("blobs/", "thumbs/")


class Objects(Protocol):
    """The objects of a store."""

    def names(self) -> set[str]:
        """Of everything that is kept there: originals and thumbnails."""
        ...

    def read(self, key: str) -> bytes: ...

    def write(self, key: str, data: bytes) -> None:
        """Put other bytes in the place of an object."""
        ...

    def erase(self, key: str) -> None: ...


class LocalObjects:
    """Files below a directory."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> set[str]:
        found = {path.relative_to(self._root).as_posix() for path in self._root.rglob("*") if path.is_file()}
        return {key for key in found if key.startswith(PREFIXES)}

    def read(self, key: str) -> bytes:
        return (self._root / key).read_bytes()

    def write(self, key: str, data: bytes) -> None:
        (self._root / key).write_bytes(data)

    def erase(self, key: str) -> None:
        (self._root / key).unlink()


class S3Objects:
    """Objects in a bucket."""

    def __init__(self, bucket: S3Bucket) -> None:
        self._client = open_client(bucket, request_timeout=30, patient=True)

    def names(self) -> set[str]:
        return {
            found["path"]
            for prefix in PREFIXES
            for batch in obstore.list(self._client, prefix.rstrip("/"))
            for found in batch
        }

    def read(self, key: str) -> bytes:
        return bytes(obstore.get(self._client, key).bytes())

    def write(self, key: str, data: bytes) -> None:
        obstore.put(self._client, key, data)

    def erase(self, key: str) -> None:
        obstore.delete(self._client, key)
