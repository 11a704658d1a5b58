"""Caches in this process's memory: the twins of the shared ones."""

from collections import OrderedDict
from collections.abc import Callable, Iterable

from chitram.domain.images import ImageRecord
from chitram.ports.cache import Miss
from chitram.ports.clock import Clock

#: Epochs are shared by all ids of a slot: at worst an invalidation keeps somebody else's fill from being kept.
_SLOTS = 4096

#: What an entry takes beside its key and its bytes: headers and places in the dictionary. Measured: 147 to 157 bytes.
ENTRY_OVERHEAD = 160


class MemoryRecordCache:
    """At most `max_entries` records, the least recently used go first, each for `ttl` seconds.

    A ticket is the epoch of the id's slot at the time of the miss, and every invalidation begins a new epoch. So a
    record that was read before an invalidation cannot be filled in after it, and tickets never used cost nothing.

    `version` says which state of the database records come from; when it changes, everything is forgotten. That keeps
    several processes on one database honest, none of which hears of the others' invalidations.
    """

    enabled = True
    backend = "memory"

    def __init__(
        self, *, max_entries: int, ttl: float, clock: Clock, version: Callable[[], object] = lambda: None
    ) -> None:
        self._version = version
        self._seen: object = None
        self._max_entries = max_entries
        self._ttl = ttl
        self._clock = clock
        self._entries: OrderedDict[str, tuple[ImageRecord, float]] = OrderedDict()
        self._epochs = [0] * _SLOTS

    def __len__(self) -> int:
        return len(self._entries)

    async def get(self, image_id: str) -> ImageRecord | Miss:
        version = self._version()
        if version != self._seen:
            self._entries.clear()
            self._seen = version
        entry = self._entries.get(image_id)
        if entry is not None:
            record, expires_at = entry
            if self._clock.monotonic() < expires_at:
                self._entries.move_to_end(image_id)
                return record
            del self._entries[image_id]
        return Miss((version, self._epochs[hash(image_id) % _SLOTS]))

    async def fill(self, image_id: str, record: ImageRecord, *, ticket: object) -> None:
        if ticket != (self._version(), self._epochs[hash(image_id) % _SLOTS]):
            return
        self._entries[image_id] = (record, self._clock.monotonic() + self._ttl)
        self._entries.move_to_end(image_id)
        if len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)

    async def invalidate(self, image_ids: Iterable[str]) -> None:
        for image_id in image_ids:
            self._epochs[hash(image_id) % _SLOTS] += 1
            self._entries.pop(image_id, None)

    async def drop(self, image_ids: Iterable[str]) -> None:
        await self.invalidate(image_ids)

    async def clear(self) -> None:
        self._epochs = [epoch + 1 for epoch in self._epochs]
        self._entries.clear()

    async def check(self) -> bool:
        return True


class DisabledRecordCache:
    """No cache: everything is a miss and nothing is kept."""

    enabled = False
    backend = "disabled"

    async def get(self, image_id: str) -> ImageRecord | Miss:  # noqa: ARG002  (the port has it)
        return Miss(None)

    async def fill(self, image_id: str, record: ImageRecord, *, ticket: object) -> None:
        """Nothing is kept."""

    async def invalidate(self, image_ids: Iterable[str]) -> None:
        """There is nothing to forget."""

    async def drop(self, image_ids: Iterable[str]) -> None:
        """There is nothing to forget."""

    async def clear(self) -> None:
        """There is nothing to forget."""

    async def check(self) -> bool:
        return True


class MemoryByteCache:
    """At most `max_bytes`, bookkeeping included, the least recently used go first; none over `max_object_bytes`."""

    def __init__(self, *, max_bytes: int, max_object_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._max_object_bytes = max_object_bytes
        self._entries: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    @property
    def bytes_held(self) -> int:
        """What the entries take, bookkeeping included."""
        return self._bytes

    def get(self, key: str) -> bytes | None:
        data = self._entries.get(key)
        if data is not None:
            self._entries.move_to_end(key)
        return data

    def put(self, key: str, data: bytes) -> None:
        # Under one key there are always the same bytes: one that is there already need not be replaced.
        if len(data) > self._max_object_bytes or key in self._entries:
            return
        self._entries[key] = data
        self._bytes += _cost(key, data)
        while self._bytes > self._max_bytes:
            self._bytes -= _cost(*self._entries.popitem(last=False))


def _cost(key: str, data: bytes) -> int:
    return len(key) + len(data) + ENTRY_OVERHEAD
