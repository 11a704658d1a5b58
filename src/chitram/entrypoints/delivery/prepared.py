"""What was worked out for an answer and is asked for again: header fields, rendered metadata."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from chitram.domain.images import ImageRecord

T = TypeVar("T")


class Prepared(Generic[T]):
    """Keeps at most `max_entries` values, each for the very record that it was made of: another one makes it void."""

    def __init__(self, *, max_entries: int) -> None:
        self._max_entries = max_entries
        self._entries: OrderedDict[Hashable, tuple[ImageRecord, T]] = OrderedDict()

    def get(self, key: Hashable, record: ImageRecord) -> T | None:
        """What was made for `key` of a record that is equal to `record`."""
        entry = self._entries.get(key)
        if entry is None or (entry[0] is not record and entry[0] != record):
            return None
        self._entries.move_to_end(key)
        return entry[1]

    def put(self, key: Hashable, record: ImageRecord, value: T) -> T:
        """Keep `value`, which says nothing that is not in `key` and `record`. What was not asked for longest goes."""
        self._entries[key] = (record, value)
        if len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)
        return value
