"""A card at a channel: what was read from it, and what is to be done with it.

Rules: everything here lives in memory only; its ``repr`` shows no track, PIN,
authorisation code or whole card number.
"""

import enum
from dataclasses import field
from typing import Final

from domain.record import brief, record
from signing.pos import CipherKey


class CardAction(enum.Enum):
    """What a payment does with a card."""

    __hash__ = object.__hash__  # as ``==``, by identity: an enumeration's own costs ten times it

    SALE = "sale"
    """Take the money."""
    AUTHORISE = "authorise"
    """Hold the money; nothing is taken."""
    COMPLETE = "complete"
    """Take money that is held."""
    MOTO_SALE = "moto_sale"
    """As a sale; the order came by mail or telephone, and no card was there."""
    MOTO_AUTHORISE = "moto_authorise"
    OFFLINE = "offline"
    """Take money that was approved at the counter: the goods are gone."""
    ADJUST = "adjust"
    """Take more for such a sale."""
    TIP = "tip"
    """Take a tip on top of a sale."""


HOLDS: Final = frozenset({CardAction.AUTHORISE, CardAction.MOTO_AUTHORISE})
"""What takes nothing."""
ADVICES: Final = frozenset({CardAction.OFFLINE, CardAction.ADJUST, CardAction.TIP})
"""What tells of something that is done: sent until it is answered, never undone."""


@record
class HoldRef:
    """The hold that a completion takes its money from.

    ``order_no`` is the hold's own number at its channel, ``auth_code`` the F38 that the
    terminal repeats (never stored), ``held_at_ms`` when the hold was made.
    """

    order_no: str
    held_at_ms: int
    auth_code: str = field(default="", repr=False)


@record
class CardAdvice:
    """What an advice says besides its card and amount; the same on every repeat.

    ``auth_code`` (F38) is the issuer's word at the counter, ``authorised_by`` the digits of
    61.4 and 61.5: how and from whom it came. An addition names the sale that it adds to by
    its number, time and reference at the channel, and what was taken for it, ``base_fen``:
    the dialect tells the new whole, ``PayRequest.amount_fen`` is what is added.
    """

    auth_code: str = field(default="", repr=False)
    authorised_by: str = ""
    original_no: str = ""
    original_at_ms: int = 0
    original_reference: str = ""
    base_fen: int = 0


@brief
class TerminalPin:
    """An encrypted PIN block as a terminal sent it, and the terminal's PIN key.

    The link's adapter hands block and keys to one call of
    ``signing.pos.translate_pin_block``; the clear PIN never leaves that call.
    """

    block: bytes = field(repr=False)
    key: CipherKey
    with_pan: bool


@record
class CardData:
    """What a terminal read from a card. Lives in memory only, never in the store.

    ``repr`` is masked.
    """

    pan: str
    entry_mode: str
    expiry: str = ""
    sequence: str = ""
    track2: str = ""
    track3: str = ""
    icc_data: bytes = b""
    pin: TerminalPin | None = None

    def __repr__(self) -> str:
        return f"CardData(pan={self.pan[:6]}…{self.pan[-4:]})"
