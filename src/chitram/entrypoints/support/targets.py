"""Request targets that are not just a path (RFC 9112, section 3.2)."""

import re

# Names and passwords before an @ are nobody's host.
_ABSOLUTE = re.compile(rb"(?i)https?://([^/?#@]+)(?=[/?]|\Z)")


def authority(target: bytes) -> bytes | None:
    """The host, with its port if there is one, in a target of the absolute form; None for `*`, which has none.

    ValueError for anything else: a proxy may be asked for other schemes and for tunnels, we may not.
    """
    if target == b"*":
        return None
    match = _ABSOLUTE.match(target)
    if match is None:
        raise ValueError("the request target has a form that is not answered here")
    return match.group(1)
