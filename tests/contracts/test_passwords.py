"""What every way to hash passwords promises."""

import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chitram.adapters.security.passwords import BcryptPasswords
from chitram.ports.passwords import Passwords


@pytest.fixture(params=["bcrypt"])
def passwords(request: pytest.FixtureRequest) -> Iterator[Passwords]:
    makers = {"bcrypt": BcryptPasswords}
    made = makers[request.param](rounds=4, threads=1, max_waiting=10, blocklist=frozenset({"Password1", "అక్షరం"}))
    yield made
    made.close()


async def test_a_password_is_verified_by_its_hash(passwords: Passwords):
    hashed = await passwords.hash("correct horse")
    assert "correct" not in hashed
    assert await passwords.verify("correct horse", password_hash=hashed) is True
    assert await passwords.verify("correct hors", password_hash=hashed) is False


async def test_the_same_password_has_many_hashes(passwords: Passwords):
    hashes = {await passwords.hash("correct horse") for _ in range(5)}
    assert len(hashes) == 5
    assert all([await passwords.verify("correct horse", password_hash=hashed) for hashed in hashes])


LONG = "x" * 72
PAIRS = [
    (LONG + "a", LONG + "b"),
    (LONG, LONG + "a"),
    ("అ" * 40 + "a", "అ" * 40 + "b"),
    ("a\0b-and-more", "a\0c-and-more"),
    ("a" * 128, "a" * 127),
    ("a" * 1_000_000 + "b", "a" * 1_000_000 + "c"),
    ("ﬁnancial", "financial"),
    ("Password", "password"),
    ("password ", "password"),
    ("\ud800abcdefg", "\ud801abcdefg"),
    ("", "\0"),
]


@pytest.mark.parametrize(("right", "wrong"), PAIRS, ids=range(len(PAIRS)))
async def test_every_character_counts(passwords: Passwords, right: str, wrong: str):
    hashed = await passwords.hash(right)
    assert await passwords.verify(right, password_hash=hashed)
    assert not await passwords.verify(wrong, password_hash=hashed)


async def test_every_way_to_write_a_character_is_the_same(passwords: Passwords):
    hashed = await passwords.hash(unicodedata.normalize("NFC", "čé한ఔ--8"))
    assert await passwords.verify(unicodedata.normalize("NFD", "čé한ఔ--8"), password_hash=hashed)


MALFORMED = [
    "",
    "x",
    "$2b$04$",
    "$2b$04$" + "." * 52,
    "$2b$04$" + "." * 54,
    "$2b$04$" + "ü" * 53,
    "$2b$03$" + "." * 53,
    "$2b$31$" + "." * 53,
    "$2a$04$" + "." * 53,
    "$2b$04$" + "." * 52 + "\n",
    "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$aGFzaA",
    "plain text",
    "\ud800",
]


@pytest.mark.parametrize("stored", MALFORMED)
async def test_what_is_no_hash_matches_nothing_and_is_outdated(passwords: Passwords, stored: str):
    assert await passwords.verify("plain text", password_hash=stored) is False
    assert passwords.is_outdated(stored)


@settings(max_examples=50)
@given(stored=st.text(max_size=80), password=st.text(max_size=200))
async def test_no_stored_text_breaks_the_check(stored: str, password: str):
    made = BcryptPasswords(rounds=4, threads=1, max_waiting=10)
    try:
        assert await made.verify(password, password_hash=stored) is False
    finally:
        made.close()


async def test_nobodys_password_is_never_right(passwords: Passwords):
    for password in ("", "correct horse", "x" * 200):
        assert await passwords.verify(password, password_hash=None) is False


async def test_a_hash_of_todays_cost_is_not_outdated(passwords: Passwords):
    assert not passwords.is_outdated(await passwords.hash("correct horse"))


@pytest.mark.parametrize(
    "known", ["Password1", "password1", "PASSWORD1", "అక్షరం", unicodedata.normalize("NFD", "అక్షరం")]
)
def test_what_everybody_tries_first_is_known_however_it_is_written(passwords: Passwords, known: str):
    assert passwords.is_known(known)


@pytest.mark.parametrize("unknown", ["", "password12", "x" * 1000])
def test_other_passwords_are_not(passwords: Passwords, unknown: str):
    assert not passwords.is_known(unknown)
