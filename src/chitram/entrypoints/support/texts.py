"""What people write about their images, made fit to be shown."""

import re
import unicodedata

#: All but line feeds and tabs; direction overrides too, which make a text look like another one.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
#: Letters, signs and marks that show nothing where they stand alone: joiners, fillers, Braille's blank, variations.
_BLANK = re.compile(
    r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
#: Controls, formats such as zero-width spaces, separators.
_INVISIBLE = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})


def one_line(text: str | None) -> str | None:
    """`text` without control characters and line ends; None when nothing is left to be seen."""
    return None if text is None else _seen(" ".join(_CONTROLS.sub("", re.sub(r"\s+", " ", text)).split()))


def lines(text: str | None) -> str | None:
    """`text` without control characters, its lines ended with LF; None when nothing is left to be seen."""
    return None if text is None else _seen(_CONTROLS.sub("", re.sub(r"\r\n?", "\n", text)).strip())


def is_visible(text: str) -> bool:
    """Whether there is anything to be seen in `text`."""
    return any(unicodedata.category(each) not in _INVISIBLE for each in _BLANK.sub("", text))


def _seen(text: str) -> str | None:
    return text if is_visible(text) else None
