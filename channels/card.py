"""A card at a channel: what was read from it, and what is to be done with it.

Rules: everything here lives in memory only; its ``repr`` shows no track, PIN,
authorisation code or whole card number.
"""

import enum
from dataclasses import dataclass, field

from domain.record import record
from signing.pos import CipherKey


class CardAction(enum.Enum):
    """What a payment does with a card."""

    SALE = "sale"
    """Take the money."""
    AUTHORISE = "authorise"
    """Hold the money; nothing is taken."""
    COMPLETE = "complete"
    """Take money that is held."""


@record
class HoldRef:
    """The hold that a completion takes its money from.

    ``order_no`` is the hold's own number at its channel, ``auth_code`` the F38 that the
    terminal repeats (never stored), ``held_at_ms`` when the hold was made.
    """

    order_no: str
    held_at_ms: int
    auth_code: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
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
