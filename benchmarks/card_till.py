"""Card sales of one terminal, as fast as they can be made.

Rules: the first sale is built by ``pos_protocol.terminal``; the others are the same
bytes with amount (F4) and trace (F11) put in their places and a MAC of their own. Cards
are invented, one per terminal; every sale carries a PIN.
"""

from dataclasses import dataclass
from typing import Final

from domain.errors import Unavailable
from gateway.cli.installation import POS_MERCHANT_ID
from gateway.cli.terminal_client import TerminalClient, TerminalPlace, TerminalSecurity
from pos_protocol.card import luhn_valid, magnetic_card
from pos_protocol.codec import CodecError, decode, mac_input
from pos_protocol.framing import frame
from pos_protocol.terminal import Terminal, TerminalIdentity, TerminalScheme

BATCH: Final = "000001"
PIN: Final = "123456"
_AMOUNT_AT: Final = slice(24, 30)
_TRACE_AT: Final = slice(30, 33)
_BODY_AT: Final = 11


def invented_pan(number: int) -> str:
    """The ``number``-th invented card: 16 digits from 99, Luhn-valid, no scenario of the host."""
    base = f"9911{number:011d}"
    return next(base + check for check in "0123456789" if luhn_valid(base + check))


@dataclass(frozen=True, slots=True, kw_only=True)
class TillKeys:
    """A terminal's keys as the benchmark hands them to a load generator, hex."""

    terminal_id: str
    tmk: str
    wrapped: str = ""

    def __repr__(self) -> str:
        return f"TillKeys({self.terminal_id!r})"


async def signed_in(keys: TillKeys, host: str, port: int) -> TerminalSecurity:
    """The terminal's working keys: those given, or fetched by a sign-in."""
    place = TerminalPlace(
        host=host,
        port=port,
        merchant_id=POS_MERCHANT_ID,
        terminal_id=keys.terminal_id,
        tmk=bytes.fromhex(keys.tmk),
    )
    if keys.wrapped:
        security = TerminalSecurity(place)
        if not security.unwrap_keys(TerminalScheme.TDES, bytes.fromhex(keys.wrapped)):
            raise Unavailable("the working keys do not check")
        return security
    client = TerminalClient(place)
    try:
        outcome = await client.exchange(client.terminal.sign_in())
    finally:
        await client.close()
    if not outcome.approved or client.terminal.batch != BATCH:
        raise Unavailable(f"sign-in of {keys.terminal_id} answered {outcome.response_code}")
    return client.security


class CardTill:
    """See :class:`benchmarks.tills.Till`."""

    def __init__(self, number: int, terminal_id: str, security: TerminalSecurity) -> None:
        self._security = security
        self._terminal_id = terminal_id
        self._card = magnetic_card(invented_pan(number), "3012")
        self._trace = 0
        payload = self._whole(1, 1)
        self._head = payload[: _AMOUNT_AT.start]
        self._tail = payload[_TRACE_AT.stop : -8]
        if self._patched(100, 7) != self._whole(100, 7):
            raise ValueError("amount and trace are not where they are expected")

    def _whole(self, amount_fen: int, trace: int) -> bytes:
        identity = TerminalIdentity(terminal_id=self._terminal_id, merchant_id=POS_MERCHANT_ID)
        terminal = Terminal(identity, self._security, trace=trace, batch=BATCH)
        return terminal.sale(self._card, amount_fen, PIN).payload

    def _patched(self, amount_fen: int, trace: int) -> bytes:
        moved = bytes.fromhex(f"{amount_fen:012d}{trace:06d}")
        payload = self._head + moved + self._tail
        return payload + self._security.mac(payload[_BODY_AT:])

    def build(self) -> bytes:
        """A sale of another amount under the next trace number."""
        self._trace += 1
        return frame(self._patched(100 + self._trace % 100_000, self._trace))

    def cut(self, data: bytes) -> int:
        """Two length bytes, then the payload."""
        if len(data) < 2:
            return 0
        size = (data[0] << 8 | data[1]) + 2
        return size if len(data) >= size else 0

    def judge(self, request: bytes, answer: bytes) -> str:
        """F39 00, the sale's own amount and trace, this terminal, and the MAC."""
        asked, payload = request[2:], answer[2:]
        try:
            message = decode(payload)
        except CodecError as error:
            return str(error)
        if message.text(39) != "00":
            return f"F39 {message.text(39)}"
        if message.mti != "0210" or message.text(41) != self._terminal_id:
            return "another message"
        if bytes.fromhex(message.text(4) + message.text(11)) != asked[24:33]:
            return "another amount or trace"
        if message.data(64) != self._security.mac(mac_input(payload)):
            return "wrong MAC"
        return ""
