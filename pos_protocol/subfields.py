"""What is inside a field, for people: names and values of its parts, masked.

Rules: a part that is not there is not shown; what cannot be read is shown by its
length. Sources: reference §2, the paragraphs of F22, F44, F48, F53–F55 and F59–F63.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from pos_protocol import charset
from pos_protocol.errors import CodecError, TlvError
from pos_protocol.fields.balance import parse_amounts
from pos_protocol.fields.download import parse_block, parse_query
from pos_protocol.fields.institutions import parse_institutions
from pos_protocol.fields.payment_status import parse_payment_status
from pos_protocol.fields.serial_number import parse_serial_number
from pos_protocol.fields.totals import parse_totals
from pos_protocol.fields.upload import parse_chip_line, parse_count, parse_lines
from pos_protocol.masking import (
    HIDDEN,
    carries_keys,
    is_card_tag,
    masked_code,
    masked_pan,
    masked_text,
)
from pos_protocol.message import Message
from pos_protocol.response_codes import meaning
from pos_protocol.tlv import ber_items, text_tags
from pos_protocol.transactions import is_reply

Parts = list[tuple[str, str]]
"""Name and value of each part, in order."""

_ENTRY: Final = {
    "00": "unknown", "01": "manual", "02": "magnetic", "03": "QR code", "05": "chip",
    "07": "contactless", "80": "fallback", "92": "mobile", "96": "mobile", "98": "mobile",
}  # fmt: skip
_PIN: Final = {"1": "PIN", "2": "no PIN"}
_PIN_FORMAT: Final = {"0": "no PIN", "1": "without PAN", "2": "with PAN"}
_PIN_ALGORITHM: Final = {"0": "single DES", "3": "SM4", "6": "double-length DES"}
_TAG_NAMES: Final = {
    "82": "AIP", "84": "DF name", "95": "TVR", "9A": "date", "9C": "type", "9F02": "amount",
    "9F03": "other amount", "9F09": "version", "9F10": "issuer data", "9F1A": "country",
    "9F1E": "device serial", "9F26": "cryptogram", "9F27": "cryptogram type",
    "9F33": "capabilities", "9F34": "CVM results", "9F35": "terminal type", "9F36": "ATC",
    "9F37": "random number", "9F41": "sequence counter", "9F63": "card product",
    "5F2A": "currency", "57": "track 2", "5A": "PAN", "71": "issuer script",
    "72": "issuer script", "91": "issuer authentication", "DF31": "script result",
}  # fmt: skip
_SCAN_TAG_NAMES: Final = {
    "A1": "location", "A2": "terminal", "A3": "payer's code", "A4": "voucher number",
    "A5": "location",
}  # fmt: skip
_TERMINAL_TAG_NAMES: Final = {
    "01": "device type", "02": "hardware serial", "03": "random factor",
    "04": "ciphertext", "05": "program version",
}  # fmt: skip
_KEY_BLOCKS: Final = {
    24: (("PIN key", 8), ("MAC key", 8)),
    40: (("PIN key", 16), ("MAC key", 16)),
    60: (("PIN key", 16), ("MAC key", 16), ("track key", 16)),
}
_KCV_BYTES: Final = 4
_COUNT_DIGITS: Final = 4
_DOWNLOAD_FAMILIES: Final = frozenset({"36", "37", "38", "39"})


def parts_of(message: Message, number: int) -> Parts:
    """The parts of one field of ``message``; empty when it has none to show."""
    explain = _EXPLAINERS.get(number)
    return explain(message) if explain is not None else []


def _cut(text: str, layout: tuple[tuple[str, int], ...]) -> Parts:
    """As many parts as there are digits."""
    parts: Parts = []
    at = 0
    for name, length in layout:
        if at < len(text):
            parts.append((name, text[at : at + length]))
        at += length
    if at < len(text):
        parts.append(("more", text[at:]))
    return parts


def _f22(message: Message) -> Parts:
    value = message.text(22)
    return [
        ("read by", _ENTRY.get(value[:2], "other")),
        ("PIN", _PIN.get(value[2:3], "other")),
    ]


def _f39(message: Message) -> Parts:
    line = meaning(message.text(39))
    return [("中文", line.zh), ("English", line.en)] if line is not None else []


def _f44(message: Message) -> Parts:
    both = parse_institutions(message.text(44))
    if not is_reply(message.mti) or not (both.issuer + both.acquirer).isalnum():
        return []
    named = (("issuer", both.issuer), ("acquirer", both.acquirer))
    return [(name, charset.printable(code)) for name, code in named if code]


def _f48(message: Message) -> Parts:
    value, mti = message.text(48), message.mti
    try:
        if mti in ("0500", "0510"):
            return _totals(value)
        if mti in ("0320", "0330") and len(value) == _COUNT_DIGITS:
            return [("lines in all", str(parse_count(value)))]
        return _lines(value) if mti in ("0320", "0330") else []
    except CodecError as error:
        return [("unreadable", error.reason)]


def _totals(value: str) -> Parts:
    totals = parse_totals(value)
    parts: Parts = []
    for which, half in (("RMB", totals.domestic), ("foreign cards", totals.foreign)):
        parts += [
            (f"{which} debit", f"{half.debit_fen} fen in {half.debit_count}"),
            (f"{which} credit", f"{half.credit_fen} fen in {half.credit_count}"),
            (f"{which} result", half.result.name.lower()),
        ]
    return parts


def _lines(value: str) -> Parts:
    return [
        (
            f"trace {line.trace}",
            f"{masked_pan(line.pan)} {line.amount_fen} fen{' foreign' * line.is_foreign}",
        )
        for line in parse_lines(value)
    ]


def _f54(message: Message) -> Parts:
    try:
        amounts = parse_amounts(message.text(54))
    except CodecError as error:
        return [("unreadable", error.reason)]
    return [
        (
            f"account {charset.printable(one.account_type)}, amount {one.amount_type}",
            f"{one.amount_fen} in the smallest unit of {one.currency}",
        )
        for one in amounts
    ]


def _f53(message: Message) -> Parts:
    value = message.text(53)
    return [
        ("PIN block", _PIN_FORMAT.get(value[:1], "other")),
        ("PIN algorithm", _PIN_ALGORITHM.get(value[1:2], "other")),
        ("track", "encrypted" if value[2:3] == "1" else "clear"),
    ]


def _f55(message: Message) -> Parts:
    try:
        items = ber_items(message.data(55))
    except TlvError as error:
        return [("unreadable", error.reason)]
    return [
        (
            f"{tag} {_TAG_NAMES.get(tag, '')}".strip(),
            HIDDEN if is_card_tag(tag) else value.hex().upper(),
        )
        for tag, value in items
    ]


def _scan_info(number: int) -> Callable[[Message], Parts]:
    def explain(message: Message) -> Parts:
        tags = text_tags(message.text(number))
        parts: Parts = []
        for tag, value in tags.items:
            name = f"{tag} {_SCAN_TAG_NAMES.get(tag, '')}".strip()
            if tag == "A3":
                parts.append((name, masked_code(value)))
            elif tag == "A2":
                parts += _terminal_info(value)
            else:
                parts.append((name, charset.printable(value)))
        if tags.items and tags.rest:
            parts.append(("unreadable", f"{len(tags.rest)} characters"))
        return parts

    return explain


def _terminal_info(value: str) -> Parts:
    tags = text_tags(value)
    parts = [
        (
            f"A2.{tag} {_TERMINAL_TAG_NAMES.get(tag, '')}".strip(),
            HIDDEN if tag == "03" else charset.printable(held),
        )
        for tag, held in tags.items
    ]
    return parts or [("A2 terminal", masked_text(value))]


def _f60(message: Message) -> Parts:
    layout = (("60.1 type", 2), ("60.2 batch", 6), ("60.3 management", 3),
              ("60.4 read capability", 1), ("60.5 chip condition", 1),
              ("60.6 partial approval", 1), ("60.7 account type", 3))  # fmt: skip
    return _cut(message.text(60), layout)


def _f61(message: Message) -> Parts:
    layout = (("61.1 original batch", 6), ("61.2 original trace", 6), ("61.3 original date", 4),
              ("61.4 authorisation mode", 2), ("61.5 authorising body", 11))  # fmt: skip
    return _cut(message.text(61), layout)


def _f62(message: Message) -> Parts:
    value = message.data(62)
    if carries_keys(message):
        return _key_blocks(value)
    for explain in (_serial, _status, _chip_line, _block):
        try:
            parts = explain(message, value)
        except CodecError:
            continue
        if parts:
            return parts
    if value.isascii() and value.decode("ascii").isprintable():
        return [("text", masked_text(value.decode("ascii")))]
    return []


def _serial(message: Message, value: bytes) -> Parts:
    number = parse_serial_number(value) if message.mti == "0800" else None
    if number is None:
        return []
    return [
        ("certificate", charset.printable(number.certificate)),
        ("serial", charset.printable(number.serial)),
    ]


def _status(message: Message, value: bytes) -> Parts:
    if message.mti != "0210":
        return []
    status = parse_payment_status(value)
    return [("payment is", status.state.name.lower().replace("_", " ")),
            ("its response code", status.response_code or "none yet")]  # fmt: skip


def _chip_line(message: Message, value: bytes) -> Parts:
    if message.mti != "0320":
        return []
    line = parse_chip_line(value)
    kind = "failed" if line.has_failed else "done"
    return [("chip transaction", f"{kind}, {line.amount_fen} fen{' foreign' * line.is_foreign}")]


def _block(message: Message, value: bytes) -> Parts:
    if message.text(60)[8:10] not in _DOWNLOAD_FAMILIES:
        return []
    if not is_reply(message.mti):
        return [("entries known", str(parse_query(value)))]
    block = parse_block(value)
    tags = [(tag, HIDDEN if is_card_tag(tag) else held.hex().upper()) for tag, held in block.tags]
    return [("block", block.mark.name.lower().replace("_", " ")), *tags]


def _key_blocks(value: bytes) -> Parts:
    """Each key hidden, its check value shown: what an engineer compares at an injection."""
    blocks = _KEY_BLOCKS.get(len(value))
    if blocks is None:
        return [("keys", f"{len(value)} bytes of unknown layout")]
    parts: Parts = []
    at = 0
    for name, length in blocks:
        at += length + _KCV_BYTES
        parts.append((f"{name} check value", value[at - _KCV_BYTES : at].hex().upper()))
    return parts


def _f63(message: Message) -> Parts:
    value = charset.to_bytes(message.text(63))
    if len(value) <= 3:
        return []
    cut = (("63.1", 0, 3), ("issuer text", 3, 23), ("UnionPay text", 23, 43), ("acquirer text", 43, 999))  # fmt: skip
    named = ((name, charset.from_bytes(value[start:end])) for name, start, end in cut)
    return [(name, charset.printable(text.strip())) for name, text in named if text.strip()]


_EXPLAINERS: Final[Mapping[int, Callable[[Message], Parts]]] = MappingProxyType(
    {
        22: _f22,
        39: _f39,
        44: _f44,
        48: _f48,
        53: _f53,
        54: _f54,
        55: _f55,
        57: _scan_info(57),
        59: _scan_info(59),
        60: _f60,
        61: _f61,
        62: _f62,
        63: _f63,
    }
)
