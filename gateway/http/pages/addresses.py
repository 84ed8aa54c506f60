"""Whose request it is, for the rate limits: the payer's address. Pure.

Rules: the peer of the connection, unless that is one of the operator's own proxies; then
what the nearest proxy wrote into ``X-Forwarded-For``, read from its end, since everything
before the proxies' own entries may be invented. IPv6 counts by the /64 that one customer has.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

Network = IPv4Network | IPv6Network
_KEPT: Final = 4096
"""Addresses whose reading is remembered: one payer asks again and again."""
_MOST: Final = 8
"""Proxies in a row that are believed."""


def payer_address(peer: str, forwarded_for: str, proxies: Sequence[Network]) -> str:
    """The address that a request counts for; ``""`` where none can be read."""
    address = _read(peer)
    for said in reversed(forwarded_for.split(",")[-_MOST:]):
        if address is None or not any(address in network for network in proxies):
            break
        further = _read(said)
        if further is None:  # what a proxy did not write is nobody's address
            break
        address = further
    if address is None:
        return ""
    return _counted(address)


@lru_cache(maxsize=_KEPT)
def _counted(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv6Address):
        return str(ip_network((address, 64), strict=False).network_address)
    return str(address)


@lru_cache(maxsize=_KEPT)
def _read(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
