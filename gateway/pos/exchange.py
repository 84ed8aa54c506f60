"""One message on its way through the POS door."""

from dataclasses import dataclass
from functools import partial

from gateway.directory import KnownTerminal, OpenKeys
from pos_protocol.codec import MAC_BYTES, Message, encode, encode_with_mac, has_mac, mac_input
from pos_protocol.response_codes import APPROVED
from pos_protocol.session import reply_to
from pos_protocol.transactions import Transaction, batch_of


@dataclass(slots=True, repr=False)
class Exchange:
    """One message on its way; what the log line will say gathers here."""

    message: Message
    payload: bytes
    known: KnownTerminal
    transaction: Transaction | None = None
    keys: OpenKeys | None = None
    payment_id: str = ""
    response_code: str = ""
    instruction: int = 0
    """What the terminal shall do next (:class:`pos_protocol.header.HostInstruction`)."""
    _order_key: str = ""

    def __repr__(self) -> str:
        return f"Exchange({self.message!r}, payment_id={self.payment_id!r})"

    @property
    def order_key(self) -> str:
        """Terminal, batch and trace: what a sale and its reversal share."""
        if not self._order_key:
            message = self.message
            self._order_key = f"{message.text(41)}-{batch_of(message)}-{message.text(11)}"
        return self._order_key

    def reply(self, fields: dict[int, str | bytes]) -> bytes:
        """The answer's payload, with a MAC when the terminal has a key."""
        self.response_code = str(fields.get(39, APPROVED))  # a settlement answers in F48
        known, keys = self.known, self.keys
        dialect = known.dialect
        answer = reply_to(
            self.message,
            fields,
            transaction=self.transaction,
            processing=self.instruction,
            dialect=dialect,
        )
        if keys is None:
            return encode(answer, dialect)
        return encode_with_mac(answer, partial(known.mac, keys.mac), dialect)

    def again(self, kept: bytes) -> bytes:
        """A kept answer as it goes out once more: its MAC under the keys of this request.

        The same bytes, unless the terminal has signed in since: it could not believe a MAC
        under keys that it no longer has, and would ask for ever.
        """
        if self.keys is None or not has_mac(kept):
            return kept
        return kept[:-MAC_BYTES] + self.known.mac(self.keys.mac, mac_input(kept))
