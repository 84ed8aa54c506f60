"""Sales from a terminal, by card or by the payer's code.

Rules:

* The idempotency key is terminal, batch, trace and message type; the fingerprint is
  a keyed hash over the decoded fields but 52, 53, 55, 58 and 64. An identical repeat gets
  the kept reply byte for byte, another content 94 (``teller.py``).
* The payer's code is kept as a keyed hash, as a card number is: a query by code finds
  its sale by it.
"""

import dataclasses
from collections.abc import Coroutine
from typing import Final

from channels.card import CardAction
from channels.codes import detect_channel, normalise
from domain.clock import Clock
from domain.doors import POS_DOOR
from domain.errors import OverLimit, Unavailable
from domain.ids import IdSource
from domain.payment import Payment
from gateway.draft import Draft
from gateway.live import Live, is_settled, is_tellable
from gateway.logs import Log
from gateway.payments import Payments
from gateway.pos.card_drafts import card_draft, is_weak
from gateway.pos.exchange import Exchange
from gateway.pos.operators import let_through
from gateway.pos.refused_numbers import refused_order
from gateway.pos.teller import KeptReplies, Teller
from gateway.pos.translate import (
    RefusedError,
    amount_fen,
    f39_of_error,
    fingerprint_text,
    stamped,
)
from gateway.store.port import PaymentStore
from pos_protocol.response_codes import INVALID_CARD
from pos_protocol.tlv import scanned_code
from signing.keywrap import Sealer

DEADLINE_MARGIN_S: Final = 10.0
"""At the deadline an undo is begun, durably; only then is there something to tell. Silence
before that would be our own fault; 45 + 10 is still inside a terminal's 60 s."""


class Sales:
    """0200 消费."""

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
        self._replies = KeptReplies(store, sealer)
        self._payments = payments
        self._patience_s = payments.till_wait_s + DEADLINE_MARGIN_S
        self._sealer = sealer
        self._clock = clock
        self._ids = ids
        self._log = log

    def card_sale(self, exchange: Exchange) -> Coroutine[None, None, bytes | None]:
        """A sale by magnetic stripe or chip, with or without PIN."""
        return self.sell(exchange, card_draft(exchange, self._sealer))

    async def moto_sale(self, exchange: Exchange) -> bytes | None:
        """A sale by mail or telephone (F25 = 08): the issuer is told that no card was there."""
        draft = card_draft(exchange, self._sealer)
        return await self.sell(exchange, dataclasses.replace(draft, action=CardAction.MOTO_SALE))

    async def qr_sale(self, exchange: Exchange) -> bytes | None:
        """A sale by the payer's scanned code (F22 = 03x, F59 A3)."""
        message = exchange.message
        amount = amount_fen(message)
        code = normalise(scanned_code(message.text(59)))
        channel = detect_channel(code)
        if channel is None:
            raise RefusedError(INVALID_CARD, "not a payment code of a known wallet")
        draft = Draft(
            merchant_no=exchange.known.merchant.merchant_no,
            door=POS_DOOR,
            order_key=exchange.order_key,
            fingerprint=self._sealer.token(fingerprint_text(message)),
            amount_fen=amount,
            currency="CNY",
            subject=exchange.known.merchant.name,
            method="auth_code",
            channel=channel,
            auth_code=code,
            terminal_id=exchange.known.terminal.terminal_id,
            pan_token=self._sealer.token(code.encode()),
        )
        return await self.sell(exchange, draft)

    async def sell(self, exchange: Exchange, draft: Draft) -> bytes | None:
        """Claim, pay, tell; silence where the outcome could not be made durable."""
        if 58 in exchange.message.fields:
            draft = let_through(exchange, draft, weak_pin=is_weak(exchange.known.terminal))
        teller = Teller(exchange, draft.fingerprint, self._sealer, self._clock)
        try:
            begun = await self._payments.begin(draft, teller)
        except OverLimit as refusal:
            return await self._refuse_for_good(exchange, draft, teller, refusal)
        except Unavailable as refusal:
            if not refusal.nothing_begun:
                raise
            return await self._refuse_for_good(exchange, draft, teller, refusal)
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

    async def _refuse_for_good(
        self, exchange: Exchange, draft: Draft, teller: Teller, refusal: OverLimit | Unavailable
    ) -> bytes:
        """Take the number before the till hears "not now": the cashier sells under another.

        Otherwise the same message, late or recorded, would sell once more when we can again,
        or when the limits let it through.
        """
        now_ms = self._clock.now_ms()
        order = refused_order(
            exchange,
            exchange.order_key,
            self._ids,
            now_ms,
            amount_fen=draft.amount_fen,
            fingerprint=draft.fingerprint,
        )
        reply = teller.kept(stamped(now_ms, f39_of_error(refusal), order.id[-12:]), now_ms)
        if not await self._payments.refuse_beforehand(order, reply):
            # another copy of it is being sold just now: nobody may be told no
            raise Unavailable("its number was taken meanwhile") from refusal
        return teller.frame

    async def _repeat(
        self, exchange: Exchange, payment: Payment, live: Live | None, teller: Teller
    ) -> bytes | None:
        """The kept reply; one in flight is waited for, here or at another process."""
        if live is not None:
            await live.told(self._patience_s)
            payment = live.payment
        kept = await self._replies.find(exchange)
        if kept is not None:
            return kept
        payment = await self._payments.watch(payment, self._patience_s, is_settled)
        return await self._told(exchange, payment, live, teller)

    async def _told(
        self, exchange: Exchange, payment: Payment, live: Live | None, teller: Teller
    ) -> bytes | None:
        """The reply of a payment that the till can be told about, kept before it is sent."""
        if not is_tellable(payment):
            return None
        reply = teller(payment, None)
        if live is not None and live.reply is None:
            live.reply = reply  # a move that follows must not bring another one
        return await self._replies.keep(exchange, teller, reply)
