"""Reading numbers and blocks from untrusted bytes without ever leaving them."""

from typing import Literal

from chitram.adapters.codec.formats.structure import Buffer, truncated


class Cursor:
    """A place in a buffer and the end that it may not pass: reading further is `truncated`."""

    __slots__ = ("data", "end", "order", "position")

    def __init__(
        self, data: Buffer, *, position: int = 0, end: int | None = None, order: Literal["big", "little"] = "big"
    ) -> None:
        self.data = data
        self.position = position
        self.end = len(data) if end is None else end
        self.order = order

    @property
    def left(self) -> int:
        return self.end - self.position

    def take(self, length: int) -> bytes:
        """The next `length` bytes."""
        start = self.position
        self.skip(length)
        return self.data[start : self.position]

    def skip(self, length: int) -> None:
        if not 0 <= length <= self.end - self.position:
            raise truncated()
        self.position += length

    def number(self, size: int) -> int:
        """The next unsigned integer of `size` bytes; 0 for none."""
        return int.from_bytes(self.take(size), self.order)
