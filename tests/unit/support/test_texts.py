"""Titles and descriptions: what is taken out of them, and when nothing is left."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chitram.entrypoints.support.texts import is_visible, lines, one_line

#: Zero-width space and joiner, soft hyphen, fillers of Hangul, Braille's blank, a variation, a tag, no-break space, ...
INVISIBLE = ["\u200b", "\u200d", "\xad", "\u115f", "\u1160", "\u3164", "\uffa0", "\u2800", "\ufe0f", "\u034f",
             "\U000e0041", "\U000e0100", "\xa0", "\ufeff", "\u2060", "\u061c", "\u180e", "\t"]  # fmt: skip


@pytest.mark.parametrize("text", [None, "", " \n ", *INVISIBLE, " ".join(INVISIBLE)])
def test_what_nobody_can_see_is_nothing(text):
    assert one_line(text) is None
    assert lines(text) is None


@pytest.mark.parametrize(
    "text", ["x", "చిత్రం", "🖼\ufe0f", "👩\u200d🚀", "می\u200cخواهم", "한글", "⠃", "-", "\ue000", "́"]
)
def test_what_can_be_seen_stays_as_it_is(text):
    assert one_line(text) == lines(text) == text


def test_the_shape_of_each():
    assert one_line("  a \r\n\t b\x07\x1b[0m\u202e ") == "a b[0m"
    assert lines("a\r\nb\rc\x08\u2028\x85\n\n") == "a\nb\nc"


@given(st.text(max_size=30))
def test_of_any_text_something_visible_is_left_or_nothing(text):
    for cleaned in (one_line(text), lines(text)):
        assert cleaned is None or (is_visible(cleaned) and cleaned == cleaned.strip())
        assert not {c for c in cleaned or "" if unicodedata.category(c) == "Cc"} - {"\n", "\t"}
