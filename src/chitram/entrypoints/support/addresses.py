"""Where a request really came from, when proxies stand in between."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_network

from chitram.domain.addresses import Address, parse_address

_MAX_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Origin:
    """The client's address as text, and the scheme that it used; None where no proxy said."""

    client: str
    scheme: str | None = None


class TrustedProxies:
    """Networks whose forwarding fields are believed. Nobody else's are."""

    def __init__(self, networks: Iterable[str]) -> None:
        """`networks` in CIDR notation or single addresses. Raises ValueError for anything else."""
        self._networks = tuple(ip_network(name, strict=False) for name in networks)
        self._origins: dict[str, Origin | None] = {}

    def origin(self, peer: str | None, headers: Mapping[bytes, bytes]) -> Origin:
        """The origin of a request that arrived from `peer` (None when unknown) with these fields.

        Of the forwarded addresses the right-most one that is no trusted proxy counts: everything to its left was
        written by strangers. A forwarded host does not count: most proxies pass on the one that a client made up.
        """
        untrusted = self._untrusted(peer or "")
        if untrusted is not None:
            return untrusted
        return Origin(
            client=self._client(peer or "", headers.get(b"x-forwarded-for", b"")),
            scheme=_scheme(_last(headers.get(b"x-forwarded-proto", b""))),
        )

    def trusts(self, peer: str) -> bool:
        """Whether `peer`, the address of a connection, is one of ours."""
        return self._untrusted(peer) is None

    def _untrusted(self, peer: str) -> Origin | None:
        """The origin of requests from `peer`, or None when it is a trusted proxy. Remembered for the last few peers."""
        if peer in self._origins:
            return self._origins[peer]
        address = parse_address(peer)
        origin = Origin(peer) if address is None else None if self._trusts(address) else Origin(str(address))
        if len(self._origins) >= _MAX_REMEMBERED:
            self._origins.clear()
        self._origins[peer] = origin
        return origin

    def _client(self, peer: str, forwarded: bytes) -> str:
        nearest = str(parse_address(peer) or "")
        for hop in reversed(forwarded.decode("latin-1").split(",")):
            address = parse_address(_without_port(hop.strip()))
            if address is None:
                break
            nearest = str(address)
            if not self._trusts(address):
                break
        return nearest

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def _without_port(hop: str) -> str:
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def _last(field: bytes) -> str:
    return field.decode("latin-1").rpartition(",")[2].strip()


def _scheme(name: str) -> str | None:
    return name.lower() if name.lower() in ("http", "https") else None
