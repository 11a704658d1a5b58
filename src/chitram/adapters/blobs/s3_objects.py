"""Objects of an S3 service that are being read."""

from collections.abc import Awaitable, Callable

from chitram.domain.errors import StorageUnavailable

#: What opening an object brings along: a thumbnail is had with one request.
FIRST_BLOCK = 256 * 1024
#: What is fetched at a time when an object is read from front to back.
READ_AHEAD = 1024 * 1024

#: Gives exactly the bytes from an offset on, so many of them, of the object as it was opened.
Fetch = Callable[[int, int], Awaitable[bytes]]


class S3OpenBlob:
    """Reads in blocks, each asked for with the entity tag of the first: bytes of two objects never mix.

    An object that was erased or replaced meanwhile cannot be read on: then StorageUnavailable is raised.
    """

    def __init__(self, fetch: Fetch, *, size: int, first: bytes) -> None:
        self._fetch: Fetch | None = fetch
        self._size = size
        self._start = 0
        self._block = first

    @property
    def size(self) -> int:
        return self._size

    async def read(self, offset: int, length: int) -> bytes:
        if self._fetch is None or min(offset, length) < 0 or offset + length > self._size:
            raise StorageUnavailable("the object does not have these bytes")
        held = self._held(offset, length)
        if len(held) == length:
            return held
        begin, wanted = offset + len(held), length - len(held)
        # Who goes on where the last block ended will want what follows too.
        follows = begin == self._start + len(self._block)
        count = min(max(wanted, READ_AHEAD), self._size - begin) if follows else wanted
        block = await self._fetch(begin, count)
        self._start, self._block = begin, block
        return held + block[:wanted] if held else block[:wanted]

    def cached_file(self, offset: int, length: int) -> int | None:  # noqa: ARG002  (the port has them)
        """There is no file."""
        return None

    async def aclose(self) -> None:
        self._fetch = None
        self._block = b""

    def _held(self, offset: int, length: int) -> bytes:
        """As much from `offset` on as the last block has."""
        begin = offset - self._start
        return self._block[begin : begin + length] if 0 <= begin < len(self._block) else b""
