"""One message on its way through the POS door."""

from dataclasses import dataclass

from gateway.directory import KnownTerminal, OpenKeys
from pos_protocol.codec import Message, encode, encode_with_mac
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
        self.response_code = str(fields[39])
        answer = reply_to(self.message, fields, transaction=self.transaction)
        keys = self.keys
        if keys is None:
            return encode(answer)
        mac, key = self.known.mac, keys.mac
        return encode_with_mac(answer, lambda body: mac(key, body))
