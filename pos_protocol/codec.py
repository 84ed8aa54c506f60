"""Messages to bytes and back (reference §1 and §2).

A payload is a frame without its two length bytes: TPDU (5), header, MTI (2, BCD),
bitmap (8), fields. A *body* is a payload from the MTI on: what the MAC covers. The
header is 6 bytes; some terminals have none, some put 14 zero bytes before it, and
:func:`body_offset` sees which (a header begins with 60 or 61, an MTI with 01–09).

Rules: whatever :func:`decode` accepts, :func:`encode` gives back byte for byte;
:class:`CodecError` is all that either raises. What is in use is read and written by
compiled functions, everything else and every fault by the plain ones.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from pos_protocol.compiled_writing import NOT_USUAL
from pos_protocol.dialect import STANDARD, Dialect
from pos_protocol.errors import CodecError
from pos_protocol.message import Message
from pos_protocol.reading import BITMAP_OFFSET, ReadingPlan, cut_off, reading_plan
from pos_protocol.writing import writing_plan

__all__ = [
    "BODY_OFFSET",
    "MAC_BYTES",
    "CodecError",
    "Message",
    "body_offset",
    "decode",
    "decode_before",
    "encode",
    "encode_with_mac",
    "has_mac",
    "mac_input",
]

TPDU_BYTES: Final = 5
BODY_OFFSET: Final = 11
FIELDS_OFFSET: Final = BITMAP_OFFSET + 8
MAC_BYTES: Final = 8
MAC_FIELD: Final = 64
HEADER_SIZES: Final = (6, 0, 20)
_ROUTING_BYTES: Final = 14
_HEAD_BYTES: Final = FIELDS_OFFSET - BODY_OFFSET
_LEAST_HEADER_OCTET: Final = 0x10
_LEAST_HEADER: Final = b"\x10"
_NO_PADS: Final[Mapping[int, str]] = MappingProxyType({})


def body_offset(payload: bytes) -> int:
    """Where the MTI is: byte 11, 5 without a header, 25 behind a routing block."""
    first = payload[TPDU_BYTES] if len(payload) > TPDU_BYTES else _LEAST_HEADER_OCTET
    if first >= _LEAST_HEADER_OCTET:
        return BODY_OFFSET
    if first:
        return TPDU_BYTES
    routed = TPDU_BYTES + _ROUTING_BYTES
    if len(payload) > routed and not any(payload[TPDU_BYTES:routed]):
        return routed + 6 if payload[routed] >= _LEAST_HEADER_OCTET else BODY_OFFSET
    return BODY_OFFSET


def decode(payload: bytes, dialect: Dialect = STANDARD) -> Message:
    """Read one payload.

    Raises:
        CodecError: and nothing else, for any bytes; names the field.
    """
    if len(payload) < FIELDS_OFFSET or payload[TPDU_BYTES] < _LEAST_HEADER_OCTET:
        return _decode_elsewhere(payload, dialect)
    plan = reading_plan(payload[BODY_OFFSET:FIELDS_OFFSET], dialect)
    read = plan.compiled
    if read is None:
        plan.use()
    else:
        try:
            message = read(payload)
        except IndexError:  # the message ends early: the plain readers say where
            message = None
        if message is not None:
            return message
    return _decode_plainly(payload, BODY_OFFSET, plan)


def _decode_elsewhere(payload: bytes, dialect: Dialect) -> Message:
    """As :func:`decode` for a payload whose header is not the usual one."""
    body = body_offset(payload)
    fields = body + _HEAD_BYTES
    if len(payload) < fields:
        raise CodecError(0, len(payload), "too short for TPDU, header, MTI and bitmap")
    try:
        plan = reading_plan(payload[body:fields], dialect)
    except CodecError as error:
        at = error.offset - BODY_OFFSET + body
        raise CodecError(error.field, at, error.reason) from None
    return _decode_plainly(payload, body, plan)


def _decode_plainly(payload: bytes, body: int, plan: ReadingPlan) -> Message:
    fields = plan.blank.copy()
    pads: dict[int, str] = {}
    offset = _read_fields(payload, body + _HEAD_BYTES, plan, fields, pads)
    if offset < len(payload):
        raise CodecError(0, offset, f"{len(payload) - offset} bytes after the last field")
    kept = tuple(pads.items()) if pads else ()
    return Message(payload[:TPDU_BYTES], payload[TPDU_BYTES:body], plan.mti, fields, kept)


def _read_fields(
    payload: bytes,
    start: int,
    plan: ReadingPlan,
    fields: dict[int, str | bytes],
    pads: dict[int, str],
) -> int:
    """Where the last field ends; raises :class:`CodecError` if that is past the end."""
    offset = start
    try:
        for read in plan.readers:
            offset = read(payload, offset, fields, pads)
    except IndexError:
        raise cut_off(payload, start, plan.specs) from None
    if offset > len(payload):
        raise cut_off(payload, start, plan.specs)
    return offset


def encode(message: Message, dialect: Dialect = STANDARD) -> bytes:
    """Write one payload; F64 only if ``message`` holds it.

    Raises:
        CodecError: a value that the field table cannot write.
    """
    body = _body(message, dialect, False)
    return message.tpdu + message.header + body


def encode_with_mac(
    message: Message, mac: Callable[[bytes], bytes], dialect: Dialect = STANDARD
) -> bytes:
    """Write one payload with ``mac(body without F64)`` as F64, whatever F64 it held.

    Raises:
        CodecError: as :func:`encode`, or a MAC that is not 8 bytes.
    """
    body = _body(message, dialect, True)
    code = mac(body)
    if len(code) != MAC_BYTES:
        raise CodecError(MAC_FIELD, -1, "a MAC is 8 bytes")
    return b"".join((message.tpdu, message.header, body, code))


def decode_before(payload: bytes, field: int, dialect: Dialect = STANDARD) -> Message:
    """The fields below ``field`` of a payload that :func:`decode` refused, for a diagnosis.

    Raises:
        CodecError: one of those cannot be read either.
    """
    body = body_offset(payload)
    bitmap, start = body + 2, body + _HEAD_BYTES
    bits = int.from_bytes(payload[bitmap:start], "big")
    below = bits >> (65 - field) << (65 - field)
    plan = reading_plan(payload[body:bitmap] + below.to_bytes(8, "big"), dialect)
    fields: dict[int, str | bytes] = {}
    pads: dict[int, str] = {}
    _read_fields(payload, start, plan, fields, pads)
    tpdu, header = payload[:TPDU_BYTES], payload[TPDU_BYTES:body]
    return Message(tpdu, header, plan.mti, fields, tuple(pads.items()))


def mac_input(payload: bytes) -> bytes:
    """What the MAC of a payload with F64 covers: MTI up to the field before F64 (§4)."""
    if payload[TPDU_BYTES:BODY_OFFSET] >= _LEAST_HEADER:  # the usual header
        return payload[BODY_OFFSET:-MAC_BYTES]
    return payload[body_offset(payload) : -MAC_BYTES]


def has_mac(payload: bytes) -> bool:
    """Whether a payload has F64: the last bit of its bitmap says so."""
    last_of_bitmap = body_offset(payload) + _HEAD_BYTES - 1
    return len(payload) > last_of_bitmap and bool(payload[last_of_bitmap] & 1)


def _body(message: Message, dialect: Dialect, with_mac: bool) -> bytes:
    """The body, without the bytes of a MAC, of a message whose envelope can be written."""
    fields = message.fields
    body = None
    plan = writing_plan(message.mti, tuple(fields), dialect, with_mac)
    write = plan.compiled
    if write is None:
        plan.use()
    elif not message.pads:
        try:
            body = write(fields)
        except NOT_USUAL:  # a value of another type or length: the plain writers name it
            body = None
    if body is None:
        pads = dict(message.pads) if message.pads else _NO_PADS
        body = plan.head + b"".join([write_one(fields, pads) for write_one in plan.writers])
    if len(message.tpdu) != TPDU_BYTES or len(message.header) not in HEADER_SIZES:
        raise CodecError(0, -1, "a TPDU is 5 bytes, a header 6, none, or 20 with its routing")
    return body
