"""Which open connection speaks for which terminal: where a push goes.

Rules: a connection speaks for a terminal once it brought a message of it that the door
answered under the terminal's own MAC key, until another connection does or it closes.
Only so many terminals are remembered. Nothing here waits or raises: what cannot be
pushed now is not pushed, and the terminal asks for itself.
"""

from collections.abc import Sequence

from gateway.pos.connection import PosConnection
from pos_protocol.codec import has_mac
from pos_protocol.message import Message

_Terminal = tuple[str, str]


class Pushes:
    """The terminals of this process's connections, by merchant (F42) and terminal (F41)."""

    def __init__(self, max_terminals: int) -> None:
        self._max_terminals = max_terminals
        self._lines: dict[_Terminal, PosConnection] = {}
        self._terminals: dict[PosConnection, set[_Terminal]] = {}
        self._merchants: dict[str, list[str]] = {}

    def reachable(self) -> int:
        """Terminals that a push would reach now."""
        return len(self._lines)

    def heard(self, connection: PosConnection, request: Message, reply: bytes | None) -> None:
        """Remember whose connection this is, if the answer says that its MAC was right.

        The door puts a MAC only under an answer to a message whose own MAC was right.
        """
        if reply is None or not has_mac(reply):
            return
        terminal = request.text(42), request.text(41)
        before = self._lines.get(terminal)
        if before is connection:
            return
        if before is None and len(self._lines) >= self._max_terminals:
            return
        if before is not None:
            self._terminals[before].discard(terminal)
        self._lines[terminal] = connection
        if before is None:
            self._merchants.setdefault(terminal[1], []).append(terminal[0])
        self._terminals.setdefault(connection, set()).add(terminal)

    def left(self, connection: PosConnection) -> None:
        """A connection is gone."""
        for terminal in self._terminals.pop(connection, ()):
            del self._lines[terminal]
            merchant_id, terminal_id = terminal
            self._merchants[terminal_id].remove(merchant_id)
            if not self._merchants[terminal_id]:
                del self._merchants[terminal_id]

    def merchants_of(self, terminal_id: str) -> Sequence[str]:
        """Of which merchants a terminal of this number would be reached."""
        return tuple(self._merchants.get(terminal_id, ()))

    def push(self, merchant_id: str, terminal_id: str, payload: bytes) -> bool:
        """Send ``payload`` to a terminal; ``False`` when it is not here or has too many waiting."""
        connection = self._lines.get((merchant_id, terminal_id))
        return connection is not None and connection.push(payload)
