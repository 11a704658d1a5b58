"""Putting together what is stored: spans of the received file, with new bytes between them."""

from chitram.adapters.codec.formats.structure import Buffer, Pieces, corrupt
from chitram.domain.media import Span

#: A file that falls into more pieces was made to.
MAX_PIECES = 4096


class Assembly:
    """Collects what of `data` is kept, in the order of the new file. Neighbouring spans become one."""

    def __init__(self, data: Buffer) -> None:
        self._data = data
        self._pieces: list[Span | bytes] = []

    @property
    def length(self) -> int:
        """Bytes of the new file so far."""
        return sum(p.length if isinstance(p, Span) else len(p) for p in self._pieces)

    def keep(self, start: int, stop: int) -> None:
        """The bytes from `start` to `stop` as they are."""
        last = self._pieces[-1] if self._pieces else None
        if isinstance(last, Span) and last.offset + last.length == start:
            self._pieces[-1] = Span(last.offset, last.length + stop - start)
        elif stop > start:
            self._append(Span(start, stop - start))

    def insert(self, new: bytes) -> None:
        """`new` bytes."""
        if self._pieces and isinstance(self._pieces[-1], bytes):
            self._pieces[-1] += new
        elif new:
            self._append(new)

    def replace(self, start: int, stop: int, *, new: bytes) -> None:
        """`new` in the place of the bytes from `start` to `stop`: a span where they are the same already."""
        if stop - start == len(new) and self._data[start:stop] == new:
            self.keep(start, stop)
        else:
            self.insert(new)

    def extend(self, other: "Assembly") -> None:
        """Everything that `other`, of the same data, has collected."""
        for piece in other._pieces:  # noqa: SLF001 -- the same class
            if isinstance(piece, bytes):
                self.insert(piece)
            else:
                self.keep(piece.offset, piece.offset + piece.length)

    def finish(self) -> Pieces | None:
        """The pieces; None when they are the file as it is."""
        if self._pieces == [Span(0, len(self._data))]:
            return None
        return tuple(self._pieces)

    def _append(self, piece: Span | bytes) -> None:
        if len(self._pieces) >= MAX_PIECES:
            raise corrupt("it is cut into too many parts")
        self._pieces.append(piece)
