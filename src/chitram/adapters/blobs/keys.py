"""Which keys a store takes. They are made by us alone; checking them all the same keeps every path below the root."""

import re

MAX_KEY_LENGTH = 512

# A part begins with a letter or digit: "." and "..", hidden files and our own marker can never be named.
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}"
_KEY = re.compile(rf"{_PART}(?:/{_PART})*", re.ASCII)
_PREFIX = re.compile(rf"(?:{_PART}/)*(?:{_PART})?", re.ASCII)


def require_key(key: str) -> str:
    """`key` itself; ValueError unless it is relative, of plain parts and at most 512 characters long."""
    if len(key) > MAX_KEY_LENGTH or _KEY.fullmatch(key) is None:
        raise ValueError(f"not a key: {key[:80]!r}")
    return key


def require_prefix(prefix: str) -> str:
    """`prefix` itself; ValueError unless some key can begin with it. The empty one is the beginning of all."""
    if len(prefix) > MAX_KEY_LENGTH or _PREFIX.fullmatch(prefix) is None:
        raise ValueError(f"not a prefix of keys: {prefix[:80]!r}")
    return prefix


def require_directory_prefix(prefix: str) -> str:
    """`prefix` itself; ValueError unless it is a prefix of keys that ends in `/`."""
    if not prefix.endswith("/"):
        raise ValueError(f"a prefix must end in a slash: {prefix[:80]!r}")
    return require_prefix(prefix)


def is_key(text: str) -> bool:
    """Whether `text` has the form of a key."""
    return len(text) <= MAX_KEY_LENGTH and _KEY.fullmatch(text) is not None
