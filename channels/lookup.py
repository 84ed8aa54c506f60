"""Looking a host name up without keeping anybody else waiting, and judging what it means.

Rules: look-ups run in threads of their own, a bounded number at once, so that a stranger's
slow name server stops no channel; a name is let through only when *every* address of it may
be called, and the caller connects to exactly these.
"""

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

Vet = Callable[[str, str], None]
"""Judges a host's address before it is connected; what it raises passes through."""

_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class Place:
    """One address of a name."""

    family: socket.AddressFamily
    protocol: int
    address: str


class Lookups:
    """Names to vetted addresses."""

    def __init__(self, vet: Vet) -> None:
        self._vet = vet
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="lookup")

    async def find(self, host: str, port: int, family: socket.AddressFamily) -> list[Place]:
        """Every address of ``host``; raises ``OSError`` when there is no such name."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, _look_up, host, port, family)
        for place in found:
            self._vet(host, place.address)
        return found

    def close(self) -> None:
        """Wait for no look-up: its answer is nobody's."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[Place]:
    places = []
    for kind, _, protocol, _, name in socket.getaddrinfo(host, port, family, socket.SOCK_STREAM):
        if kind is socket.AF_INET6 and len(name) == 4 and name[3]:
            places.append(Place(kind, protocol, f"{name[0]}%{name[3]}"))
        elif kind in (socket.AF_INET, socket.AF_INET6):
            places.append(Place(kind, protocol, str(name[0])))
    return places
