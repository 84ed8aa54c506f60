"""Ports for an installation that is made from nothing.

Rule: they lie below those that the system gives away by itself. One of those would be free now and
another's a moment later: of a server that leaves the choice to the system, or of a connection
that somebody opens; and the gateway that was promised it would not start.
"""

import contextlib
import secrets
import socket
from typing import Final

_QUIET: Final = range(15_000, 32_000)
"""Linux gives away 32,768 and up, unless it was told otherwise."""
_TRIES: Final = 1_000


def free_port() -> int:
    """A port of this machine's own address that nobody has now; the next one may be the same.

    Raises:
        OSError: none was found.
    """
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """As :func:`free_port`, so many, each another."""
    with contextlib.ExitStack() as held:
        return [_held(held) for _ in range(count)]


def _held(held: contextlib.ExitStack) -> int:
    """Binds a port until the others are chosen."""
    for _ in range(_TRIES):
        probe, port = socket.socket(), secrets.choice(_QUIET)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            probe.close()
        else:
            held.enter_context(probe)
            return port
    raise OSError("no port is free on 127.0.0.1")
