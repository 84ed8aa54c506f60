"""F62 of an answer to an inquiry: is the payment paid? A private extension of Posgate.

``PGS1`` (the extension and its version), one digit, and F39 of the payment itself, or two
blanks while it has none. The answer's own F39 says only whether the question was
understood, so that a MAC covers every word that a cashier acts on.
"""

import enum
from dataclasses import dataclass
from typing import Final

from pos_protocol.errors import CodecError

_MAGIC: Final = b"PGS1"
_NO_CODE: Final = "  "


class PaymentState(enum.Enum):
    """What a terminal that heard nothing wants to know."""

    NOT_PAID = "0"
    """Final: nothing was taken, or it went back; a new sale is safe."""
    PAID = "1"
    """Final: print the receipt."""
    ASKING = "2"
    """Not known yet: ask again, do not sell again."""
    NEVER_SEEN = "3"
    """No such payment came in. If it is still under way, it will be refused."""


@dataclass(frozen=True, slots=True)
class PaymentStatus:
    """The state, and what F39 the sale was or would have been answered with."""

    state: PaymentState
    response_code: str = ""


def parse_payment_status(field_62: bytes) -> PaymentStatus:
    """Raises :class:`CodecError` for anything that is not this extension's."""
    text = field_62.decode("latin-1")
    states = {state.value: state for state in PaymentState}
    state = states.get(text[4:5])
    if field_62[:4] != _MAGIC or len(text) != 7 or state is None or not text.isascii():
        raise CodecError(62, -1, "not a payment's status")
    return PaymentStatus(state, text[5:].strip())


def build_payment_status(status: PaymentStatus) -> bytes:
    """Seven bytes."""
    code = status.response_code or _NO_CODE
    if len(code) != 2 or not code.isascii():
        raise CodecError(62, -1, "a response code has 2 characters")
    return _MAGIC + (status.state.value + code).encode()
