"""The query of a request, read in one way at every door."""

from urllib.parse import parse_qsl

from chitram.domain.errors import ValidationFailed

#: Parameters of ours. Each means one thing, so none may be there twice.
_SINGLE = ("size", "v", "download", "delete_token", "cursor", "limit", "distance")


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
                raise invalid_parameter(name, "must be there only once")
    return query


def invalid_parameter(name: str, message: str) -> ValidationFailed:
    """The error for a parameter that is not as it should be."""
    return ValidationFailed(details={"errors": [{"field": name, "message": message}]})


def _split(text: str) -> list[tuple[str, str]]:
    if "%" in text or "+" in text:
        return parse_qsl(text, keep_blank_values=True)
    return [(name, value) for name, _, value in (part.partition("=") for part in text.split("&"))]
