"""Binary coded decimal, looked up: two digits to a byte.

Rule: these tables are read only; ``bytes.translate`` with one of them checks a whole
run of fields in one call, several times faster than ``str.isdigit`` does.
"""

from typing import Final

NOT_BCD: Final = 100_000

TWO_DIGITS: Final = tuple(
    10 * (octet >> 4) + (octet & 15) if octet >> 4 < 10 and octet & 15 < 10 else NOT_BCD
    for octet in range(256)
)
"""The number that a BCD byte stands for; above every maximum when it is not BCD."""

NOT_BCD_TABLE: Final = bytes(int(number == NOT_BCD) for number in TWO_DIGITS)
"""For ``bytes.translate``: 1 for each byte that is not BCD, 0 for the others."""

NOT_PRINTABLE_TABLE: Final = bytes(int(not 32 <= octet < 127) for octet in range(256))
"""For ``bytes.translate``: 1 for each byte that is not printable ASCII."""

DIGITS_MASKED: Final = bytes(48 if 48 <= octet < 58 else octet for octet in range(256))
"""For ``bytes.translate``: every digit becomes ``0``, so a layout is one comparison."""

PRINTABLE_MASKED: Final = bytes(48 if 32 <= octet < 127 else octet for octet in range(256))
"""For ``bytes.translate``: every printable ASCII character becomes ``0``."""
