"""Messages to bytes and back (reference §1 and §2).

A payload is a frame without its two length bytes: TPDU (5), header (6), MTI (2, BCD),
bitmap (8), fields. A *body* is a payload from the MTI on: what the MAC covers.

Rules: whatever :func:`decode` accepts, :func:`encode` gives back byte for byte;
:class:`CodecError` is all that either raises.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from pos_protocol.errors import CodecError
from pos_protocol.message import Message
from pos_protocol.reading import BITMAP_OFFSET, cut_off, reading_plan
from pos_protocol.spec import STANDARD, Dialect
from pos_protocol.writing import writing_plan

__all__ = [
    "BODY_OFFSET",
    "MAC_BYTES",
    "CodecError",
    "Message",
    "decode",
    "decode_before",
    "encode",
    "encode_with_mac",
    "mac_input",
]

BODY_OFFSET: Final = 11
FIELDS_OFFSET: Final = BITMAP_OFFSET + 8
MAC_BYTES: Final = 8
MAC_FIELD: Final = 64
_NO_PADS: Final[Mapping[int, str]] = MappingProxyType({})


def decode(payload: bytes, dialect: Dialect = STANDARD) -> Message:
    """Read one payload.

    Raises:
        CodecError: and nothing else, for any bytes; names the field.
    """
    if len(payload) < FIELDS_OFFSET:
        raise CodecError(0, len(payload), "too short for TPDU, header, MTI and bitmap")
    mti = payload[BODY_OFFSET:BITMAP_OFFSET].hex()
    if not mti.isdigit():
        raise CodecError(0, BODY_OFFSET, "the MTI is not BCD")
    readers, specs, blank = reading_plan(payload[BITMAP_OFFSET:FIELDS_OFFSET], dialect)
    fields = blank.copy()
    pads: dict[int, str] = {}
    offset = FIELDS_OFFSET
    try:
        for read in readers:
            offset = read(payload, offset, fields, pads)
    except IndexError:
        raise cut_off(payload, FIELDS_OFFSET, specs) from None
    if offset > len(payload):
        raise cut_off(payload, FIELDS_OFFSET, specs)
    if offset < len(payload):
        raise CodecError(0, offset, f"{len(payload) - offset} bytes after the last field")
    kept = tuple(pads.items()) if pads else ()
    return Message(payload[:5], payload[5:BODY_OFFSET], mti, fields, kept)


def encode(message: Message, dialect: Dialect = STANDARD) -> bytes:
    """Write one payload; F64 only if ``message`` holds it.

    Raises:
        CodecError: a value that the field table cannot write.
    """
    return _envelope(message) + _body(message, dialect, with_mac=False)


def encode_with_mac(
    message: Message, mac: Callable[[bytes], bytes], dialect: Dialect = STANDARD
) -> bytes:
    """Write one payload with ``mac(body without F64)`` as F64, whatever F64 it held.

    Raises:
        CodecError: as :func:`encode`, or a MAC that is not 8 bytes.
    """
    body = _body(message, dialect, with_mac=True)
    code = mac(body)
    if len(code) != MAC_BYTES:
        raise CodecError(MAC_FIELD, -1, "a MAC is 8 bytes")
    return _envelope(message) + body + code


def decode_before(payload: bytes, field: int, dialect: Dialect = STANDARD) -> Message:
    """The fields below ``field`` of a payload that :func:`decode` refused, for a diagnosis.

    Raises:
        CodecError: one of those cannot be read either.
    """
    bits = int.from_bytes(payload[BITMAP_OFFSET:FIELDS_OFFSET], "big")
    below = bits >> (65 - field) << (65 - field)
    fields: dict[int, str | bytes] = {}
    pads: dict[int, str] = {}
    offset = FIELDS_OFFSET
    readers, specs, _ = reading_plan(below.to_bytes(8, "big"), dialect)
    try:
        for read in readers:
            offset = read(payload, offset, fields, pads)
    except IndexError:
        raise cut_off(payload, FIELDS_OFFSET, specs) from None
    mti = payload[BODY_OFFSET:BITMAP_OFFSET].hex()
    return Message(payload[:5], payload[5:BODY_OFFSET], mti, fields, tuple(pads.items()))


def mac_input(payload: bytes) -> bytes:
    """What the MAC of a payload with F64 covers: MTI up to the field before F64 (§4)."""
    return payload[BODY_OFFSET:-MAC_BYTES]


def _envelope(message: Message) -> bytes:
    envelope = message.tpdu + message.header
    if len(message.tpdu) != 5 or len(envelope) != BODY_OFFSET:
        raise CodecError(0, -1, "a TPDU is 5 bytes, a header 6")
    return envelope


def _body(message: Message, dialect: Dialect, *, with_mac: bool) -> bytes:
    mti, fields = message.mti, message.fields
    pads = dict(message.pads) if message.pads else _NO_PADS
    if not (len(mti) == 4 and mti.isascii() and mti.isdigit()):
        raise CodecError(0, -1, "an MTI is 4 digits")
    bitmap, writers = writing_plan(tuple(fields), dialect, with_mac)
    parts = [bytes.fromhex(mti), bitmap]
    parts += [write(fields, pads) for write in writers]
    return b"".join(parts)
