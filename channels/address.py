"""Where a channel may be: TLS everywhere, plain HTTP only on this machine.

Pure. The HTTP client and every plugin that takes a URL hold to the same rule.
"""

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine (``localhost``, 127/8 or ``::1``)."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def refusal(url: str) -> str:
    """Why ``url`` may not be called, in words; ``""`` when it may."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "not a URL"
    if not host or parts.username is not None or parts.fragment:
        return "needs a host, and neither user information nor a fragment"
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)):
        return ""
    return "must be https (plain http only towards this machine)"
