"""Queries: numbers in them. What is there twice is tried at every door in the integration tests."""

import pytest

from chitram.domain.errors import ValidationFailed
from chitram.entrypoints.support.queries import integer_parameter, parse_query


@pytest.mark.parametrize(("query", "number"), [(b"", 8), (b"n=0", 0), (b"n=16", 16), (b"n=%31&m=x", 1)])
def test_numbers(query, number):
    assert integer_parameter(parse_query(query), "n", default=8, lowest=0, highest=16) == number


@pytest.mark.parametrize(
    "text",
    ["", "17", "-1", "+1", "01", " 1", "1 ", "1.0", "1e0", "1_0", "0x1", "x", "%D9%A1", "1" * 5000, "1%0A", "1%00"],
)
def test_what_is_no_number_within_the_bounds(text):
    with pytest.raises(ValidationFailed) as caught:
        integer_parameter(parse_query(f"n={text}".encode()), "n", default=8, lowest=0, highest=16)
    [problem] = caught.value.details["errors"]
    assert problem == {"field": "n", "message": "must be a whole number from 0 to 16"}
