"""F62 of a sign-in request: ``Sequence No``, a length n2, certificate n4 and serial (§2).

Rule: some terminals put something of their own there, or nothing: reading gives ``None``.
"""

from dataclasses import dataclass
from typing import Final

from pos_protocol.errors import CodecError

_WORDS: Final = "Sequence No"
_CERTIFICATE: Final = 4
_LONGEST: Final = 99


@dataclass(frozen=True, slots=True)
class SerialNumber:
    """Certificate number (4 digits) and the device's own serial."""

    certificate: str
    serial: str


def parse_serial_number(field_62: bytes) -> SerialNumber | None:
    """What the terminal says it is, ``None`` if it is anything else. Never raises."""
    text = field_62.decode("latin-1")
    size, said = text[len(_WORDS) : len(_WORDS) + 2], text[len(_WORDS) + 2 :]
    if not text.startswith(_WORDS) or not (size.isascii() and size.isdigit()):
        return None
    if int(size) != len(said) or len(said) < _CERTIFICATE:
        return None
    return SerialNumber(said[:_CERTIFICATE], said[_CERTIFICATE:])


def build_serial_number(number: SerialNumber) -> bytes:
    """``Sequence No12`` and the twelve characters, for instance."""
    said = number.certificate + number.serial
    if len(number.certificate) != _CERTIFICATE or len(said) > _LONGEST or not said.isascii():
        raise CodecError(62, -1, "a certificate has 4 digits, with its serial at most 99")
    return f"{_WORDS}{len(said):02d}{said}".encode()
