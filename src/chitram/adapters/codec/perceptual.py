"""A 64-bit fingerprint of what a picture looks like, and its placeholder."""

import base64
import math
from itertools import product
from operator import mul

from PIL import Image

from chitram.adapters.codec.thumbhash import thumbhash

_SIDE = 32
_HALF = _SIDE // 2
#: The lowest 64 frequencies after the mean, diagonal by diagonal: the mean is brightness, not looks.
_FREQUENCIES = sorted(product(range(11), repeat=2), key=lambda f: (f[0] + f[1], f[0]))[1:65]
_ORDERS = 1 + max(max(f) for f in _FREQUENCIES)
#: The first half of each cosine: the second half is its mirror image, with the other sign where the order is odd.
_COSINES = tuple(tuple(math.cos(math.pi * u * (2 * x + 1) / (2 * _SIDE)) for x in range(_HALF)) for u in range(_ORDERS))
_THUMBHASH_SIDE = 32


def perceptual_hash(image: Image.Image) -> int:
    """64 bits, unsigned, of an RGB or RGBA picture: one for each low DCT frequency that is above their median.

    Scaled and recompressed copies differ in few bits. Pictures without any structure give 0.
    """
    grey = flattened(image).convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX).tobytes()
    rows = [_cosine_transform(grey[at : at + _SIDE]) for at in range(0, _SIDE * _SIDE, _SIDE)]
    columns = [_cosine_transform(column) for column in zip(*rows, strict=True)]
    # Rounding keeps the noise of floating point out of pictures that have nothing but noise.
    values = [round(columns[u][v]) for u, v in _FREQUENCIES]
    ordered = sorted(values)
    median = (ordered[31] + ordered[32]) / 2
    return sum(1 << bit for bit, value in enumerate(values) if value > median)


def placeholder(image: Image.Image) -> str:
    """A thumbhash, base64, of an RGB or RGBA picture."""
    small = image.convert("RGBA")
    small.thumbnail((_THUMBHASH_SIDE, _THUMBHASH_SIDE), Image.Resampling.BOX)
    return base64.b64encode(thumbhash(small)).decode("ascii")


def flattened(image: Image.Image) -> Image.Image:
    """`image` on white."""
    if image.mode != "RGBA":
        return image
    ground = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(ground, image).convert("RGB")


def _cosine_transform(values: "bytes | tuple[float, ...]") -> tuple[float, ...]:
    """The lowest frequencies of 32 values (DCT-II without scaling), folded: half the products."""
    left, right = values[:_HALF], values[: _HALF - 1 : -1]
    even = [a + b for a, b in zip(left, right, strict=True)]
    odd = [a - b for a, b in zip(left, right, strict=True)]
    return tuple(sum(map(mul, odd if u & 1 else even, cosines)) for u, cosines in enumerate(_COSINES))
