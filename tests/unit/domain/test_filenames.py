import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chitram.domain.filenames import clean_filename

ANY_TEXT = st.text(alphabet=st.characters(), max_size=400)
HOSTILE = st.text(alphabet="a/\\.\u202e\u2066 \r\n\x00\x7f\u2028é\u0301చ👩\u200d\ufeff\ud800\"';%", max_size=60)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (None, "image.png"),
        ("", "image.png"),
        ("...", "image.png"),
        ("  .. ", "image.png"),
        ("a/b/", "image.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\fakepath\\holiday.jpg", "holiday.jpg"),
        ("a\r\nSet-Cookie: x=1.jpg", "aSet-Cookie: x=1.jpg"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("  చిత్రం.png ", "చిత్రం.png"),
        ("👩\u200d🚀.png", "👩\u200d🚀.png"),
        ("e\u0301.png", "é.png"),
        (".hidden", ".hidden"),
        ("lone\ud800.png", "lone.png"),
    ],
)
def test_known_names(raw, expected):
    assert clean_filename(raw, extension="png") == expected


def test_a_long_name_keeps_its_extension():
    cleaned = clean_filename("చ" * 300 + ".jpeg", extension="png")
    assert cleaned.endswith("చ.jpeg")
    assert 250 <= len(cleaned.encode()) <= 255


def test_a_long_name_without_an_extension_is_cut():
    assert clean_filename("é" * 300, extension="png") == "é" * 127
    assert clean_filename("a" * 200 + "." + "b" * 300, extension="png") == "a" * 200 + "." + "b" * 54


@given(ANY_TEXT | HOSTILE)
def test_every_name_comes_out_harmless(raw):
    cleaned = clean_filename(raw, extension="jpg")
    assert 0 < len(cleaned.encode()) <= 255
    assert not set(cleaned) & set("/\\\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029")
    assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in cleaned)
    assert unicodedata.is_normalized("NFC", cleaned)
    assert cleaned.strip(".")


@given(ANY_TEXT | HOSTILE)
def test_cleaning_a_clean_name_changes_nothing(raw):
    once = clean_filename(raw, extension="jpg")
    assert clean_filename(once, extension="jpg") == once
