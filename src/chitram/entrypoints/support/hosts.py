"""Which host names this server answers to."""

import re
from collections.abc import Iterable

from chitram.domain.errors import InvalidRequest

# A registered name, an IPv4 address or a bracketed IPv6 address, and perhaps a port. Nothing that could end an address
# in one of our answers early.
_SYNTAX = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?\Z")
_MAX_REMEMBERED = 1024


def require_host(text: str) -> str:
    """The name in `text`, a name with or without port, in small letters. InvalidRequest when it is none, or several."""
    match = _SYNTAX.match(text)
    if match is None:
        raise _refusal()
    return match.group(1).lower().rstrip(".")


class AllowedHosts:
    """Names that are answered to: exact ones, `*.example.org` for everything below, or any when there are none."""

    def __init__(self, names: Iterable[str]) -> None:
        lowered = [name.lower() for name in names]
        self._any = not lowered or "*" in lowered
        self._exact = frozenset(name for name in lowered if not name.startswith("*."))
        self._suffixes = tuple(name[1:] for name in lowered if name.startswith("*."))
        self._accepted: set[str] = set()

    def check(self, host: str) -> None:
        """Raise InvalidRequest unless `host`, a name with or without port, is answered to."""
        if host in self._accepted:
            return
        if not self._allows(require_host(host)):
            raise _refusal()
        if len(self._accepted) >= _MAX_REMEMBERED:
            self._accepted.clear()
        self._accepted.add(host)

    def _allows(self, name: str) -> bool:
        return self._any or name in self._exact or name.endswith(self._suffixes)


def _refusal() -> InvalidRequest:
    return InvalidRequest("This server does not answer to that host name.", details={"field": "host"})
