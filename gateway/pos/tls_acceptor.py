"""A TLS port: accepts, shakes hands within bounds, hands the connection over.

Rules: a handshake ends within its time, and only so many are under way: one more ends
the one that has taken longest, so that whoever opens connections and says nothing
cannot keep an honest terminal out. Over the bound of connections nobody is even greeted.
A handshake that fails is counted, not logged: any scanner makes them by the thousand.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final

from channels.shared_buffer import ReadInto, shared_buffer
from gateway.metrics import Metrics

_BACKLOG: Final = 1024
_PAUSE_S: Final = 0.5
_SHUTDOWN_S: Final = 5.0


class TlsAcceptor:
    """One listening address under TLS."""

    def __init__(
        self,
        *,
        factory: Callable[[], asyncio.Protocol],
        has_room: Callable[[int], bool],
        metrics: Metrics,
        handshake_timeout_s: float,
        max_handshakes: int,
        keepalive_s: float,
    ) -> None:
        """``has_room`` is told how many handshakes are under way besides its connections."""
        buffer = shared_buffer()
        self._factory = lambda: ReadInto(buffer, factory())
        self._has_room = has_room
        self._metrics = metrics
        self._handshake_timeout_s = handshake_timeout_s
        self._max_handshakes = max_handshakes
        self._keepalive_s = keepalive_s
        self._listening: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._shaking: dict[asyncio.Task[None], socket.socket] = {}

    def handshakes(self) -> int:
        """Handshakes under way."""
        return len(self._shaking)

    async def start(self, host: str, port: int, tls: ssl.SSLContext) -> int:
        """Listen; returns the real port.

        Raises:
            OSError: the address cannot be had.
        """
        loop = asyncio.get_running_loop()
        places = await loop.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, _, _, _, address in dict.fromkeys(places):
            place = (address[0], port, *address[2:])
            listening = socket.create_server(
                place, family=family, backlog=_BACKLOG, reuse_port=True
            )
            listening.setblocking(False)
            keep_alive(listening, self._keepalive_s)
            port = int(listening.getsockname()[1])
            self._listening.append(listening)
            self._accepting.append(loop.create_task(self._accept(listening, tls)))
        return port

    async def _accept(self, listening: socket.socket, tls: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                peer, _ = await loop.sock_accept(listening)
            except OSError:  # no file descriptor left, most likely: some must close first
                await asyncio.sleep(_PAUSE_S)
                continue
            if not self._has_room(len(self._shaking)):
                self._metrics.refused_connections.inc()
                peer.close()
            else:
                if len(self._shaking) >= self._max_handshakes:
                    next(iter(self._shaking)).cancel()
                shaking = loop.create_task(self._shake(peer, tls))
                self._shaking[shaking] = peer
                shaking.add_done_callback(self._shaken)
            await asyncio.sleep(0)  # an accept that need not wait must not starve the others

    async def _shake(self, peer: socket.socket, tls: ssl.SSLContext) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._factory,
                peer,
                ssl=tls,
                ssl_handshake_timeout=self._handshake_timeout_s,
                ssl_shutdown_timeout=_SHUTDOWN_S,
            )
        except OSError:  # SSLError and TimeoutError among them
            self._metrics.failed_handshakes.inc()
        except asyncio.CancelledError:
            self._metrics.failed_handshakes.inc()
            raise

    def _shaken(self, task: "asyncio.Task[None]") -> None:
        peer = self._shaking.pop(task)
        if task.cancelled():  # perhaps before the transport had it
            peer.close()

    def hang_up(self) -> None:
        """Take no new connection and end the handshakes."""
        for task in (*self._accepting, *self._shaking):
            task.cancel()
        for listening in self._listening:
            listening.close()
        self._listening.clear()

    async def close(self) -> None:
        """Hang up and wait until nothing is under way."""
        self.hang_up()
        await asyncio.gather(*self._accepting, *self._shaking, return_exceptions=True)
        self._accepting.clear()


def keep_alive(listening: socket.socket, after_s: float) -> None:
    """Let TCP ask a silent peer whether it lives; three unanswered questions end it.

    What is accepted has the settings of what listens.
    """
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    pause_s = max(1, int(after_s / 3))
    for name, value in (
        ("TCP_KEEPIDLE", max(1, int(after_s))),
        ("TCP_KEEPINTVL", pause_s),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", 1000 * max(1, int(2 * after_s))),
    ):
        if hasattr(socket, name):
            listening.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
