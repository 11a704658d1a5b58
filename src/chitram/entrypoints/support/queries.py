"""The query of a request, read in one way at every door."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from chitram.domain.errors import ValidationFailed

#: Parameters of ours. Each means one thing, so none may be there twice.
_SINGLE = ("size", "v", "download", "delete_token", "cursor", "limit", "distance", "visibility")

_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")


def parse_query(query_string: bytes) -> dict[str, str]:
    """The query's parameters. ValidationFailed when one of ours is there twice: caches and servers might differ."""
    if not query_string:
        return {}
    pairs = _split(query_string.decode("latin-1"))
    query = dict(pairs)
    if len(query) != len(pairs):
        names = [name for name, _ in pairs]
        for name in _SINGLE:
            if names.count(name) > 1:
                raise ValidationFailed.of(name, "must be there only once")
    return query


def integer_parameter(query: Mapping[str, str], name: str, *, default: int, lowest: int, highest: int) -> int:
    """The number in the parameter `name`; ValidationFailed unless it is written in digits and within the bounds."""
    text = query.get(name)
    if text is None:
        return default
    if not _NUMBER.fullmatch(text) or not lowest <= int(text) <= highest:
        raise ValidationFailed.of(name, f"must be a whole number from {lowest} to {highest}")
    return int(text)


def _split(text: str) -> list[tuple[str, str]]:
    if "%" in text or "+" in text:
        return parse_qsl(text, keep_blank_values=True)
    return [(name, value) for name, _, value in (part.partition("=") for part in text.split("&"))]
