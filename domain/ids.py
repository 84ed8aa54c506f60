"""Identifiers: made before anything is sent, and reused on every retry.

A number is 32 letters: 48 bits of time in ms, then 80 random bits, so that it
sorts by age, fits every channel (8–32 characters, ``[A-Za-z0-9]``; reference
``channels.md`` §0) and can never be mistaken for a card number in a log.
Time and randomness are arguments; the shell's id source calls :func:`number`.
"""

import re
from binascii import b2a_hex
from typing import Final, Protocol

LETTERS: Final = "ABCDEFGHJKLMNPQR"
"""What stands for the sixteen hexadecimal digits."""
_LETTERS: Final = bytes.maketrans(b"0123456789abcdef", LETTERS.encode())
MERCHANT_NUMBER: Final = r"[A-Za-z0-9_-]{1,64}"
_MERCHANT_NUMBER = re.compile(MERCHANT_NUMBER, re.ASCII)
_CHANNEL_NUMBER = re.compile(r"[A-Za-z0-9]{8,32}", re.ASCII)
RANDOM_BYTES: Final = 10


class IdSource(Protocol):
    """Where new numbers come from; the composition root hands one in."""

    def new(self, prefix: str = "") -> str:
        """A fresh number, ``prefix`` put before its 32 letters."""
        ...


def number(time_ms: int, random_bytes: bytes) -> str:
    """32 sortable letters from a time in ms and ten random bytes."""
    octets = (time_ms & 0xFFFFFFFFFFFF).to_bytes(6) + random_bytes
    return b2a_hex(octets).translate(_LETTERS).decode("ascii")


def is_merchant_number(text: str) -> bool:
    """Whether ``text`` may be a ``merchant_order_no`` or ``merchant_refund_no``."""
    return _MERCHANT_NUMBER.fullmatch(text) is not None


def is_channel_number(text: str) -> bool:
    """Whether ``text`` is valid as an order number at every channel."""
    return _CHANNEL_NUMBER.fullmatch(text) is not None
