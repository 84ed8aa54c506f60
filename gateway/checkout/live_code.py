"""The token of a live code: which checkout, and which minute of it. Pure.

Rules: ``L`` and 40 characters of base64url, which hold the 16 bytes of the checkout's number,
the window's number (2 bytes) and 12 bytes of a keyed code over both; nothing of it is stored.
A token opens a checkout only while its window lasts and ``grace`` longer. An altered one opens
none: the code is compared in constant time before anything is looked up.
"""

import base64
import hmac
from binascii import Error as Malformed
from binascii import a2b_hex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from domain.ids import LETTERS

PREFIX: Final = "L"
LENGTH: Final = 41
ID_PREFIX: Final = "pay_"
_DIGITS: Final = str.maketrans(LETTERS, "0123456789abcdef")
_CODE_BYTES: Final = 12
_BODY_BYTES: Final = 18
_CONTEXT: Final = b"live code\x00"
_MOST_WINDOWS: Final = 0xFFFF
Keyed = Callable[[bytes], bytes]
"""At least 12 bytes of a keyed hash (``Sealer.token``)."""


@dataclass(frozen=True, slots=True)
class Windows:
    """How long a code is shown, and how much longer it is good."""

    renew_ms: int
    grace_ms: int

    def number(self, created_at_ms: int, now_ms: int) -> int:
        """The window of ``now_ms``."""
        return max(0, now_ms - created_at_ms) // self.renew_ms

    def ends_ms(self, created_at_ms: int, number: int) -> int:
        """When a window's code is replaced."""
        return created_at_ms + (number + 1) * self.renew_ms

    def is_good(self, created_at_ms: int, number: int, now_ms: int) -> bool:
        """Whether the code of a window still opens its checkout."""
        starts_ms = created_at_ms + number * self.renew_ms
        return starts_ms <= now_ms < self.ends_ms(created_at_ms, number) + self.grace_ms


def make_token(checkout_id: str, number: int, keyed: Keyed) -> str:
    """The token of a window; ``checkout_id`` is one of ours."""
    octets = a2b_hex(checkout_id.removeprefix(ID_PREFIX).translate(_DIGITS))
    body = octets + min(number, _MOST_WINDOWS).to_bytes(2)
    return PREFIX + base64.urlsafe_b64encode(body + _code(body, keyed)).decode("ascii")


def read_token(token: str, keyed: Keyed) -> tuple[str, int] | None:
    """The checkout's id and the window of a token of ours; ``None`` for every other text."""
    if len(token) != LENGTH or not token.isascii() or not token.startswith(PREFIX):
        return None
    try:
        octets = base64.b64decode(token[1:], altchars=b"-_", validate=True)
    except (Malformed, ValueError):
        return None
    if "+" in token or "/" in token:  # the decoder takes them for - and _ all the same
        return None
    body, code = octets[:_BODY_BYTES], octets[_BODY_BYTES:]
    if not hmac.compare_digest(_code(body, keyed), code):
        return None
    letters = body[:16].hex().translate(str.maketrans("0123456789abcdef", LETTERS))
    return ID_PREFIX + letters, int.from_bytes(body[16:])


def _code(body: bytes, keyed: Keyed) -> bytes:
    return keyed(_CONTEXT + body)[:_CODE_BYTES]
