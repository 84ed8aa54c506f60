"""A payment as a door understood it, before it is claimed."""

from collections.abc import Sequence
from typing import Final

from channels.card import CardAction, CardAdvice, CardData, HoldRef
from channels.port import PayRequest
from domain.payment import Event, Order, Payment
from domain.record import record
from gateway.channel_requests import details
from gateway.store.port import CheckoutMove, Claim, Spend, TakenHold

_SUBMIT: Final = Event.SUBMIT
"""Looked up with every payment: a global is, a member of an enumeration is not, cheap."""
_MOTO: Final = frozenset({CardAction.MOTO_SALE, CardAction.MOTO_AUTHORISE})


@record
class Draft:
    """A payment to be; at most one of ``auth_code`` and ``card``.

    Neither: the payer completes it (a checkout, and an attempt at one).

    ``original`` and ``takes`` are the hold of a completion, as its channel and as the store
    know it; ``account_id`` is the account that has the hold (``""``: any that serves).
    ``advice`` is what an advice says, ``details_json`` what an order keeps instead of what is
    kept of every card payment. ``operator_pin`` lets it through above the small-amount limit;
    it is kept nowhere. ``order_id``, ``deadline_ms`` and ``moves`` are an attempt's, whose
    checkout gave it its id and its time, and moves with its claim.
    """

    merchant_no: str
    door: str
    order_key: str
    fingerprint: bytes
    amount_fen: int
    currency: str
    subject: str
    method: str
    channel: str
    auth_code: str = ""
    card: CardData | None = None
    terminal_id: str = ""
    store_id: str = ""
    notify_url: str = ""
    metadata_json: str = ""
    expires_in_s: int = 0
    pan_sealed: bytes = b""
    pan_token: bytes = b""
    action: CardAction = CardAction.SALE
    original: HoldRef | None = None
    takes: TakenHold | None = None
    account_id: str = ""
    advice: CardAdvice | None = None
    details_json: str = ""
    operator_id: str = ""
    operator_pin: str = ""
    order_id: str = ""
    deadline_ms: int = 0
    moves: CheckoutMove | None = None

    def __repr__(self) -> str:
        return f"Draft({self.door!r}, {self.order_key!r}, amount_fen={self.amount_fen})"


def order_of(
    draft: Draft,
    *,
    order_id: str,
    account_id: str,
    channel_order_no: str,
    now_ms: int,
    patience_s: float,
) -> Order:
    """The order that a draft becomes; the till waits for ``patience_s`` from ``now_ms``."""
    return Order(
        id=draft.order_id or order_id,
        merchant_no=draft.merchant_no,
        door=draft.door,
        order_key=draft.order_key,
        fingerprint=draft.fingerprint,
        amount_fen=draft.amount_fen,
        currency=draft.currency,
        subject=draft.subject,
        method=draft.method,
        channel=draft.channel,
        account_id=account_id,
        channel_order_no=channel_order_no,
        terminal_id=draft.terminal_id,
        store_id=draft.store_id,
        notify_url=draft.notify_url,
        pan_sealed=draft.pan_sealed,
        pan_token=draft.pan_token,
        metadata_json=draft.metadata_json,
        details_json=draft.details_json or _details(draft),
        created_at_ms=now_ms,
        till_deadline_ms=draft.deadline_ms or now_ms + int(patience_s * 1000),
    )


def _details(draft: Draft) -> str:
    """What every card payment keeps for its undo."""
    card, original = draft.card, draft.original
    if card is None:
        return ""
    original_no = "" if original is None else original.order_no
    return details(card.entry_mode, original_no, is_moto=draft.action in _MOTO)


def claim_of(payment: Payment, draft: Draft, spends: Sequence[Spend], due_at_ms: int) -> Claim:
    """What the store is asked for: all of it, or nothing."""
    return Claim(
        order=payment.order,
        standing=payment.standing,
        event=_SUBMIT,
        due_at_ms=due_at_ms,
        takes=draft.takes,
        spends=spends,
        moves=draft.moves,
    )


def request_of(order: Order, draft: Draft) -> PayRequest:
    """What the channel is asked for, once the order is durable."""
    return PayRequest(
        order_no=order.channel_order_no,
        amount_fen=order.amount_fen,
        currency=order.currency,
        subject=order.subject,
        created_at_ms=order.created_at_ms,
        auth_code=draft.auth_code,
        card=draft.card,
        store_id=order.store_id,
        terminal_id=order.terminal_id,
        action=draft.action,
        original=draft.original,
        advice=draft.advice,
    )
