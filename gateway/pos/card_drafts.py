"""A payment by card as a terminal's message asks for it.

Rule: its number leaves here sealed and as a keyed hash, bound to its order; in the clear it goes
to its channel only.
"""

from typing import Final

from domain.doors import POS_DOOR
from gateway.draft import Draft
from gateway.pos.exchange import Exchange
from gateway.pos.translate import (
    CARD_CHANNEL,
    RefusedError,
    amount_fen,
    card_data,
    fingerprint_text,
)
from gateway.store.port import Terminal
from pos_protocol.response_codes import NOT_SIGNED_IN
from signing.keywrap import Sealer
from signing.pos import KeyScheme

_WEAK_SCHEMES: Final = (KeyScheme.DES.value, KeyScheme.SM4.value)


def _pan_context(merchant_no: str, key: str) -> bytes:
    """What binds a sealed card number to its order."""
    return f"pan:{merchant_no}:{key}".encode()


def is_weak(terminal: Terminal) -> bool:
    """Whether this terminal's keys may not carry a PIN."""
    return terminal.key_scheme in _WEAK_SCHEMES and not terminal.allow_weak_pin


def card_draft(exchange: Exchange, sealer: Sealer, method: str = "card") -> Draft:
    """A payment by the card that a terminal read: its number sealed, and a keyed hash of it.

    Raises:
        RefusedError: as :func:`card_data` and :func:`amount_fen`; 77 without working keys.
    """
    message, known, keys = exchange.message, exchange.known, exchange.keys
    if keys is None:
        raise RefusedError(NOT_SIGNED_IN, "no working keys")
    merchant, terminal = known.merchant, known.terminal
    amount = amount_fen(message)
    card = card_data(message, keys.pin, weak_pin=is_weak(terminal), track_key=keys.track)
    pan = card.pan.encode()
    merchant_no, key = merchant.merchant_no, exchange.order_key
    return Draft(
        merchant_no=merchant_no,
        door=POS_DOOR,
        order_key=key,
        fingerprint=sealer.token(fingerprint_text(message)),
        amount_fen=amount,
        currency="CNY",
        subject=merchant.name,
        method=method,
        channel=CARD_CHANNEL,
        card=card,
        terminal_id=terminal.terminal_id,
        pan_sealed=sealer.seal(pan, _pan_context(merchant_no, key)),
        pan_token=sealer.token(pan),
    )
