"""Looking a host name up without keeping anybody else waiting, and judging what it means.

Rules: look-ups run in threads of their own, a bounded number at once, so that a stranger's
slow name server stops no channel. A look-up cannot be stopped and may outlast whoever asked:
the next one who asks for the same name waits for it and takes no thread more. A name is let
through only when *every* address of it may be called, and the caller connects to exactly
these, by sockets that take little at a time.
"""

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

Vet = Callable[[str, str], None]
"""Judges a host's address before it is connected; what it raises passes through."""
_RECEIVE_BYTES: Final = 4096
_Question = tuple[str, int, socket.AddressFamily]


@dataclass(frozen=True, slots=True)
class Place:
    """One address of a name."""

    family: socket.AddressFamily
    protocol: int
    address: str


class Lookups:
    """Names to vetted addresses."""

    def __init__(self, vet: Vet, at_once: int) -> None:
        self._vet = vet
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="lookup")
        self._asked: dict[_Question, asyncio.Future[list[Place]]] = {}

    async def find(self, host: str, port: int, family: socket.AddressFamily) -> list[Place]:
        """Every address of ``host``; raises ``OSError`` when there is no such name."""
        question = host, port, family
        asked = self._asked.get(question)
        if asked is None:
            asked = asyncio.get_running_loop().run_in_executor(self._threads, _look_up, *question)
            self._asked[question] = asked
            asked.add_done_callback(lambda done: self._answered(question, done))
        found = await asyncio.shield(asked)
        for place in found:
            self._vet(host, place.address)
        return found

    def _answered(self, question: _Question, done: "asyncio.Future[list[Place]]") -> None:
        del self._asked[question]
        if not done.cancelled():
            done.exception()  # who asked may be gone: nobody need hear of it

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


def narrow_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket for an entry of ``getaddrinfo``; what a stranger pours into it comes in sips.

    An endless answer in small pieces, each of which is read at once, would otherwise
    keep everybody else waiting for as long as a full buffer takes.
    """
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
    return made
