"""What an operator's PIN may be.

Rules: 6 to 12 digits, so that a terminal's keypad can type it; never one that is guessed
first (one digit over and over, or digits in a row). How it is kept is the shell's business.
"""

import re
from typing import Final

_PIN = re.compile(r"[0-9]{6,12}", re.ASCII)
_OPERATOR = re.compile(r"[A-Za-z0-9]{1,16}", re.ASCII)
_ROWS: Final = ("01234567890123456789", "98765432109876543210")


def is_operator_id(text: str) -> bool:
    """Whether ``text`` may name an operator: 1 to 16 letters or digits."""
    return _OPERATOR.fullmatch(text) is not None


def is_pin(text: str) -> bool:
    """Whether ``text`` has the form of a PIN."""
    return _PIN.fullmatch(text) is not None


def weakness(pin: str) -> str:
    """Why ``pin`` may not be an operator's; ``""`` when it may."""
    if not is_pin(pin):
        return "a PIN has 6 to 12 digits"
    if len(set(pin)) == 1:
        return "a PIN of one digit only is the first to be guessed"
    if any(pin in row for row in _ROWS):
        return "a PIN of digits in a row is the first to be guessed"
    return ""
