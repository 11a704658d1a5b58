"""Content-Disposition (RFC 6266) for any file name."""

import re
import unicodedata
from functools import lru_cache
from urllib.parse import quote

_NOT_PLAIN = re.compile(r'[^\x20-\x7e]|["\\%]')
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@lru_cache(maxsize=8192)
def content_disposition(filename: str, *, attachment: bool = False) -> bytes:
    """The field's value: an ASCII `filename` and, where that loses something, the real one as `filename*`."""
    kind = "attachment" if attachment else "inline"
    name = _CONTROL.sub("", filename)
    plain = _ascii(name)
    value = f'{kind}; filename="{plain}"'
    if plain != name:
        value += f"; filename*=UTF-8''{quote(name, safe='!#$&+^`|')}"
    return value.encode("ascii")


def _ascii(name: str) -> str:
    """`name` without accents, and with an underscore for each character that a quoted string cannot safely carry."""
    decomposed = unicodedata.normalize("NFKD", name)
    return _NOT_PLAIN.sub("_", "".join(c for c in decomposed if not unicodedata.combining(c)))
