"""ThumbHash against an independent, straightforward implementation of the format: double sums, one step at a time."""

import math
from itertools import product

import pytest
from PIL import Image

from chitram.adapters.codec.thumbhash import thumbhash
from tests.factories import pictures


def rounded(value: float) -> int:
    """To the nearest, halves up: as floating point would have it if it had no noise."""
    return math.floor(round(value + 0.5, 9))


def encoded(channel: list[float], size: tuple[int, int], orders: tuple[int, int]) -> tuple[float, list[float], float]:
    """Mean, frequencies and scale of a channel, by the double sum over all pixels."""
    width, height = size
    across, down = orders
    mean, found = 0.0, []
    for cy in range(down):
        cx = 0
        while cx * down < across * (down - cy):
            total = 0.0
            for y, x in product(range(height), range(width)):
                wave = math.cos(math.pi / width * cx * (x + 0.5)) * math.cos(math.pi / height * cy * (y + 0.5))
                total += channel[y * width + x] * wave
            if cx or cy:
                found.append(total / (width * height))
            else:
                mean = total / (width * height)
            cx += 1
    scale = max(abs(value) for value in found)
    if scale < 1e-9:
        return mean, [0.0] * len(found), 0.0
    return mean, [0.5 + 0.5 / scale * value for value in found], scale


def reference(image: Image.Image) -> bytes:
    """The hash by the letter of its description."""
    size = width, height = image.size
    pixels = [image.getpixel((x, y)) for y in range(height) for x in range(width)]
    weight = sum(a for *_, a in pixels) / 255
    mean = [sum(p[c] * p[3] for p in pixels) / 255 / 255 / (weight or 1) for c in range(3)]
    laid = [[mean[c] * (1 - p[3] / 255) + p[3] / 255 * p[c] / 255 for c in range(3)] for p in pixels]
    clear = any(p[3] < 255 for p in pixels)
    limit = 5 if clear else 7
    lx, ly = (max(1, rounded(limit * side / max(size))) for side in size)
    light = encoded([sum(p) / 3 for p in laid], size, (max(3, lx), max(3, ly)))
    yellow = encoded([(p[0] + p[1]) / 2 - p[2] for p in laid], size, (3, 3))
    red = encoded([p[0] - p[1] for p in laid], size, (3, 3))
    alpha = encoded([p[3] / 255 for p in pixels], size, (5, 5)) if clear else None
    first = rounded(63 * light[0]) | rounded(31.5 + 31.5 * yellow[0]) << 6 | rounded(31.5 + 31.5 * red[0]) << 12
    first |= rounded(31 * light[2]) << 18 | clear << 23
    second = (ly if width > height else lx) | rounded(63 * yellow[2]) << 3 | rounded(63 * red[2]) << 9
    second |= (width > height) << 15
    out = [*first.to_bytes(3, "little"), *second.to_bytes(2, "little")]
    if alpha:
        out.append(rounded(15 * alpha[0]) | rounded(15 * alpha[2]) << 4)
    nibbles = [rounded(15 * f) for channel in (light, yellow, red, alpha) if channel for f in channel[1]]
    nibbles += [0] * (len(nibbles) % 2)
    out += [low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True)]
    return bytes(out)


def clear(image: Image.Image) -> Image.Image:
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


@pytest.mark.parametrize("size", [(32, 24), (24, 32), (20, 20), (32, 3), (3, 32), (32, 1), (1, 32), (1, 1), (2, 2)])
@pytest.mark.parametrize("transparent", [False, True])
def test_it_is_the_hash_of_the_format(size: tuple[int, int], transparent: bool) -> None:
    image = pictures.scene(*size, seed=size[0]).convert("RGBA")
    if transparent:
        image = clear(image)
    assert thumbhash(image) == reference(image)


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        # Mean lightness 63 of 63, yellow-blue and red-green in the middle, nothing else.
        ((255, 255, 255, 255), "3f08020700"),
        ((0, 0, 0, 255), "0008020700"),
    ],
)
def test_flat_pictures(colour: tuple[int, ...], expected: str) -> None:
    found = thumbhash(Image.new("RGBA", (8, 8), colour))
    assert found == reference(Image.new("RGBA", (8, 8), colour))
    assert found[:5].hex() == expected
    assert not any(found[5:])


def test_nothing_at_all() -> None:
    """Fully transparent: there is no mean colour to lay the pixels over."""
    empty = Image.new("RGBA", (6, 4), (200, 10, 90, 0))
    assert thumbhash(empty) == reference(empty)
    assert thumbhash(empty)[2] & 0x80
