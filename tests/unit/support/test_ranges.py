import contextlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chitram.domain.errors import RangeNotSatisfiable
from chitram.entrypoints.support.ranges import MAX_RANGES, ByteRange, parse_range


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-4", [(0, 5)]),
        ("Bytes = 0-4", [(0, 5)]),
        ("bytes=5-", [(5, 10)]),
        ("bytes=-3", [(7, 10)]),
        ("bytes=-30", [(0, 10)]),
        ("bytes=0-99", [(0, 10)]),
        ("bytes=0-" + "9" * 3000, [(0, 10)]),
        ("bytes=0-1,2-3", [(0, 4)]),
        ("bytes=4-5,0-1", [(0, 2), (4, 6)]),
        ("bytes=0-5,2-3,20-30", [(0, 6)]),
        ("bytes=,0-1,,", [(0, 2)]),
        ("bytes=0000000000000000000000001-2", [(1, 3)]),
    ],
)
def test_what_is_asked_for(header, expected):
    assert parse_range(header, size=10) == tuple(ByteRange(*pair) for pair in expected)


@pytest.mark.parametrize(
    "header",
    ["", "bytes", "bytes=", "bytes=,", "bytes=-", "bytes=a-b", "bytes=5-2", "bytes=0-1,x", "lines=0-1", "bytes=1-2-3",
     "bytes=+1-2", "bytes=٣-٤", "bytes=0-1;2", "bytes=" + "0-0," * 2000],
)  # fmt: skip
def test_broken_or_foreign_fields_are_ignored(header):
    assert parse_range(header, size=10) is None


@pytest.mark.parametrize(
    "header", ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=11-12,99-", "bytes=" + "9" * 4000 + "-"]
)
def test_what_lies_outside_is_refused_with_the_size(header):
    with pytest.raises(RangeNotSatisfiable) as caught:
        parse_range(header, size=10)
    assert caught.value.details == {"size": 10}


def test_too_many_distinct_ranges_are_ignored_but_not_adjacent_ones():
    apart = ",".join(f"{3 * i}-{3 * i}" for i in range(MAX_RANGES + 1))
    adjacent = ",".join(f"{i}-{i}" for i in range(MAX_RANGES + 1))
    assert parse_range(f"bytes={apart}", size=100) is None
    assert parse_range(f"bytes={adjacent}", size=100) == (ByteRange(0, MAX_RANGES + 1),)


SPECS = st.one_of(
    st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda p: f"{min(p)}-{max(p)}"),
    st.integers(0, 40).map(lambda n: f"{n}-"),
    st.integers(0, 40).map(lambda n: f"-{n}"),
)


@given(st.lists(SPECS, min_size=1, max_size=9), st.integers(0, 30))
def test_the_ranges_cover_exactly_what_the_specs_name(specs, size):
    wanted = set()
    for spec in specs:
        first, last = spec.split("-")
        if not first:
            wanted |= set(range(max(0, size - int(last)), size))
        else:
            wanted |= set(range(int(first), min(int(last) + 1 if last else size, size)))
    try:
        found = parse_range("bytes=" + ",".join(specs), size=size)
    except RangeNotSatisfiable:
        assert not wanted
        return
    assert found is not None
    assert {i for part in found for i in range(part.start, part.stop)} == wanted
    assert all(a.stop < b.start for a, b in pairwise(found))


@given(st.text(max_size=60))
def test_no_text_breaks_the_parser(text):
    with contextlib.suppress(RangeNotSatisfiable):
        found = parse_range(f"bytes={text}", size=10)
        assert found is None or all(0 <= part.start < part.stop <= 10 for part in found)
