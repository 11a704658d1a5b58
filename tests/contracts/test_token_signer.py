"""What every signer of tokens promises."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chitram.adapters.security.jwt import JwtSigner
from chitram.domain.errors import TokenExpired, Unauthorized
from chitram.ports.tokens import Claims, TokenSigner

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
KEY, OLD, OTHER = (bytes([letter]) * 32 for letter in b"kop")
CLAIMS = Claims(user_id="AAAAAAAAAAA", session_id="s" * 24, issued_at=NOW, expires_at=NOW + timedelta(minutes=10))


@pytest.fixture(params=["jwt"])
def signer(request: pytest.FixtureRequest) -> TokenSigner:
    signers = {"jwt": JwtSigner}
    return signers[request.param](KEY, (OLD,))


def test_what_was_signed_is_read(signer: TokenSigner):
    assert signer.read(signer.sign(CLAIMS), now=NOW) == CLAIMS


def test_times_are_whole_seconds_and_never_longer_than_said(signer: TokenSigner):
    fractions = timedelta(microseconds=900_000)
    claims = replace(CLAIMS, issued_at=CLAIMS.issued_at + fractions, expires_at=CLAIMS.expires_at + fractions)
    assert signer.read(signer.sign(claims), now=NOW) == CLAIMS


def test_a_token_is_good_until_it_expires(signer: TokenSigner):
    token = signer.sign(CLAIMS)
    assert signer.read(token, now=CLAIMS.expires_at - timedelta(microseconds=1))
    for late in (timedelta(0), timedelta(seconds=1), timedelta(days=40_000)):
        with pytest.raises(TokenExpired):
            signer.read(token, now=CLAIMS.expires_at + late)


def test_a_token_from_the_future_is_none_but_clocks_may_be_a_minute_apart(signer: TokenSigner):
    token = signer.sign(CLAIMS)
    assert signer.read(token, now=NOW - timedelta(seconds=60))
    with pytest.raises(Unauthorized) as caught:
        signer.read(token, now=NOW - timedelta(seconds=61))
    assert not isinstance(caught.value, TokenExpired)


def test_years_far_away(signer: TokenSigner):
    claims = replace(CLAIMS, expires_at=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
    assert signer.read(signer.sign(claims), now=datetime(2106, 2, 7, 6, 28, 16, tzinfo=UTC)) == claims


def test_a_key_that_was_rotated_out_still_reads_and_signs_no_more(signer: TokenSigner):
    before = JwtSigner(OLD)
    assert signer.read(before.sign(CLAIMS), now=NOW) == CLAIMS
    with pytest.raises(Unauthorized):
        before.read(signer.sign(CLAIMS), now=NOW)


def test_a_key_that_is_none_of_ours_is_refused(signer: TokenSigner):
    with pytest.raises(Unauthorized):
        signer.read(JwtSigner(OTHER).sign(CLAIMS), now=NOW)


def test_an_expired_token_of_a_stranger_is_not_called_expired(signer: TokenSigner):
    with pytest.raises(Unauthorized) as caught:
        signer.read(JwtSigner(OTHER).sign(CLAIMS), now=CLAIMS.expires_at)
    assert not isinstance(caught.value, TokenExpired)


@example(text="\ud800.\ud800.\ud800")
@example(text="..")
@example(text="\0")
@given(text=st.text(max_size=600))
def test_any_text_is_refused_and_nothing_else_happens(text: str):
    with pytest.raises(Unauthorized):
        JwtSigner(KEY).read(text, now=NOW)


@given(token=st.text(alphabet="eyJhbGciOiJIUzI1NiJ9._-=", max_size=300))
def test_neither_does_what_looks_like_a_token(token: str):
    with pytest.raises(Unauthorized):
        JwtSigner(KEY).read(token, now=NOW)
