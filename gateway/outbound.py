"""Where a merchant's URL may lead us: to the public internet, or where the operator allows.

Rules: a URL is judged twice. :func:`refusal` is pure and sees the text alone: it refuses
whatever could mean different things to different readers (user information, back
slashes, non-ASCII, IPv4 in any spelling but four plain decimals, zone ids, trailing dots)
and literal addresses that are not public. :meth:`OutboundPolicy.vet` judges the very
address that is about to be connected, so that a name that resolves to a private address,
at once or only later, leads nowhere. A name or network of ``notifications.allow`` is exempt
from what is said about addresses and ports, never from what is said about the text.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

MAX_URL: Final = 512
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}
_PLAIN = re.compile(r"[!#-;=?-\[\]_a-z~]+", re.ASCII | re.IGNORECASE)
"""Printable ASCII without space, quotes, ``<``, ``>``, back slash, ``^``, `````, ``{|}``."""
_NAME = re.compile(
    r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_HERE: Final = ("localhost", "local", "internal", "intranet", "lan", "home.arpa", "onion")
"""Names that mean something else in every network (RFC 6761, 6762, 8375, 9476 and habit)."""

_SPECIAL: Final = tuple(
    ip_network(text)
    for text in (
        "192.0.0.0/24",  # IETF protocols, and a cloud's metadata at 192.0.0.192
        "192.88.99.0/24",  # 6to4 relays
        "168.63.129.16/32",  # a cloud's host agent, on a public address
    )
)
_PUBLIC_6: Final = IPv6Network("2000::/3")
_SPECIAL_6: Final = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # Teredo, ORCHID, benchmarking and other protocols
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address in disguise
        "3fff::/20",  # documentation
    )
)
_NAT64: Final = IPv6Network("64:ff9b::/96")
_ISATAP: Final = (0x00005EFE, 0x02005EFE)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Refused(Exception):
    """The URL or its address is not called, now or later; the text is safe to show."""


@dataclass(frozen=True, slots=True)
class OutboundPolicy:
    """What the operator allows: ``notifications.allow_http``, ``ports`` and ``allow``."""

    allow_http: bool = False
    ports: frozenset[int] = frozenset((80, 443, 8443))
    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = frozenset()

    def vet(self, host: str, address: str) -> None:
        """Judge the address that ``host`` is about to be connected at.

        Raises:
            Refused: it is not public, and neither it nor the host is allowed.
        """
        if host.lower() in self.hosts:
            return
        reason = self.address_refusal(address)
        if reason:
            raise Refused(reason)

    def address_refusal(self, address: str) -> str:
        """Why an address may not be called; ``""`` when it may."""
        try:
            parsed = ip_address(address)
        except ValueError:
            return "the address is not one"
        if isinstance(parsed, IPv6Address) and parsed.scope_id is not None:
            return "the address has a zone"
        inner = _inner(parsed)
        if any(inner in network for network in self.networks):
            return ""
        return "" if _is_public(inner) else "the address is not a public one"


def read_policy(*, allow_http: bool, ports: Iterable[int], allow: Iterable[str]) -> OutboundPolicy:
    """The policy that a configuration describes.

    Raises:
        ValueError: an entry of ``allow`` is neither a network nor a host name.
    """
    networks: list[Network] = []
    hosts: list[str] = []
    for entry in allow:
        found = read_allowance(entry)
        if isinstance(found, str):
            hosts.append(found)
        else:
            networks.append(found)
    return OutboundPolicy(allow_http, frozenset(ports), tuple(networks), frozenset(hosts))


def read_allowance(entry: str) -> Network | str:
    """An entry of ``notifications.allow``: a network, an address, or a host name.

    Raises:
        ValueError: it is none of these.
    """
    try:
        return ip_network(entry)
    except ValueError:
        name = entry.lower()
        if len(name) > 253 or _NAME.fullmatch(name) is None or _ends_in_number(name):
            raise ValueError("must be a network (10.1.0.0/16), an address or a host name") from None
        return name


def refusal(url: str, policy: OutboundPolicy) -> str:
    """Why a URL may not be called, as far as its text tells; ``""`` when it may.

    What it lets through has a scheme, a host and a port that every reader agrees on.
    """
    if len(url) > MAX_URL:
        return f"must have at most {MAX_URL} characters"
    if _PLAIN.fullmatch(url) is None:
        return "must be plain ASCII: percent-encode it, and write the host in its xn-- form"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in _DEFAULT_PORTS or not host:
        return "must be an https address with a host"
    if parts.scheme == "http" and not policy.allow_http:
        return "must be https"
    if "@" in parts.netloc or "#" in url:
        return "must have neither user information nor a fragment"
    if not _is_written_plainly(parts.netloc, host, port):
        return "must name its host and port plainly"
    return _place_refusal(host, port or _DEFAULT_PORTS[parts.scheme], policy)


def _is_written_plainly(netloc: str, host: str, port: int | None) -> bool:
    """Whether host and port put together again are what was written."""
    shown = f"[{host}]" if ":" in host else host
    return netloc.lower() in ((shown,) if port is None else (f"{shown}:{port}",)) and port != 0


def _place_refusal(host: str, port: int, policy: OutboundPolicy) -> str:
    if ":" in host or _ends_in_number(host):
        reason = _literal_refusal(host, policy)
        allowed = not reason and bool(policy.networks) and _is_allowed(host, policy)
    else:
        allowed = host in policy.hosts
        reason = "" if allowed else _name_refusal(host)
    if not reason and not allowed and port not in policy.ports:
        return f"must use a port of {', '.join(str(one) for one in sorted(policy.ports))}"
    return reason


def _literal_refusal(host: str, policy: OutboundPolicy) -> str:
    """Four plain decimals or an IPv6 address; nothing that ``inet_aton`` would take besides."""
    try:
        ip_address(host)
    except ValueError:
        return "must write an address in its usual form"
    return policy.address_refusal(host)


def _is_allowed(host: str, policy: OutboundPolicy) -> bool:
    inner = _inner(ip_address(host))
    return any(inner in network for network in policy.networks)


def _name_refusal(host: str) -> str:
    if len(host) > 253 or _NAME.fullmatch(host) is None:
        return "must name its host in full, without a trailing dot"
    if "." not in host or any(host == name or host.endswith(f".{name}") for name in _HERE):
        return "must name a public host"
    return ""


def _ends_in_number(host: str) -> bool:
    """Whether some reader would take the host for an IPv4 address (URL standard, 3.5)."""
    return _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]) is not None


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, where a packet to it would go there."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address):
        if address not in _PUBLIC_6 or any(address in network for network in _SPECIAL_6):
            return False
        return int(address) >> 32 & 0xFFFFFFFF not in _ISATAP
    if address.is_multicast or address.is_reserved or any(address in one for one in _SPECIAL):
        return False
    return address.is_global
