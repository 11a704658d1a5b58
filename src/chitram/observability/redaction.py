"""Takes secrets out of what is logged, wherever they stand in it."""

import re
from collections.abc import Mapping

REDACTED = "[redacted]"

#: Names of fields whose value is nobody's business; an underscore counts as a hyphen.
_NAMES = frozenset(
    {
        "authorization",
        "cookie",
        "delete-token",
        "password",
        "proxy-authorization",
        "secret",
        "set-cookie",
        "token",
        "x-delete-token",
    }
)
#: Deeper than this a value is searched as text.
_MAX_DEPTH = 8

# A name, perhaps behind an escape such as %3F; what stands between it and its value, `=`, `: `, `": "`, `', b'`, `%3D`;
# and the value: up to its closing bracket or quote; without one, header fields take the rest of their line, for it may
# have several parts, and others one word.
_IN_TEXT = re.compile(
    r"""
    (?:(?<![\w-])|(?<=%[0-9a-f]{2})|(?<=%25[0-9a-f]{2}))
    ((?P<field>(?:proxy-)?authorization|(?:set-)?cookie)|x-delete-token|delete(?:_|%5f)token|password|secret)
    (\\*['"]\s*,\s*|\\*['"]?\s*(?:[=:]|%(?:25)?3d)\s*)
    (?:\[[^\]]*|\([^)]*|(\\*b?(?P<quote>['"]))(?:\\.|(?!(?P=quote)).)*|(?(field)[^\r\n]+|[^&\s'",;)\]}]+))
    """,
    re.IGNORECASE | re.VERBOSE,
)


def redact_text(text: str) -> str:
    """`text` without the values of secrets that it names."""
    return _IN_TEXT.sub(lambda found: f"{found[1]}{found[3]}{found[4] or ''}{REDACTED}", text)


def redact(value: object, *, depth: int = 0) -> object:
    """`value` without secrets: mappings, lists and pairs by the names in them, texts and everything else as text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return redact_text(value)
    if depth < _MAX_DEPTH:
        if isinstance(value, Mapping):
            return {_text(key): _of(key, inner, depth=depth) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            if len(value) == 2 and is_secret(value[0]):
                return [value[0], REDACTED]
            return [redact(inner, depth=depth + 1) for inner in value]
    return redact_text(repr(value))


def is_secret(name: object) -> bool:
    """Whether a field called `name`, a text or bytes, holds a secret."""
    return isinstance(name, str | bytes) and _text(name).lower().replace("_", "-") in _NAMES


def _of(name: object, value: object, *, depth: int) -> object:
    return REDACTED if is_secret(name) else redact(value, depth=depth + 1)


def _text(name: object) -> str:
    return name.decode("latin-1") if isinstance(name, bytes) else str(name)
