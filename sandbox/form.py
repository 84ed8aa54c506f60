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
    pairs = raw.decode("latin-1").split("&")
    if len(pairs) > MAX_PARAMS:
        raise FormError("too many parameters")
    try:
        for pair in pairs:
            name, _, value = pair.partition("=")
            if "%" in pair or "+" in pair or not pair.isascii():
                name, value = _unescape(name), _unescape(value)
            params[name] = value
    except UnicodeDecodeError:
        raise FormError("not UTF-8") from None
    if len(params) != len(pairs):
        raise FormError("a parameter comes twice")
    return params


def _unescape(text: str) -> str:
    """What octets, each a character of ``text``, say as UTF-8."""
    raw = text.replace("+", " ").encode("latin-1")
    if b"%" in raw:
        # The quoted-printable reader does =XX in C, three times as fast as any loop here.
        raw = binascii.a2b_qp(raw.replace(b"=", b"=3D").replace(b"%", b"="))
    return raw.decode("utf-8")
