"""Sales and their reversals from a terminal.

Rules:

* The idempotency key is terminal, batch, trace and message type; the fingerprint is
  a keyed hash over the decoded fields but 52, 53, 55 and 64. An identical repeat gets
  the kept reply byte for byte, another content 94.
* The reply is encoded and sealed before the commit it belongs to, and sent after it.
* A reversal that finds its sale begins the undo durably and says 00: from there the
  gateway alone finishes it. One that comes before its sale takes the sale's key, so
  that the sale is refused when it comes.
"""

from channels.codes import detect_channel, normalise
from channels.port import Answer
from domain.clock import Clock
from domain.errors import Unavailable
from domain.ids import IdSource
from domain.payment import Order, Payment
from gateway.live import Live, is_settled, is_tellable
from gateway.logs import Log
from gateway.payments import Draft, Payments
from gateway.pos.exchange import Exchange
from gateway.pos.translate import (
    APPROVED,
    CARD_CHANNEL,
    RefusedError,
    amount_fen,
    card_data,
    fingerprint_text,
    payment_fields,
)
from gateway.store.port import PaymentStore, TerminalReply
from pos_protocol.tlv import scanned_code
from signing.keywrap import Sealer

_WEAK_SCHEMES = ("des", "sm4")
_REVERSAL_TRIES = 5
_DEADLINE_MARGIN_S = 10.0
"""At the deadline an undo is begun, durably; only then is there something to tell. Silence
before that would be our own fault; 45 + 10 is still inside a terminal's 60 s."""


def pan_context(merchant_no: str, key: str) -> bytes:
    """What binds a sealed card number to its order."""
    return f"pan:{merchant_no}:{key}".encode()


def _reply_key(exchange: Exchange) -> str:
    return f"{exchange.order_key}-{exchange.message.mti}"


class _Teller:
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
        return self.kept(payment_fields(payment, answer, now_ms), now_ms)

    def kept(self, fields: dict[int, str | bytes], now_ms: int) -> TerminalReply:
        """Encode a reply of ``fields``, and seal it."""
        key = _reply_key(self._exchange)
        self.frame = self._exchange.reply(fields)
        self.reply = TerminalReply(
            merchant_no=self._exchange.known.merchant.merchant_no,
            key=key,
            fingerprint=self._fingerprint,
            reply_sealed=self._sealer.seal(self.frame, key.encode()),
            created_at_ms=now_ms,
        )
        return self.reply


class Sales:
    """0200 and its 0400."""

    def __init__(
        self,
        *,
        store: PaymentStore,
        payments: Payments,
        sealer: Sealer,
        clock: Clock,
        ids: IdSource,
        log: Log,
    ) -> None:
        self._store = store
        self._payments = payments
        self._patience_s = payments.till_wait_s + _DEADLINE_MARGIN_S
        self._sealer = sealer
        self._clock = clock
        self._ids = ids
        self._log = log

    async def card_sale(self, exchange: Exchange) -> bytes | None:
        """A sale by magnetic stripe or chip, with or without PIN."""
        message, terminal = exchange.message, exchange.known.terminal
        if exchange.keys is None:
            raise RefusedError("77", "no working keys")
        weak = terminal.key_scheme in _WEAK_SCHEMES and not terminal.allow_weak_pin
        amount = amount_fen(message)
        card = card_data(message, exchange.keys.pin, weak_pin=weak)
        pan = card.pan.encode()
        merchant_no, key = exchange.known.merchant.merchant_no, exchange.order_key
        draft = Draft(
            merchant_no=merchant_no,
            door="pos",
            order_key=key,
            fingerprint=self._sealer.token(fingerprint_text(message)),
            amount_fen=amount,
            currency="CNY",
            subject=exchange.known.merchant.name,
            method="card",
            channel=CARD_CHANNEL,
            card=card,
            terminal_id=terminal.terminal_id,
            pan_sealed=self._sealer.seal(pan, pan_context(merchant_no, key)),
            pan_token=self._sealer.token(pan),
        )
        return await self._sell(exchange, draft)

    async def qr_sale(self, exchange: Exchange) -> bytes | None:
        """A sale by the payer's scanned code (F22 = 03x, F59 A3)."""
        message = exchange.message
        amount = amount_fen(message)
        code = normalise(scanned_code(message.text(59)))
        channel = detect_channel(code)
        if channel is None:
            raise RefusedError("14", "not a payment code of a known wallet")
        draft = Draft(
            merchant_no=exchange.known.merchant.merchant_no,
            door="pos",
            order_key=exchange.order_key,
            fingerprint=self._sealer.token(fingerprint_text(message)),
            amount_fen=amount,
            currency="CNY",
            subject=exchange.known.merchant.name,
            method="auth_code",
            channel=channel,
            auth_code=code,
            terminal_id=exchange.known.terminal.terminal_id,
        )
        return await self._sell(exchange, draft)

    async def _sell(self, exchange: Exchange, draft: Draft) -> bytes | None:
        teller = _Teller(exchange, draft.fingerprint, self._sealer, self._clock)
        begun = await self._payments.begin(draft, teller)
        exchange.payment_id = begun.payment.order.id
        live = begun.live
        try:
            if begun.replayed:
                return await self._repeat(exchange, begun.payment, live, teller)
            if live is None:
                raise Unavailable("a claimed payment without its work")
            await self._payments.run(live)
            await live.told(self._patience_s)
            if live.reply is not None and live.reply is teller.reply:
                return teller.frame
            return await self._told(exchange, live.payment, live, teller)
        except Unavailable as error:
            self._log.error("silent", payment_id=exchange.payment_id, reason=error.message)
            return None
        except Exception:
            # the order is claimed and perhaps paid: a refusal would be a guess
            self._log.exception("silent after a fault", payment_id=exchange.payment_id)
            return None

    async def _repeat(
        self, exchange: Exchange, payment: Payment, live: Live | None, teller: _Teller
    ) -> bytes | None:
        """The kept reply; one in flight is waited for, here or at another process."""
        if live is not None:
            await live.told(self._patience_s)
            payment = live.payment
        kept = await self._kept(exchange)
        if kept is not None:
            return kept
        payment = await self._payments.watch(payment, self._patience_s, is_settled)
        return await self._told(exchange, payment, live, teller)

    async def _told(
        self, exchange: Exchange, payment: Payment, live: Live | None, teller: _Teller
    ) -> bytes | None:
        """The reply of a payment that the till can be told about, kept before it is sent."""
        if not is_tellable(payment):
            return None
        reply = teller(payment, None)
        if live is not None and live.reply is None:
            live.reply = reply  # a move that follows must not bring another one
        if await self._store.save_reply(reply):
            return teller.frame
        return await self._kept(exchange)

    async def _kept(self, exchange: Exchange) -> bytes | None:
        key = _reply_key(exchange)
        stored = await self._store.terminal_reply(exchange.known.merchant.merchant_no, key)
        if stored is None:
            return None
        return self._sealer.open(stored.reply_sealed, key.encode())

    async def reversal(self, exchange: Exchange) -> bytes | None:
        """0400: undo the sale of this terminal, batch and trace, whatever its state."""
        message = exchange.message
        merchant_no = exchange.known.merchant.merchant_no
        fingerprint = self._sealer.token(fingerprint_text(message))
        key = _reply_key(exchange)
        stored = await self._store.terminal_reply(merchant_no, key)
        if stored is not None:
            if stored.fingerprint != fingerprint:
                raise RefusedError("94", "this reversal was sent with other content")
            return self._sealer.open(stored.reply_sealed, key.encode())
        amount = amount_fen(message)
        teller = _Teller(exchange, fingerprint, self._sealer, self._clock)
        for _ in range(_REVERSAL_TRIES):
            payment = await self._store.payment_by_order(merchant_no, "pos", exchange.order_key)
            if payment is not None:
                return await self._undo(exchange, payment, amount, teller)
            if await self._remember(exchange, amount, teller):
                return teller.frame
        raise Unavailable("the store refused a key that it does not show")

    async def _undo(
        self, exchange: Exchange, payment: Payment, amount: int, teller: _Teller
    ) -> bytes | None:
        exchange.payment_id = payment.order.id
        if payment.order.amount_fen != amount:
            raise RefusedError("64", "the amount is not the sale's")

        def accepted(_payment: Payment, _answer: Answer | None) -> TerminalReply:
            return teller.kept(self._accepted_fields(payment), self._clock.now_ms())

        live = await self._payments.cancel(payment, accepted)
        if live.reply is not None:
            return teller.frame
        reply = accepted(live.payment, None)
        if await self._store.save_reply(reply):
            return teller.frame
        return await self._kept(exchange)

    def _accepted_fields(self, payment: Payment) -> dict[int, str | bytes]:
        fields = payment_fields(payment, None, self._clock.now_ms())
        fields[39] = APPROVED
        fields[15] = fields[13]
        return fields

    async def _remember(self, exchange: Exchange, amount: int, teller: _Teller) -> bool:
        """Take the sale's key, closed, and keep the reply, in one commit."""
        now_ms = self._clock.now_ms()
        order = Order(
            id=self._ids.new("pay_"),
            merchant_no=exchange.known.merchant.merchant_no,
            door="pos",
            order_key=exchange.order_key,
            fingerprint=b"reversed before it came",
            amount_fen=amount,
            currency="CNY",
            subject="",
            method="reversal",
            channel="",
            account_id="",
            channel_order_no=self._ids.new(),
            terminal_id=exchange.known.terminal.terminal_id,
            store_id="",
            notify_url="",
            pan_sealed=b"",
            pan_token=b"",
            metadata_json="",
            details_json="",
            created_at_ms=now_ms,
            till_deadline_ms=now_ms,
        )
        fields: dict[int, str | bytes] = {37: order.id[-12:], 39: APPROVED}
        return await self._payments.refuse_beforehand(order, teller.kept(fields, now_ms))
