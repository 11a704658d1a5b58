from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import BigInteger, literal, select
from sqlalchemy.dialects import postgresql, sqlite

from chitram.adapters.db.dialects import BitDistance, insert_or_skip, is_one_of
from chitram.adapters.db.engine import connect, create_file
from chitram.adapters.db.tables import IS_PRESENT, blobs, perceptual_bands

SIGNED = st.integers(-(2**63), 2**63 - 1)
STATEMENT = select(BitDistance(literal(1, BigInteger()), literal(2, BigInteger())))


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory):
    path: Path = tmp_path_factory.mktemp("dialects") / "a.db"
    create_file(path)
    with closing(connect(path, read_only=True)) as opened:
        yield opened


@given(SIGNED, SIGNED)
def test_sqlite_counts_the_bits_in_which_two_numbers_differ(connection, left, right):
    compiled = STATEMENT.compile(dialect=sqlite.dialect(paramstyle="named"))
    values = dict(zip(compiled.params, (left, right), strict=True))
    expected = ((left ^ right) % 2**64).bit_count()
    assert connection.execute(str(compiled), values).fetchone() == (expected,)


def test_postgresql_has_words_of_its_own():
    bits = BitDistance(perceptual_bands.c.hash, 5)
    assert str(bits.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})) == (
        "bit_count(CAST(perceptual_bands.hash # 5 AS BIT(64)))"
    )


@pytest.mark.parametrize(("name", "dialect"), [("sqlite", sqlite.dialect()), ("postgresql", postgresql.dialect())])
def test_both_skip_rows_that_are_there(name, dialect):
    statement = insert_or_skip(blobs, dialect=name).on_conflict_do_nothing(
        index_elements=[blobs.c.sha256], index_where=IS_PRESENT
    )
    assert str(statement.compile(dialect=dialect)).endswith("ON CONFLICT (sha256) WHERE state != 'erasing' DO NOTHING")


def test_any_number_of_numbers_is_one_parameter():
    for name, dialect in (("sqlite", sqlite.dialect()), ("postgresql", postgresql.dialect())):
        condition = is_one_of(perceptual_bands.c.band_key, range(5000), dialect=name)
        assert len(condition.compile(dialect=dialect).params) == 1


def test_postgresql_compares_with_an_array():
    condition = is_one_of(perceptual_bands.c.band_key, [1, 2], dialect="postgresql")
    assert "perceptual_bands.band_key = ANY (" in str(condition.compile(dialect=postgresql.dialect()))
