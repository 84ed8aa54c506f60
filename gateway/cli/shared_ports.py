"""Ports that another process listens on already.

Rule: sharing is what workers and overlapping restarts do, so it is said and never refused. By
mistake (a second installation on one port) the kernel would deal terminals out among strangers,
and each would tell some of them that it does not know them.
"""

import errno
import socket
from collections.abc import Sequence

from gateway.config import Config, LoadedConfig
from gateway.config_ports import listening
from gateway.logs import Log


def warn_of_shared_ports(loaded: LoadedConfig, log: Log) -> None:
    """Say which ports are not a gateway's own alone, before it takes its share of them."""
    for port in shared_ports(loaded.config):
        log.warning(
            "port shared",
            port=port,
            why="another process listens on it, and connections are dealt out to both",
            next="right where a restart overlaps; else stop one, or give it another port",
        )


def shared_ports(config: Config) -> Sequence[int]:
    """Which of the ports that a gateway would listen on are not its own alone."""
    return [one.port for one in listening(config) if one.port and _is_taken(one.host, one.port)]


def _is_taken(host: str, port: int) -> bool:
    """Whether somebody listens there and shares it; bound for a moment, never listening.

    Who shares nothing is not meant, nor a place that cannot be looked at: whoever listens there
    will say what is wrong.
    """
    try:
        places = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError):
        return False
    return any(
        _is_refused(family, place) and not _is_refused(family, place, shares=True)
        for family, _, _, _, place in places
    )


def _is_refused(family: int, place: tuple[object, ...], *, shares: bool = False) -> bool:
    """Whether the place cannot be bound because somebody has it."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that end
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shares))
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(place)
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False
