"""The one thing of the metadata that the picture needs: which way is up."""

from typing import Literal

_TAG = 0x0112
_MINIMAL = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0%b\0\0\0\0\0\0"
#: Where each Exif orientation puts the corners of the stored picture, clockwise from the top left.
_CORNERS: dict[tuple[int, int, int, int], int] = {
    (0, 1, 2, 3): 1,
    (1, 0, 3, 2): 2,
    (2, 3, 0, 1): 3,
    (3, 2, 1, 0): 4,
    (0, 3, 2, 1): 5,
    (3, 0, 1, 2): 6,
    (2, 1, 0, 3): 7,
    (1, 2, 3, 0): 8,
}


def minimal_tiff(orientation: int) -> bytes:
    """The smallest Exif block that says `orientation` (2 to 8) and nothing else: 26 bytes."""
    return _MINIMAL % bytes((orientation,))


def read_orientation(tiff: bytes) -> int:
    """The orientation, 1 to 8, that the first directory of an Exif block tells; 1 when it tells none that is valid.

    Nothing else is looked at and no other directory is followed, so that loops and bombs have nothing to work on.
    """
    order: Literal["big", "little"] = "little" if tiff[:2] == b"II" else "big"
    if tiff[:4] not in (b"II*\0", b"MM\0*"):
        return 1
    start = int.from_bytes(tiff[4:8], order)
    count = int.from_bytes(tiff[start : start + 2], order)
    for at in range(start + 2, min(start + 2 + 12 * count, len(tiff) - 11), 12):
        if int.from_bytes(tiff[at : at + 2], order) == _TAG:
            size = {1: 1, 3: 2, 4: 4}.get(int.from_bytes(tiff[at + 2 : at + 4], order), 0)
            value = int.from_bytes(tiff[at + 8 : at + 8 + size], order)
            return value if 1 <= value <= 8 else 1
    return 1


class Turning:
    """Adds up quarter turns and mirrorings, in their order, to one Exif orientation."""

    def __init__(self) -> None:
        self._corners = (0, 1, 2, 3)

    def rotate(self, quarters: int) -> None:
        """Turn anticlockwise by `quarters` x 90 degrees."""
        for _ in range(quarters % 4):
            a, b, c, d = self._corners
            self._corners = (b, c, d, a)

    def mirror(self, *, sideways: bool) -> None:
        """Exchange left and right if `sideways`, else top and bottom."""
        a, b, c, d = self._corners
        self._corners = (b, a, d, c) if sideways else (d, c, b, a)

    @property
    def orientation(self) -> int:
        return _CORNERS[self._corners]
