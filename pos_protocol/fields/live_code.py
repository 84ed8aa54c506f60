"""F62 of an answer to a request for a live code: a private extension of Posgate.

``PGC1`` (the extension and its version), four digits of how many seconds the code is shown
before the next is asked for, and the code itself, to be drawn as a QR code. An order that
waits for nobody any more is answered with its state (``payment_status.py``) instead. The MAC
covers it.
"""

from dataclasses import dataclass, field
from typing import Final

from pos_protocol.errors import CodecError

_MAGIC: Final = b"PGC1"
_SECONDS: Final = slice(4, 8)
MAX_CODE: Final = 512
MAX_SHOWN_S: Final = 9999


@dataclass(frozen=True, slots=True)
class ShownCode:
    """What a terminal draws, and for how long."""

    code: str = field(repr=False)
    shown_s: int


def is_shown_code(field_62: bytes) -> bool:
    """Whether F62 holds a code, rather than the state of an order that has ended."""
    return field_62.startswith(_MAGIC)


def parse_shown_code(field_62: bytes) -> ShownCode:
    """Raises :class:`CodecError` for anything that is not this extension's."""
    seconds, code = field_62[_SECONDS], field_62[_SECONDS.stop :]
    is_code = 0 < len(code) <= MAX_CODE and code.isascii() and code.decode("latin-1").isprintable()
    if not is_shown_code(field_62) or len(seconds) != 4 or not seconds.isdigit() or not is_code:
        raise CodecError(62, -1, "not a code to be shown")
    return ShownCode(code.decode(), int(seconds))


def build_shown_code(shown: ShownCode) -> bytes:
    """At most 520 bytes; raises :class:`CodecError` for what has no form."""
    code = shown.code
    if not (0 < len(code) <= MAX_CODE and code.isascii() and code.isprintable()):
        raise CodecError(62, -1, "a code is printable ASCII")
    if not 0 <= shown.shown_s <= MAX_SHOWN_S:
        raise CodecError(62, -1, "seconds have four digits")
    return _MAGIC + f"{shown.shown_s:04d}{code}".encode()
