"""What the fuzzer feeds, and what must hold of it. A broken rule is a :class:`Broken`.

Rules held for every input: nothing but the room's own error types comes out, no text of
one shows seven digits in a row (a card, a PIN, a key), what was read is written back
byte for byte, compiled and plain readers agree, and no money moves without a key.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from pos_protocol.codec import CodecError, decode, decode_before, encode
from pos_protocol.compiled_reading import COMPILED_AFTER
from pos_protocol.describe import describe
from pos_protocol.dialect import Dialect
from pos_protocol.errors import PosProtocolError, TlvError
from pos_protocol.fields.balance import build_amounts, parse_amounts
from pos_protocol.fields.download import build_block, parse_block, parse_query
from pos_protocol.fields.institutions import parse_institutions
from pos_protocol.fields.original import build_original, parse_original
from pos_protocol.fields.payment_status import build_payment_status, parse_payment_status
from pos_protocol.fields.scan_info import parse_scan_info
from pos_protocol.fields.serial_number import build_serial_number, parse_serial_number
from pos_protocol.fields.totals import (
    ClassTotals,
    SettlementTotals,
    build_totals,
    parse_totals,
)
from pos_protocol.fields.transaction_type import build_transaction_type, parse_transaction_type
from pos_protocol.fields.upload import (
    ChipLine,
    UploadLine,
    build_chip_line,
    build_lines,
    parse_chip_line,
    parse_count,
    parse_lines,
)
from pos_protocol.framing import frame
from pos_protocol.message import Message
from pos_protocol.reading import reading_plan
from pos_protocol.session import BadFrame, HostSession, reply_to
from pos_protocol.tlv import ber_build, ber_items, scanned_code, text_build, text_tags
from pos_protocol.transactions import batch_of, identify, is_reply, missing_fields, reply_mti
from tests.fuzz.server import BATCH, MERCHANT, NOT_SIGNED_IN, SIGNED_IN, MoneyMoved, the_server

_SECRET: Final = re.compile(r"[0-9]{7}")
_SYSTEM_FAULT: Final = "96"


class Broken(Exception):
    """A rule that an input broke; the text never holds the input."""


class Moved(Broken):
    """Money moved without a key."""


def _check_text(error: PosProtocolError) -> None:
    if _SECRET.search(str(error)):
        raise Broken("an error text shows seven digits in a row")


def codec(payload: bytes, dialect: Dialect, chance: int) -> None:
    """Decode; if that works, encode to the same bytes and name the message."""
    try:
        message = decode(payload, dialect)
    except CodecError as error:
        _check_text(error)
        if not 0 <= error.field <= 64 or error.offset > len(payload):
            raise Broken("an error points outside the message") from None
        if not chance & 15:
            _diagnose(payload, error, dialect)
        return
    if encode(message, dialect) != payload:
        raise Broken("encoding gives other bytes")
    row = identify(message)
    if row is not None:
        missing_fields(message, row)
    batch_of(message)
    if not chance >> 4 & 63:
        _agree(payload, message, dialect)


def _diagnose(payload: bytes, error: CodecError, dialect: Dialect) -> None:
    if error.field > 1:
        try:
            decode_before(payload, error.field, dialect)
        except CodecError as second:
            _check_text(second)


def _agree(payload: bytes, message: Message, dialect: Dialect) -> None:
    """Compile this message's plan, if nobody did, and read it once more."""
    plan = reading_plan(payload[11:21], dialect) if len(message.header) == 6 else None
    while plan is not None and plan.compiled is None:
        for _ in range(COMPILED_AFTER):
            plan.use()
    if decode(payload, dialect) != message:
        raise Broken("compiled and plain readers disagree")


def tlv(payload: bytes, _dialect: Dialect, _chance: int) -> None:
    """Both kinds of tag list, and a short list's own inverse."""
    data = payload[21:]
    try:
        items = ber_items(data)
    except TlvError as error:
        _check_text(error)
    else:
        if ber_items(ber_build(items)) != items:
            raise Broken("a tag list changes when written")
    text = data.decode("latin-1")
    tags = text_tags(text)
    if text_build(tags.items) + tags.rest != text:
        raise Broken("a text tag list loses something")
    scanned_code(text)


_PAIRS: Final[tuple[tuple[Callable[[str], object], Callable[..., str]], ...]] = (
    (parse_totals, build_totals),
    (parse_lines, build_lines),
    (parse_amounts, build_amounts),
    (parse_original, build_original),
    (parse_transaction_type, build_transaction_type),
)
_BYTE_PAIRS: Final[tuple[tuple[Callable[[bytes], object], Callable[..., bytes]], ...]] = (
    (parse_chip_line, build_chip_line),
    (parse_block, build_block),
    (parse_payment_status, build_payment_status),
    (parse_serial_number, build_serial_number),
)


def fields(payload: bytes, _dialect: Dialect, chance: int) -> None:
    """The parts of one field; what parses and builds must parse to the same again."""
    raw = payload[21 + (chance & 63) :]
    text = raw.hex().upper() if chance >> 6 & 1 else raw.decode("latin-1")
    parse, build = _PAIRS[(chance >> 8) % len(_PAIRS)]
    _inverse(parse, build, text)
    parse_bytes, build_bytes = _BYTE_PAIRS[(chance >> 16) % len(_BYTE_PAIRS)]
    _inverse(parse_bytes, build_bytes, raw)
    parse_institutions(text)
    parse_scan_info(text)
    _refuses(parse_count, text)
    _refuses(parse_query, raw)


def _refuses(parse: Callable[..., object], source: str | bytes) -> None:
    try:
        parse(source)
    except CodecError as error:
        _check_text(error)


def _inverse(parse: Callable[..., object], build: Callable[..., object], source: object) -> None:
    try:
        value = parse(source)
    except CodecError as error:
        _check_text(error)
        return
    if value is None:
        return
    try:
        written = build(value)
    except CodecError as error:  # read leniently, not written: fine, but not silently other
        _check_text(error)
        return
    if parse(written) != value:
        raise Broken(f"{parse.__name__} is not undone by {build.__name__}")


def session(payload: bytes, dialect: Dialect, chance: int) -> None:
    """A stream in pieces of any size: events, never an exception, a bounded buffer."""
    stream = frame(payload or b"\0")
    if chance & 3:
        stream = stream + stream if chance & 2 else bytes([chance >> 2 & 255]) + stream
    host = HostSession(dialect=dialect)
    cut = (chance >> 10) % len(stream)
    pieces = (stream[:cut], stream[cut:], b"")
    for piece in pieces:
        if not piece and piece is not pieces[-1]:
            continue
        for event in host.receive_data(piece):
            if isinstance(event, BadFrame):
                if _SECRET.search(event.reason):
                    raise Broken("a bad frame's reason shows seven digits in a row")
            elif not is_reply(event.message.mti):
                _reply(event.message, dialect)
    if not host.closed:
        raise Broken("a session outlives its stream")


def _reply(message: Message, dialect: Dialect) -> None:
    try:
        encode(reply_to(message, {39: "30"}, processing=3, dialect=dialect), dialect)
    except CodecError as error:
        _check_text(error)


def describing(payload: bytes, _dialect: Dialect, chance: int) -> None:
    """Any bytes are described, as text and as JSON, whatever they are."""
    description = describe(payload if chance & 1 else frame(payload or b"\0"))
    description.as_json()
    description.as_text()


_READABLE: Final[Mapping[int, Sequence[str | bytes]]] = MappingProxyType(
    {
        2: ("9900000000000010",),
        35: ("9900000000000010=30121010000012300",),
        48: (
            build_totals(SettlementTotals(ClassTotals(debit_fen=1990, debit_count=1))),
            build_lines([UploadLine(trace="000001", pan="9900000000000010", amount_fen=1990)]),
            "00",
            "0001",
        ),
        49: ("156",),
        61: (BATCH + "000007", BATCH + "0000071122"),
        62: (build_chip_line(ChipLine(amount_fen=1990)), b"101", b"Sequence No12306000000001"),
    }
)
"""What chance would hardly draw, and handlers look into."""


def server(payload: bytes, _dialect: Dialect, chance: int) -> None:
    """A message to a real door over a real store: answered or not, and nothing is booked."""
    for event in HostSession().receive_data(frame(payload or b"\0")):
        if isinstance(event, BadFrame):
            continue
        message = _from_a_terminal_of_ours(event.message, chance) if chance & 7 else event.message
        asked = event.payload if message is event.message else encode(message)
        try:
            reply = the_server().answer(asked, message)
        except MoneyMoved as moved:
            raise Moved(str(moved)) from None
        if reply is not None:
            _check_reply(message, reply)


def _from_a_terminal_of_ours(message: Message, chance: int) -> Message:
    """The same from a terminal that the gateway knows, in its batch: most are strangers."""
    fields = dict(message.fields)
    fields[41] = NOT_SIGNED_IN if chance >> 3 & 7 == 7 else SIGNED_IN[chance >> 3 & 1]
    fields[42] = MERCHANT
    named = message.text(60)
    if len(named) >= 8:
        fields[60] = named[:2] + BATCH + named[8:]
    for number, texts in _READABLE.items():
        if number in fields and chance >> (6 + number % 5) & 1:
            fields[number] = texts[(chance >> 11) % len(texts)]
    return Message(message.tpdu, message.header, message.mti, fields, message.pads)


def _check_reply(message: Message, reply: bytes) -> None:
    answer = decode(reply)
    if answer.mti != reply_mti(message.mti):
        raise Broken("an answer of another kind")
    if 64 in answer.fields:
        raise Broken("a MAC for who has no key")
    if answer.text(39) == _SYSTEM_FAULT:
        raise Broken("a fault of ours")


Target = Callable[[bytes, Dialect, int], None]
"""``target(payload, dialect, chance)``; ``chance`` has 32 random bits to choose by."""
TARGETS: Final[Mapping[str, Target]] = MappingProxyType(
    {
        "codec": codec,
        "tlv": tlv,
        "fields": fields,
        "session": session,
        "describe": describing,
        "server": server,
    }
)
WEIGHTS: Final[Sequence[str]] = (
    *("codec",) * 17, *("tlv",) * 4, *("fields",) * 4, *("session",) * 5, "describe", "server",
)  # fmt: skip
"""Thirty-two turns; ``describe`` tries every envelope, ``server`` asks a store: the dearest."""
