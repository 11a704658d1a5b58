"""Takes secrets out of what is logged, wherever they stand in it."""

import re
from collections.abc import Mapping

REDACTED = "[redacted]"

# Names of fields whose value is nobody's business, and how those of others end; an underscore counts as a hyphen.
_NAMES = frozenset(
    {
        "--host-chitram-session",
        "authorization",
        "chitram-session",
        "cookie",
        "idempotency-key",
        "invite",
        "password",
        "password-hash",
        "proxy-authorization",
        "secret",
        "secret-key",
        "secret-keys",
        "set-cookie",
        "token",
        "token-hash",
    }
)
_ENDS = ("-password", "-password-hash", "-secret", "-secret-key", "-secret-keys", "-token", "-token-hash")
#: Deeper than this a value is searched as text.
_MAX_DEPTH = 8

#: A text without any of these words names no secret. To look for them costs a tenth of looking for the names.
_HINTS = ("token", "password", "secret", "authorization", "cookie", "chitram_session", "invite", "idempotency")

# A name, perhaps behind an escape such as %3F; what stands between it and its value, `=`, `: `, `": "`, `', b'`, `%3D`;
# and the value: up to its closing bracket or quote; without one, header fields take the rest of their line, for it may
# have several parts, and others one word. What repeats before a name is bounded, or long texts would take for ever.
_NAMED = re.compile(
    r"""
    (?:(?<![\w-])|(?<=%[0-9a-f]{2})|(?<=%25[0-9a-f]{2}))
    (
        (?P<field>(?:proxy-)?authorization|(?:set-)?cookie|(?:jwt_previous_)?secret_keys)
        |(?:[a-z0-9]{1,20}(?:[-_]|%(?:25)?5f)){0,4}
         (?:(?:token|password)(?:[-_]hash)?|secret(?:[-_]key)?|idempotency[-_]key|invite)
        |(?:__host-)?chitram_session
    )
    (\\*['"]\s*,\s*|\\*['"]?\s*(?:[=:]|%(?:25)?3d)\s*)
    (?:\[[^\]]*|\([^)]*|(\\*b?(?P<quote>['"]))(?:\\.|(?!(?P=quote)).)*|(?(field)[^\r\n]+|[^&\s'",;)\]}]+))
    """,
    re.IGNORECASE | re.VERBOSE,
)
# Our API tokens are known by their beginning, JWTs by theirs and their two dots: a run of their characters is looked at
# as a whole, once, for from each "eyJ" on it would take time by the square of its length.
_API_TOKEN = re.compile(r"chitram_[\w-]{43,}", re.ASCII)
_RUN = re.compile(r"[\w.-]{20,}", re.ASCII)


def redact_text(text: str) -> str:
    """`text` without the values of secrets that it names, and without tokens that are known by their form."""
    folded = text.lower()
    if any(hint in folded for hint in _HINTS):
        text = _NAMED.sub(lambda found: f"{found[1]}{found[3]}{found[4] or ''}{REDACTED}", text)
    if "chitram_" in text:
        text = _API_TOKEN.sub(f"chitram_{REDACTED}", text)
    if "eyJ" in text:
        text = _RUN.sub(_without_jwt, text)
    return text


def _without_jwt(found: re.Match[str]) -> str:
    run = found[0]
    start = run.find("eyJ")
    return run if start < 0 or run.count(".", start) < 2 else f"{run[:start]}{REDACTED}"


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
    if not isinstance(name, str | bytes):
        return False
    folded = _text(name).lower().replace("_", "-")
    return folded in _NAMES or folded.endswith(_ENDS)


def _of(name: object, value: object, *, depth: int) -> object:
    return REDACTED if is_secret(name) else redact(value, depth=depth + 1)


def _text(name: object) -> str:
    return name.decode("latin-1") if isinstance(name, bytes) else str(name)
