"""File names: what a person called a picture. Only ever shown, never used as a path."""

import re
import unicodedata

MAX_FILENAME_BYTES = 255

# Marks that turn the reading direction around and so make "gpj.exe" look like "exe.jpg"; and the byte order mark.
_DIRECTIONAL = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
# Control characters, lone surrogates, line and paragraph separators. Joiners stay: Telugu and emoji need them.
_UNWANTED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,16}\Z")


def clean_filename(raw: str | None, *, extension: str) -> str:
    """A name that is safe to show, from whatever a client sent.

    Everything up to the last `/` or `\\` goes, and so do control characters and marks that change the reading
    direction. The rest is NFC, trimmed, and at most 255 bytes of UTF-8, cut between code points in front of its
    extension. What is empty then, or dots only, is called `image.<extension>`. Cleaning a clean name changes nothing.
    """
    last = re.split(r"[/\\]", raw or "")[-1]
    name = unicodedata.normalize("NFC", "".join(c for c in last if _is_wanted(c))).strip()
    name = _shorten(name)
    return name if name.strip(".") else f"image.{extension}"


def _is_wanted(character: str) -> bool:
    return character not in _DIRECTIONAL and unicodedata.category(character) not in _UNWANTED_CATEGORIES


def _shorten(name: str) -> str:
    """Cut `name` to the limit, keeping the extension when it looks like one."""
    if len(name.encode()) <= MAX_FILENAME_BYTES:
        return name
    found = _EXTENSION.search(name)
    suffix = found.group() if found else ""
    stem = name[: len(name) - len(suffix)].encode()[: MAX_FILENAME_BYTES - len(suffix)]
    return stem.decode(errors="ignore").rstrip() + suffix
