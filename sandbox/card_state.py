"""What the simulated card host keeps, and the fields that all its answers share."""

from collections.abc import Callable
from typing import Final

from domain.clock import beijing
from pos_protocol.codec import Message
from sandbox.card_books import CardBooks
from sandbox.card_link import LinkTerminal
from sandbox.config import CardHostConfig

ACQUIRER: Final = "99990000"
ISSUER_AND_ACQUIRER: Final = "99000000   99990000   "
Fields = dict[int, str | bytes]


class CardState:
    """Links, books and counters; lives as long as the sandbox."""

    def __init__(
        self, config: CardHostConfig, *, max_orders: int, random_bytes: Callable[[int], bytes]
    ) -> None:
        self.links = {
            link.terminal_id: LinkTerminal(link, config, random_bytes) for link in config.links
        }
        self.books = CardBooks(max_orders)
        self._serial = 0
        self._stamp_s = -1
        self._stamp = ("", "")

    def merchants(self) -> dict[str, str]:
        """Each link terminal's merchant."""
        return {terminal_id: link.merchant_id for terminal_id, link in self.links.items()}

    @property
    def serial(self) -> int:
        """The number that was given last."""
        return self._serial

    def next_serial(self) -> int:
        """A number for F37 and F38."""
        self._serial += 1
        return self._serial

    def stamp(self, now_ms: int) -> tuple[str, str]:
        """F12 and F13 in Beijing; made once a second, because every answer needs them."""
        second = now_ms // 1000
        if second != self._stamp_s:
            local = beijing(now_ms)
            self._stamp, self._stamp_s = (f"{local:%H%M%S}", f"{local:%m%d}"), second
        return self._stamp


def echo(message: Message, state: CardState, now_ms: int, code: str, reference: str = "") -> Fields:
    """The fields that every financial answer has; those the request lacks are left out."""
    time, date = state.stamp(now_ms)
    sent = message.fields
    fields: Fields = {
        12: time,
        13: date,
        15: date,
        32: ACQUIRER,
        37: reference or f"{state.next_serial():012d}",
        39: code,
        44: ISSUER_AND_ACQUIRER,
    }
    for number in (3, 4, 11, 14, 25, 41, 42, 49, 53, 60):
        if number in sent:
            fields[number] = sent[number]
    return fields
