"""Which earlier transaction a terminal's message means (F61, F37; reference §2, §6).

Rules: an original is looked up by this terminal, its batch and its trace, and believed
only if everything that the message says of it fits: reference, day, card. 25 where there
is none, 14 where the card is another.
"""

from typing import Final

from domain.clock import beijing_texts
from domain.payment import Payment
from gateway.pos.exchange import Exchange
from gateway.pos.translate import NO_ORIGINAL, RefusedError, presented_pan, voucher_of
from gateway.store.port import PaymentStore
from pos_protocol.errors import CodecError
from pos_protocol.fields.original import Original, parse_original
from pos_protocol.fields.scan_info import parse_scan_info
from signing.keywrap import Sealer

WRONG_CARD: Final = "14"


def original_key(exchange: Exchange, original: Original) -> str:
    """The order key of an earlier payment of this terminal."""
    return f"{exchange.message.text(41)}-{original.batch}-{original.trace}"


def named_original(exchange: Exchange) -> Original:
    """F61 of a message; raises :class:`RefusedError` 30 where it is none."""
    try:
        return parse_original(exchange.message.text(61))
    except CodecError as error:
        raise RefusedError("30", str(error)) from None


def is_of_open_batch(exchange: Exchange, payment: Payment) -> bool:
    """Whether an earlier payment of this terminal is of the batch that it is in."""
    session, key = exchange.known.session, payment.order.order_key
    batch = key.rpartition("-")[0].rpartition("-")[2]
    return session is not None and batch == f"{session.batch_no:06d}"


async def find_original(exchange: Exchange, store: PaymentStore, sealer: Sealer) -> Payment:
    """The payment that F61 names.

    Raises:
        RefusedError: 25 none that fits, 14 another card, 30 no readable F61.
    """
    message = exchange.message
    original = named_original(exchange)
    key = original_key(exchange, original)
    merchant_no = exchange.known.merchant.merchant_no
    payment = await store.payment_by_order(merchant_no, "pos", key)
    if payment is None or not payment.order.account_id:
        raise RefusedError(NO_ORIGINAL, "no such original")
    exchange.payment_id = payment.order.id
    order = payment.order
    reference = message.text(37).strip()
    if reference and reference != (payment.standing.channel_reference or order.id[-12:]):
        raise RefusedError(NO_ORIGINAL, "the reference is not the original's")
    if original.has_date and original.date != beijing_texts(order.created_at_ms)[1]:
        raise RefusedError(NO_ORIGINAL, "the date is not the original's")
    voucher = parse_scan_info(message.text(59)).voucher
    if voucher and voucher != voucher_of(order.order_key):
        raise RefusedError(NO_ORIGINAL, "the voucher is not the original's")
    keys = exchange.keys
    pan = presented_pan(message, None if keys is None else keys.track)
    if pan and order.pan_sealed and sealer.token(pan.encode()) != order.pan_token:
        raise RefusedError(WRONG_CARD, "not the original's card")
    return payment
