"""Which earlier transaction a terminal's message means (F61, F37; reference §2, §6).

Rules:

* An original is looked up by this terminal, its batch and its trace, and believed only if
  everything that the message says of it fits: reference, day, card. 25 where there is none,
  14 where the card is another.
* One whose outcome is not known yet is 22: to be asked again. One that stands otherwise than
  the message needs is 25.
* A refund may be made at another till of the same merchant. There every terminal has the
  same batches and traces, so what a terminal may leave out at home must be said and fit:
  reference, day and card, and no second sale may fit as well. A sale by code is named by
  its voucher number (F59 A4), which says whose it is.
"""

from collections.abc import Awaitable
from typing import Final

from domain.clock import beijing_texts
from domain.doors import POS_DOOR
from domain.payment import UNDECIDED, Payment, Status
from gateway.pos.exchange import Exchange
from gateway.pos.translate import RefusedError, is_scan, presented_pan, voucher_of
from gateway.store.port import PaymentStore
from pos_protocol.errors import CodecError
from pos_protocol.fields.original import Original, parse_original
from pos_protocol.fields.scan_info import parse_scan_info
from pos_protocol.response_codes import FORMAT_ERROR, INVALID_CARD, NO_ORIGINAL, NOT_ALLOWED
from signing.keywrap import Sealer

_SEVERAL: Final = 5
_VOUCHER_LENGTH: Final = 20


class NotKnownYet(RefusedError):
    """What is asked may become possible: nothing to refuse an advice for."""


def original_key(exchange: Exchange, original: Original) -> str:
    """The order key of an earlier payment of this terminal."""
    return f"{exchange.message.text(41)}-{original.batch}-{original.trace}"


def key_of_voucher(voucher: str) -> str:
    """The order key that a voucher number spells; not one of ours gives no key at all."""
    if len(voucher) != _VOUCHER_LENGTH:
        return ""
    return f"{voucher[:8]}-{voucher[8:14]}-{voucher[14:]}"


def named_original(exchange: Exchange) -> Original:
    """F61 of a message; raises :class:`RefusedError` 30 where it is none."""
    try:
        return parse_original(exchange.message.text(61))
    except CodecError as error:
        raise RefusedError(FORMAT_ERROR, str(error)) from None


def refuse_unless(payment: Payment, status: Status) -> None:
    """Raise what keeps an original from being taken for one of this status.

    Raises:
        NotKnownYet: 22, its outcome is not known yet.
        RefusedError: 25, it is another.
    """
    standing = payment.standing
    if standing.parked_reason or standing.status in UNDECIDED:
        raise NotKnownYet(NOT_ALLOWED, "the outcome of the original is not known yet")
    if standing.status is not status:
        raise RefusedError(NO_ORIGINAL, f"the original is {standing.status.value}")


def is_of_open_batch(exchange: Exchange, payment: Payment) -> bool:
    """Whether an earlier payment of this terminal is of the batch that it is in."""
    session, key = exchange.known.session, payment.order.order_key
    batch = key.rpartition("-")[0].rpartition("-")[2]
    return session is not None and batch == f"{session.batch_no:06d}"


def payment_under(key: str, exchange: Exchange, store: PaymentStore) -> Awaitable[Payment | None]:
    """What the terminals of this merchant have under an order key."""
    return store.payment_by_order(exchange.known.merchant.merchant_no, POS_DOOR, key)


async def find_original(exchange: Exchange, store: PaymentStore, sealer: Sealer) -> Payment:
    """The payment that F61 names.

    Raises:
        RefusedError: 25 none that fits, 14 another card, 30 no readable F61.
    """
    original = named_original(exchange)
    payment = await payment_under(original_key(exchange, original), exchange, store)
    if payment is None or not payment.order.account_id:
        raise RefusedError(NO_ORIGINAL, "no such original")
    return _fitting(exchange, payment, original, sealer)


async def find_at_any_till(exchange: Exchange, store: PaymentStore, sealer: Sealer) -> Payment:
    """As :func:`find_original`, or the same sale at another terminal of the merchant.

    Raises:
        RefusedError: as :func:`find_original`.
    """
    try:
        return await find_original(exchange, store, sealer)
    except RefusedError as refused:
        if refused.response_code not in (NO_ORIGINAL, INVALID_CARD):
            raise
        exchange.payment_id = ""
        found = await _elsewhere(exchange, store, sealer)
        if found is None:
            raise
        return found


async def _elsewhere(exchange: Exchange, store: PaymentStore, sealer: Sealer) -> Payment | None:
    """The one sale of another till that everything fits; ``None`` if none or several do."""
    message, original = exchange.message, named_original(exchange)
    merchant_no = exchange.known.merchant.merchant_no
    voucher = parse_scan_info(message.text(59)).voucher
    if is_scan(message):
        payment = await payment_under(key_of_voucher(voucher), exchange, store)
        found = [] if payment is None else [payment]
    else:
        reference, keys = message.text(37).strip(), exchange.keys
        has_card = presented_pan(message, None if keys is None else keys.track)
        if not (reference and original.has_date and has_card):
            return None
        found = list(
            await store.payments_at_any_terminal(
                merchant_no, original.batch, original.trace, reference, _SEVERAL
            )
        )
    fitting: list[Payment] = []
    for payment in found:
        is_named = payment.order.order_key.endswith(f"-{original.batch}-{original.trace}")
        if is_named and payment.order.account_id:
            try:
                fitting.append(_fitting(exchange, payment, original, sealer))
            except RefusedError:
                continue
    return fitting[0] if len(fitting) == 1 else None


def _fitting(exchange: Exchange, payment: Payment, original: Original, sealer: Sealer) -> Payment:
    """``payment``, if all that the message says fits it; raises :class:`RefusedError` 25 or 14."""
    message = exchange.message
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
        raise RefusedError(INVALID_CARD, "not the original's card")
    return payment
