"""The one reply of an exchange: encoded, sealed, kept, given again.

Rules: a reply is encoded and sealed before the commit it belongs to, and sent after it.
It is kept under terminal, batch, trace and message type; an identical repeat gets it
byte for byte (its MAC anew, if the terminal has signed in since), another content under the
same key 94.
"""

from channels.port import Answer
from domain.clock import Clock
from domain.payment import Payment
from gateway.pos.exchange import Exchange
from gateway.pos.translate import RefusedError, is_scan, payment_fields, with_voucher
from gateway.store.port import PaymentStore, TerminalReply
from pos_protocol.response_codes import APPROVED, DUPLICATE
from signing.keywrap import Sealer


def reply_key(exchange: Exchange) -> str:
    """What the reply of this exchange is kept under, with its merchant."""
    return f"{exchange.order_key}-{exchange.message.mti}"


class Teller:
    """Encodes the one reply of an exchange; the store keeps it sealed."""

    __slots__ = ("_clock", "_exchange", "_fingerprint", "_sealer", "frame", "reply")

    def __init__(
        self, exchange: Exchange, fingerprint: bytes, sealer: Sealer, clock: Clock
    ) -> None:
        self._exchange = exchange
        self._fingerprint = fingerprint
        self._sealer = sealer
        self._clock = clock
        self.frame: bytes = b""
        self.reply: TerminalReply | None = None
        """``frame`` as it is kept; encoded is not committed: its commit may have lost."""

    def __call__(self, payment: Payment, answer: Answer | None) -> TerminalReply:
        now_ms = self._clock.now_ms()
        fields = payment_fields(payment, answer, now_ms)
        exchange = self._exchange
        if fields[39] == APPROVED and is_scan(exchange.message):
            fields[59] = with_voucher(exchange.message.text(59), payment.order.order_key)
        return self.kept(fields, now_ms)

    def kept(self, fields: dict[int, str | bytes], now_ms: int) -> TerminalReply:
        """Encode a reply of ``fields``, and seal it."""
        key = reply_key(self._exchange)
        self.frame = self._exchange.reply(fields)
        self.reply = TerminalReply(
            merchant_no=self._exchange.known.merchant.merchant_no,
            key=key,
            fingerprint=self._fingerprint,
            reply_sealed=self._sealer.seal(self.frame, key.encode()),
            created_at_ms=now_ms,
        )
        return self.reply


class KeptReplies:
    """The replies that terminals were given, as they are looked up and kept."""

    def __init__(self, store: PaymentStore, sealer: Sealer) -> None:
        self._store = store
        self._sealer = sealer

    async def find(self, exchange: Exchange, fingerprint: bytes | None = None) -> bytes | None:
        """The reply that this exchange got before; without ``fingerprint`` whatever it said.

        Raises:
            RefusedError: 94, it was given to another content.
        """
        key = reply_key(exchange)
        stored = await self._store.terminal_reply(exchange.known.merchant.merchant_no, key)
        if stored is None:
            return None
        if fingerprint is not None and stored.fingerprint != fingerprint:
            raise RefusedError(DUPLICATE, "this number was used with other content")
        return exchange.again(self._sealer.open(stored.reply_sealed, key.encode()))

    async def keep(self, exchange: Exchange, teller: Teller, reply: TerminalReply) -> bytes | None:
        """Keep a reply that goes with no transition; where one was kept before, that one."""
        if await self._store.save_reply(reply):
            return teller.frame
        return await self.find(exchange)
