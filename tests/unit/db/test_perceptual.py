import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chitram.adapters.db.column_types import unsigned64
from chitram.adapters.db.perceptual import (
    BAND_BITS,
    BANDS,
    MAX_DISTANCE,
    band_keys,
    band_rows,
    permuted,
    probe_keys,
)

HASHES = st.integers(0, 2**64 - 1)


@given(HASHES, HASHES)
def test_the_permutation_keeps_distances(left, right):
    assert (permuted(left) ^ permuted(right)).bit_count() == (left ^ right).bit_count()


def test_the_permutation_moves_every_bit_to_a_place_of_its_own():
    assert {permuted(1 << bit) for bit in range(64)} == {1 << bit for bit in range(64)}


def test_each_band_takes_two_bits_of_each_row_and_each_column_of_the_transform():
    rows, columns = Counter(), Counter()
    for bit in range(64):
        band = (permuted(1 << bit).bit_length() - 1) // BAND_BITS
        rows[band, bit // 8] += 1
        columns[band, bit % 8] += 1
    assert set(rows.values()) == set(columns.values()) == {2}
    assert len(rows) == len(columns) == BANDS * 8


@given(HASHES)
def test_a_hash_has_one_row_a_band_with_all_its_bits(value):
    rows = band_rows(value, blob_id=7)
    assert [row["band_key"] for row in rows] == band_keys(value)
    assert [row["band_key"] >> BAND_BITS for row in rows] == [0, 1, 2, 3]
    assert {row["blob_id"] for row in rows} == {7}
    assert {unsigned64(row["hash"]) for row in rows} == {permuted(value)}


@pytest.mark.parametrize(("distance", "count"), [(0, 1), (1, 2), (3, 4), (4, 20), (7, 68), (8, 188), (16, 4608)])
def test_the_number_of_probes(distance, count):
    keys = probe_keys(0x0123_4567_89AB_CDEF, distance=distance)
    assert len(keys) == len(set(keys)) == count


@given(HASHES, st.sets(st.integers(0, 63), max_size=MAX_DISTANCE), st.data())
def test_every_near_hash_has_a_row_under_a_probe(value, flipped, data):
    other = value ^ sum(1 << bit for bit in flipped)
    distance = data.draw(st.integers(len(flipped), MAX_DISTANCE))
    assert set(probe_keys(value, distance=distance)) & set(band_keys(other))


@pytest.mark.parametrize("distance", range(MAX_DISTANCE + 1))
def test_the_worst_spread_of_bits_is_found(distance):
    # As evenly as can be: the case in which the pigeonhole is just enough, with the fullest bands in every position.
    generator = random.Random(distance)
    places = {permuted(1 << bit).bit_length() - 1: bit for bit in range(64)}
    for shift in range(BANDS):
        counts = [len(range((band + shift) % BANDS, distance, BANDS)) for band in range(BANDS)]
        spots = [band * BAND_BITS + spot for band in range(BANDS) for spot in generator.sample(range(16), counts[band])]
        other = sum(1 << places[spot] for spot in spots)
        assert other.bit_count() == distance
        assert set(probe_keys(0, distance=distance)) & set(band_keys(other))


@pytest.mark.parametrize("distance", [-1, 17])
def test_other_distances_are_refused(distance):
    with pytest.raises(ValueError, match="0 to 16"):
        probe_keys(0, distance=distance)
