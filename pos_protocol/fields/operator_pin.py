"""F58 of a payment that an operator lets through: a private extension of Posgate.

``PGO1`` (the extension and its version), the PIN block as 16 upper-case hexadecimal digits, and
who the operator is: 1 to 16 letters or digits. The block is ISO 9564-1 format 0 under the
terminal's PIN key, with batch and trace of this very message in the place of the card number,
so that it is good for no other; the PIN is nowhere in clear.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from pos_protocol.errors import CodecError

MAGIC: Final = "PGO1"
BLOCK_DIGITS: Final = 16
_FORM: Final = re.compile(r"PGO1([0-9A-F]{16})([A-Za-z0-9]{1,16})", re.ASCII)


@dataclass(frozen=True, slots=True)
class OperatorPin:
    """Who lets a payment through, and the encrypted block of the PIN, 8 bytes."""

    operator_id: str
    block: bytes = field(repr=False)


def binding_of(batch: str, trace: str) -> str:
    """What stands where a block has a card number: 12 digits, and one for its check digit."""
    return f"{batch}{trace}0"


def parse_operator_pin(field_58: str) -> OperatorPin:
    """Raises :class:`CodecError` for anything that is not this extension's."""
    found = _FORM.fullmatch(field_58)
    if found is None:
        raise CodecError(58, -1, "not an operator and a PIN block")
    return OperatorPin(found[2], bytes.fromhex(found[1]))


def build_operator_pin(given: OperatorPin) -> str:
    """At most 36 characters; raises :class:`CodecError` for what has no form."""
    text = f"{MAGIC}{given.block.hex().upper()}{given.operator_id}"
    if _FORM.fullmatch(text) is None:
        raise CodecError(58, -1, "an operator is 1 to 16 letters or digits")
    return text
