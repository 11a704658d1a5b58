"""Every text that templates, modules and scripts name is there, and every text that is there is named."""

import re

import pytest

from chitram.domain.errors import InvalidReason
from chitram.domain.images import Order, Visibility
from chitram.entrypoints.support.errors import STATUS_BY_CODE
from chitram.entrypoints.web import catalogue
from chitram.entrypoints.web.catalogue import Catalogue
from tests.architecture.sources import SOURCES

WEB = SOURCES / "entrypoints" / "web"
KEY = re.compile(r"""["']([a-z_]+\.[a-zA-Z_0-9]+)["']""")
#: What errors name, so that pages have words of their own for it; `other` is for those that name nothing.
PROBLEMS = {
    name
    for path in SOURCES.rglob("*.py")
    for line in path.read_text(encoding="utf-8").splitlines()
    if "problem=" in line or "problem = " in line
    for name in re.findall(r"""["']([a-z]+(?:_[a-z]+)+)["']""", line.partition("problem")[2])
} | {*InvalidReason, "other"}
#: Keys that are put together from a part and one of these ends.
MADE = {
    "visibility.": {*Visibility, *(f"{each}_hint" for each in Visibility)},
    "image.link_": {"page", "direct", "markdown", "html", "bbcode"},
    "account.scope_": {"upload", "read", "delete"},
    "account.expires_": {"never", "7", "30", "90", "365"},
    "account.": {"ended", "revoked"},
    "mine.": {"deleted", "changed"},
    "mine.sort_": {*Order},
    "login.": {"expired", "changed"},
    "problems.": PROBLEMS,
    "errors.": {code + end for code in STATUS_BY_CODE for end in ("", "_title")},
}
#: What looks like a key and is a file.
FILES = (".html", ".py", ".js", ".css", ".svg", ".toml")
SCRIPT_KEY = re.compile(r"""\btext\(\s*"([a-z_]+)\"""")


def sources(*suffixes):
    found = [path for path in WEB.rglob("*") if path.suffix in suffixes and path.name != "htmx.min.js"]
    assert found
    return "\n".join(path.read_text(encoding="utf-8") for path in found)


def named():
    parts = {path.stem for path in (WEB / "texts/en").glob("*.toml")}
    pages = {key for key in KEY.findall(sources(".html", ".py")) if key.partition(".")[0] in parts - {"script"}}
    scripts = {f"script.{key}" for key in SCRIPT_KEY.findall(sources(".js"))}
    return pages | scripts


TEXTS = Catalogue()
KEYS = TEXTS.keys


def test_every_key_that_is_named_exists():
    assert len(KEYS) > 150
    assert {key for key in named() - KEYS if key not in MADE and not key.endswith(FILES)} == set()


def test_every_key_is_named():
    made = {start + end for start, ends in MADE.items() for end in ends}
    assert KEYS - named() - made == set()


@pytest.mark.parametrize("start", sorted(MADE.keys() - {"errors."}))
def test_keys_that_are_put_together_exist(start):
    assert {start + end for end in MADE[start]} <= KEYS
    assert f'"{start}' in sources(".html", ".py") or f"{start}{{" in sources(".html", ".py")


def test_every_error_has_a_title_and_a_sentence_for_people():
    assert len(STATUS_BY_CODE) > 30
    assert {f"errors.{code}{end}" for code in STATUS_BY_CODE for end in ("", "_title")} <= KEYS


def test_problems_are_found_in_the_sources():
    assert {"password_length", "password_known", "no_file", "private_without_account", "corrupt"} <= PROBLEMS
    assert {f"problems.{name}" for name in PROBLEMS} == {key for key in KEYS if key.startswith("problems.")}


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_words_for_problems_are_sentences(name):
    words = TEXTS.problem(name, least=8, most=128, formats="JPEG and PNG")
    assert words is not None
    assert words[0].isupper()
    assert words.endswith(".")
    assert "{" not in words


def test_a_problem_without_words():
    assert TEXTS.problem(None) is None
    assert TEXTS.problem("unheard_of") is None


def test_values_take_their_places_and_are_not_read_again():
    assert TEXTS("mine.no_match_title", name="{used}") == "No file name contains “{used}”"
    assert TEXTS("gallery.more") == "Load more"
    with pytest.raises(KeyError):
        TEXTS("gallery.nothing")
    with pytest.raises(KeyError):
        TEXTS("mine.no_match_title", other=1)


def test_errors():
    assert TEXTS.error("FORBIDDEN", otherwise="x") == "Only its owner may do that."
    assert TEXTS.error("FILE_TOO_LARGE", otherwise="x", limit="5 MB") == "This server takes files of up to 5 MB."
    assert TEXTS.error("UNHEARD_OF", otherwise="x") == "x"


def test_scripts_get_their_part():
    assert set(TEXTS.for_scripts()) == {key.removeprefix("script.") for key in KEYS if key.startswith("script.")}
    assert TEXTS.for_scripts()["copied"] == "Copied"


def test_tables_in_tables(tmp_path, monkeypatch):
    (tmp_path / "xx").mkdir()
    (tmp_path / "xx/part.toml").write_text('[inner]\nkey = "{n} words"\n', encoding="utf-8")
    monkeypatch.setattr(catalogue, "_DIRECTORY", tmp_path)
    assert Catalogue("xx")("part.inner.key", n=2) == "2 words"
