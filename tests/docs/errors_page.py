"""docs/reference/errors.md: every error code with its status and message."""

from collections.abc import Iterator

from chitram.domain.errors import ChitramError, InvalidReason
from chitram.entrypoints.support.errors import DEFAULT_RETRY_AFTER, STATUS_BY_CODE
from tests.docs.tables import code, table

INTRODUCTION = """# Errors

Every error has one shape, whatever raised it:

```json
{"detail": {"code": "IMAGE_NOT_FOUND", "message": "There is no such image.", "details": {}}}
```

With `Accept: application/problem+json` the same facts come as a problem document of RFC 9457. Branch on `code`, which
is stable; `message` is for people and may change. A status of 500 or more carries the request's id in
`details.request_id`, which is also in the logs. Where waiting helps, `Retry-After` says how many seconds. Errors are
never to be cached. A 401 carries `WWW-Authenticate: Bearer`.
"""

#: What `details` may hold, and with which codes; the sources are searched for names that are not here.
DETAILS = {
    "allow": ("METHOD_NOT_ALLOWED", "the methods that the address supports"),
    "errors": ("VALIDATION_ERROR", "for each field that is wrong its `field` and a `message`"),
    "field": ("INVALID_REQUEST, CHECKSUM_MISMATCH", "the header field, or the field of the form, that is meant"),
    "max_bytes": ("FILE_TOO_LARGE", "how large a file, or a small body, may be"),
    "reason": ("INVALID_FILE_FORMAT, THUMBNAIL_NOT_READY", "why, see below; a thumbnail with a reason will never be"),
    "request_id": ("500 and above", "what the logs call the request"),
    "required_scope": ("FORBIDDEN", "the scope that the API token lacks"),
    "size": ("RANGE_NOT_SATISFIABLE", "of the file, in bytes"),
}

REASONS = """## Why a picture was refused

`INVALID_FILE_FORMAT` says in `details.reason` what was wrong: """


def error_classes(parent: type[ChitramError] = ChitramError) -> Iterator[type[ChitramError]]:
    """Every error that the domain knows, `parent` included."""
    yield parent
    for child in parent.__subclasses__():
        if child.__module__ == ChitramError.__module__:
            yield from error_classes(child)


def render() -> str:
    known = {error.code: error for error in error_classes()}
    rows = [
        [
            code(name),
            str(STATUS_BY_CODE[name]),
            known[name].default_message,
            "yes" if name in DEFAULT_RETRY_AFTER else "",
        ]
        for name in sorted(known, key=lambda name: (STATUS_BY_CODE[name], name))
    ]
    reasons = ", ".join(code(reason.value) for reason in InvalidReason)
    return "\n".join(
        [
            INTRODUCTION,
            table(["Code", "Status", "Message", "Retry-After"], rows),
            "",
            "Messages may say more than these: the field, the limit, the time to wait.",
            "",
            "## What `details` holds",
            "",
            table(["Name", "With", "Is"], [[code(name), *about] for name, about in DETAILS.items()]),
            "",
            f"{REASONS}{reasons}.",
            "",
        ]
    )
