"""Network addresses, and whom a limit means when one of them comes."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

_MAX_REMEMBERED = 4096
#: The smallest network that IPv6 is handed out in: whoever has one address has all of them.
_PREFIX = 64


def parse_address(text: str) -> Address | None:
    """The address in `text`, None without one; an IPv4 address that is written as an IPv6 one becomes itself again."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


@lru_cache(maxsize=_MAX_REMEMBERED)
def limit_subject(client: str) -> str:
    """Whom a limit counts when `client` comes: the address itself, or the /64 network of an IPv6 one.

    What is no address stands for itself.
    """
    address = parse_address(client)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address), _PREFIX), strict=False))
    return client if address is None else str(address)
