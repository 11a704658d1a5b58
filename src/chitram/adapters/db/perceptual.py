"""Finding 64-bit hashes within a Hamming distance by multi-index hashing, exactly.

Norouzi, Punjani, Fleet: Fast Exact Search in Hamming Space with Multi-Index Hashing (2014). With m bands and a distance
d = m·r + a (a < m), a hash within d agrees with the query up to r bits in one of the first a + 1 bands, or up to r - 1
bits in one of the others: were it not so, more than d bits would differ.
"""

from collections.abc import Iterator
from itertools import combinations

from chitram.adapters.db.column_types import signed64

BANDS = 4
BAND_BITS = 16
MAX_DISTANCE = 16
_BAND_MASK = (1 << BAND_BITS) - 1


def _band_of(bit: int) -> int:
    # Bits are cosine coefficients, eight a row, and neighbours are alike; a Latin square gives each band its share of
    # every row and every column, so that the values within a band spread.
    return (bit // 8 + bit % 8) % BANDS


def _permuted_bytes() -> tuple[tuple[int, ...], ...]:
    """For each of the 8 bytes of a hash, each of its 256 values → the 64 bits with those at their permuted places."""
    order = sorted(range(64), key=lambda bit: (_band_of(bit), bit))
    place = {bit: position for position, bit in enumerate(order)}
    return tuple(
        tuple(sum(1 << place[8 * byte + bit] for bit in range(8) if value >> bit & 1) for value in range(256))
        for byte in range(8)
    )


_TABLES = _permuted_bytes()


def permuted(perceptual_hash: int) -> int:
    """`perceptual_hash` (64 bits, unsigned) with its bits in the order of the bands. Distances stay the same."""
    result = 0
    for byte, table in enumerate(_TABLES):
        result |= table[perceptual_hash >> 8 * byte & 0xFF]
    return result


def band_rows(perceptual_hash: int, *, blob_id: int) -> list[dict[str, int]]:
    """The rows of `perceptual_bands` for a blob."""
    bits = permuted(perceptual_hash)
    stored = signed64(bits)
    return [{"band_key": key, "blob_id": blob_id, "hash": stored} for key in _exact_keys(bits)]


def band_keys(perceptual_hash: int) -> list[int]:
    """The keys of the rows of a hash, one a band."""
    return _exact_keys(permuted(perceptual_hash))


def probe_keys(perceptual_hash: int, *, distance: int) -> list[int]:
    """Every hash within `distance` (0 to 16) bits has a row with one of these keys. 188 of them at 8, 4608 at 16."""
    if not 0 <= distance <= MAX_DISTANCE:
        raise ValueError(f"the distance must be 0 to {MAX_DISTANCE}")
    bits = permuted(perceptual_hash)
    radius, rest = divmod(distance, BANDS)
    return [
        key ^ flips
        for band, key in enumerate(_exact_keys(bits))
        for flips in _flips(radius if band <= rest else radius - 1)
    ]


def _exact_keys(bits: int) -> list[int]:
    return [band << BAND_BITS | bits >> BAND_BITS * band & _BAND_MASK for band in range(BANDS)]


def _flips(radius: int) -> Iterator[int]:
    """Every 16-bit number with at most `radius` bits set; none for a negative radius."""
    for count in range(radius + 1):
        for positions in combinations(range(BAND_BITS), count):
            yield sum(1 << position for position in positions)
