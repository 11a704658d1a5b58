"""ThumbHash: a picture as some 25 bytes, from which a browser paints a blurred placeholder.

The format is Evan Wallace's (https://evanw.github.io/thumbhash/): mean and lowest cosine frequencies of lightness,
yellow-blue, red-green and opacity. The transform is done row by row, then column by column, which for the few
frequencies that are kept costs a tenth of the double sum.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import mul, sub

from PIL import Image

#: Of floating point: what is smaller is nothing, and what is so near to a half is one, on every machine.
_NOISE, _DIGITS = 1e-9, 9
#: What a byte stands for, 0 to 1.
_UNIT = tuple(value / 255 for value in range(256))


@dataclass(frozen=True, slots=True)
class _Channel:
    """`mean`, the frequencies scaled to 0 … 1, and the `scale` that undoes this."""

    mean: float
    frequencies: tuple[float, ...]
    scale: float


def thumbhash(image: Image.Image) -> bytes:
    """The hash of an RGBA picture of at most 100 by 100 pixels."""
    width, height = image.size
    lightness, yellow, red, opacity = _channels(image.tobytes())
    clear = sum(opacity) < width * height
    longest, limit = max(width, height), 5 if clear else 7
    across, down = (max(1, _round(limit * side / longest)) for side in (width, height))
    light = _encode(lightness, width, max(3, across), max(3, down))
    chroma = [_encode(channel, width, 3, 3) for channel in (yellow, red)]
    alpha = [_encode(opacity, width, 5, 5)] if clear else []
    head = _head(light, chroma, clear=clear, landscape=width > height, across=across, down=down)
    tail = [_round(15 * alpha[0].mean) | _round(15 * alpha[0].scale) << 4] if alpha else []
    nibbles = [_round(15 * f) for channel in (light, *chroma, *alpha) for f in channel.frequencies]
    nibbles += [0] * (len(nibbles) % 2)
    packed = [low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True)]
    return bytes([*head, *tail, *packed])


def _channels(rgba: bytes) -> tuple[list[float], list[float], list[float], list[float]]:
    """Lightness, yellow-blue, red-green and opacity of each pixel, laid over the mean colour."""
    planes, alphas = (rgba[0::4], rgba[1::4], rgba[2::4]), [_UNIT[a] for a in rgba[3::4]]
    red, green, blue = (_mixed(plane, alphas) for plane in planes) if min(alphas) < 1 else map(_scaled, planes)
    lightness = [(r + g + b) / 3 for r, g, b in zip(red, green, blue, strict=True)]
    yellow = [(r + g) / 2 - b for r, g, b in zip(red, green, blue, strict=True)]
    return lightness, yellow, list(map(sub, red, green)), alphas


def _scaled(plane: bytes) -> list[float]:
    return [_UNIT[value] for value in plane]


def _mixed(plane: bytes, alphas: Sequence[float]) -> list[float]:
    """One colour of every pixel, laid over its mean."""
    mean = sum(map(mul, plane, alphas)) / (sum(alphas) * 255 or 1.0)
    return [mean * (1 - a) + a * _UNIT[value] for value, a in zip(plane, alphas, strict=True)]


def _encode(channel: Sequence[float], width: int, across: int, down: int) -> _Channel:
    height = len(channel) // width
    cosines = _cosines(across, width)
    rows = [channel[at : at + width] for at in range(0, len(channel), width)]
    transformed = [[sum(map(mul, row, wave)) for row in rows] for wave in cosines]
    kept = [
        sum(map(mul, transformed[x], wave)) / (width * height)
        for y, wave in enumerate(_cosines(down, height))
        for x in range(across)
        if x * down < across * (down - y)
    ]
    mean, frequencies = kept[0], kept[1:]
    scale = max(map(abs, frequencies))
    if scale < _NOISE:
        return _Channel(mean, (0.0,) * len(frequencies), 0.0)
    return _Channel(mean, tuple(0.5 + 0.5 / scale * f for f in frequencies), scale)


@lru_cache(maxsize=256)
def _cosines(orders: int, length: int) -> tuple[tuple[float, ...], ...]:
    """The waves of the lowest `orders` frequencies. Kept: lengths and orders are small numbers."""
    return tuple(
        tuple(math.cos(math.pi / length * order * (x + 0.5)) for x in range(length)) for order in range(orders)
    )


def _head(
    light: _Channel, chroma: Sequence[_Channel], *, clear: bool, landscape: bool, across: int, down: int
) -> bytes:
    yellow, red = chroma
    first = (
        _round(63 * light.mean)
        | _round(31.5 + 31.5 * yellow.mean) << 6
        | _round(31.5 + 31.5 * red.mean) << 12
        | _round(31 * light.scale) << 18
        | clear << 23
    )
    second = (
        (down if landscape else across) | _round(63 * yellow.scale) << 3 | _round(63 * red.scale) << 9 | landscape << 15
    )
    return first.to_bytes(3, "little") + second.to_bytes(2, "little")


def _round(value: float) -> int:
    return math.floor(round(value + 0.5, _DIGITS))
