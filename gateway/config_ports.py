"""Where a configuration listens, and that no two listen at one place.

Rule: both would open it, and the kernel would deal what comes out among them.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from domain.errors import ConfigurationError

if TYPE_CHECKING:
    from gateway.config import Config

_EVERY_ADDRESS: Final = ("", "0.0.0.0", "::")  # noqa: S104 - compared, not listened on


@dataclass(frozen=True, slots=True)
class Listening:
    """A key of the configuration and the place that it opens; port 0 is the system's choice."""

    key: str
    host: str
    port: int

    def meets(self, other: "Listening") -> bool:
        """Whether both would open one port."""
        hosts = (self.host, other.host)
        one_host = hosts[0] == hosts[1] or any(host in _EVERY_ADDRESS for host in hosts)
        return bool(self.port) and self.port == other.port and one_host


def listening(config: "Config") -> Iterator[Listening]:
    """The places of a gateway's doors."""
    pos, http = config.pos, config.http
    if pos.plain:
        yield Listening("pos.port", pos.host, pos.port)
    if pos.tls is not None:
        yield Listening("pos.tls_port", pos.host, pos.tls_port or 0)
        yield Listening("pos.https_port", pos.host, pos.https_port or 0)
    yield Listening("http.port", http.host, http.port)


def clashes(config: "Config") -> Iterator[tuple[Listening, Listening]]:
    """Each place with an earlier one that it meets; those of ``posgate sandbox`` included."""
    seen: list[Listening] = []
    for place in (*listening(config), *_sandbox(config)):
        earlier = next((one for one in seen if one.meets(place)), None)
        if earlier is not None:
            yield place, earlier
        seen.append(place)


@contextmanager
def named(key: str, host: str, port: int) -> Iterator[None]:
    """Say where nothing could be opened.

    Raises:
        ConfigurationError: the system would not, or does not know the host.
    """
    try:
        yield
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(
            f"{key}: cannot listen on {host or '*'}:{port}: {_reason(error)};"
            " stop what has it, or give another host or port"
        ) from None


def check_host(key: str, host: str) -> None:
    """Look whether one could listen there.

    Raises:
        ConfigurationError: the name is not known, or the address is no one of this machine's.
    """
    try:
        for family, _, _, _, place in socket.getaddrinfo(
            host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.bind(place)
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(
            f"{key}: cannot listen on {host or '*'}: {_reason(error)}; give an address of this machine"
        ) from None


def _reason(error: OSError | UnicodeError) -> str:
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return str(getattr(error, "strerror", None) or error)


def _sandbox(config: "Config") -> Iterator[Listening]:
    section = config.sandbox
    if section is None:
        return
    yield Listening("sandbox.control_port", section.host, section.control_port)
    for name in ("alipay", "card", "wechat", "unionpay_qr", "wallets"):
        channel = getattr(section, name)
        if channel is not None:
            yield Listening(f"sandbox.{name}.port", section.host, channel.port)
