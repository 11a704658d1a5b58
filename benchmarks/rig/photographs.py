"""Photographs to upload: those of a directory, or generated ones, and any number of variants that are no duplicates."""

import io
import random
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from PIL import Image

#: Of the last coefficients of the first quantisation table, one bit each tells variants apart.
_VARIANT_BITS = 24


def photographs(directory: Path | None, *, megapixels: float = 12, seed: int = 5) -> list[bytes]:
    """The JPEGs of 2 to 4 MB in `directory` (or the other JPEGs there are), else one generated photograph."""
    if directory is None:
        return [generated(megapixels=megapixels, seed=seed)]
    files = [path.read_bytes() for path in sorted(directory.glob("*.jp*g"))]
    files = [data for data in files if b"\xff\xdb" in data[:65536]]
    if not files:
        raise SystemExit(f"{directory} holds no JPEG")
    return [data for data in files if 2_000_000 <= len(data) <= 4_000_000] or files


def generated(*, megapixels: float, seed: int = 5, quality: int = 85, shape: float = 0.75) -> bytes:
    """A baseline JPEG of soft shapes under film grain, about a quarter byte a pixel, as cameras write.

    `shape`: height over width.
    """
    width = round((megapixels * 1e6 / shape) ** 0.5) // 16 * 16
    height = round(width * shape)
    shapes = Image.frombytes("RGB", (96, 72), random.Random(seed).randbytes(96 * 72 * 3)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    grain = Image.effect_noise((width // 2, height // 2), 34).resize((width, height), Image.Resampling.BILINEAR)
    picture = Image.blend(shapes, Image.merge("RGB", (grain, grain, grain)), 0.4)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()


class Variants:
    """An endless supply of pictures that decode alike and differ in their bytes, so that none is a duplicate."""

    def __init__(self, originals: Sequence[bytes]) -> None:
        self._originals = [(bytearray(data), _table_end(data)) for data in originals]
        self._numbers = count(random.SystemRandom().randrange(1 << 16))

    @property
    def mean_size(self) -> float:
        """Bytes."""
        return sum(len(data) for data, _ in self._originals) / len(self._originals)

    def next(self) -> bytes:
        """Another picture, of the originals in turn."""
        number = next(self._numbers)
        data, end = self._originals[number % len(self._originals)]
        copy = data[:]
        for bit in range(_VARIANT_BITS):
            place = end - 1 - bit
            copy[place] = max(data[place], 2) & ~1 | (number >> bit & 1)
        return bytes(copy)


def _table_end(data: bytes) -> int:
    """Where the first quantisation table of 8-bit numbers ends."""
    offset = 2
    while data[offset] == 0xFF and data[offset + 1] != 0xDB:
        offset += 2 + int.from_bytes(data[offset + 2 : offset + 4], "big")
    if data[offset + 4] >> 4:
        raise ValueError("a quantisation table of 16-bit numbers")
    return offset + 5 + 64
