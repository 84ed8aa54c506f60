"""The number of a printed code, and the address that its picture holds.

Rules: a number is 16 random bytes as 26 letters of base 32 (``a-z2-7``): nobody guesses
one, a person can read it out, and it is never mistaken for a card number or for a live
code, which is of another length. Knowing it lets anybody pay, and nothing else. The
picture holds an address and nothing that could change: shop, amount and whether the code
is open are looked up when it is scanned.
"""

import re
from base64 import b32encode
from typing import Final

RANDOM_BYTES: Final = 16
_CODE = re.compile(r"[a-z2-7]{26}", re.ASCII)


def qr_code_id(random_bytes: bytes) -> str:
    """The number of a new code, from 16 random bytes."""
    if len(random_bytes) != RANDOM_BYTES:
        raise ValueError(f"a code is made of {RANDOM_BYTES} random bytes")
    return b32encode(random_bytes).decode("ascii").rstrip("=").lower()


def is_qr_code_id(text: str) -> bool:
    """Whether ``text`` may be the number of a printed code."""
    return _CODE.fullmatch(text) is not None


def qr_code_url(public_url: str, code_id: str) -> str:
    """What the picture of a code holds; ``public_url`` is the gateway's address for payers."""
    return f"{public_url.rstrip('/')}/q/{code_id}"
