"""What of a message may be seen: PAN first six and last four, nothing else of the card.

Rules: a value that should hold something secret and cannot be read is hidden whole.
Masks keep the length where the length is no secret.
"""

import re
from typing import Final

from pos_protocol import charset
from pos_protocol.errors import TlvError
from pos_protocol.fields.operator_pin import BLOCK_DIGITS, MAGIC
from pos_protocol.message import Message
from pos_protocol.tlv import ber_build, ber_items, text_build, text_tags
from pos_protocol.transactions import management_of

HIDDEN: Final = "****"

_ALWAYS_HIDDEN: Final = frozenset({14, 35, 36, 52})
_CARD_TAGS: Final = frozenset({"5A", "56", "57", "5F20", "5F24", "9F0B", "9F1F", "9F20", "9F6B"})
_SCRIPTS: Final = frozenset({"71", "72"})
_LONG_NUMBER: Final = re.compile(r"[0-9]{12,}")
_PARAMETER_DOWNLOADS: Final = frozenset({"360", "364", "370", "380", "390", "394"})


def masked_pan(pan: str) -> str:
    """First six, last four; a number too short for that shows nothing."""
    if len(pan) < 12:
        return "*" * len(pan)
    return f"{pan[:6]}{'*' * (len(pan) - 10)}{pan[-4:]}"


def masked_code(code: str) -> str:
    """A payer's code: the two digits that name the wallet, no more."""
    return code[:2] + "*" * (len(code) - 2)


def masked_text(text: str) -> str:
    """Free text with every number that could be a card or a code hidden."""
    return _LONG_NUMBER.sub(lambda match: "*" * len(match.group()), charset.printable(text))


def masked_scan_info(text: str) -> str:
    """F59 (or F57): the code of A3 and the factor of A2 hidden, the rest as it stands."""
    tags = text_tags(text)
    items = [(tag, _scan_value(tag, value)) for tag, value in tags.items]
    return charset.printable(text_build(items)) + masked_text(tags.rest)


def _scan_value(tag: str, value: str) -> str:
    if tag == "A3":
        return masked_code(value)
    if tag != "A2":
        return value
    inner = text_tags(value)
    items = [(sub, "*" * len(held) if sub == "03" else held) for sub, held in inner.items]
    return text_build(items) + masked_text(inner.rest)


def masked_chip_data(data: bytes) -> str:
    """F55 as hex, the values of card tags as ``*``; hidden whole if it is no tag list."""
    try:
        items = ber_items(data)
    except TlvError:
        return HIDDEN
    if not any(is_card_tag(tag) for tag, _ in items):
        return data.hex().upper()
    return "".join(_masked_item(tag, value) for tag, value in items)


def _masked_item(tag: str, value: bytes) -> str:
    text = ber_build([(tag, value)]).hex().upper()
    if not is_card_tag(tag):
        return text
    return text[: len(text) - 2 * len(value)] + "*" * (2 * len(value))


def is_card_tag(tag: str) -> bool:
    """Whether an EMV tag holds card data, or is a template that may (scripts hold none)."""
    is_template = bool(int(tag[:2], 16) & 0x20) and tag not in _SCRIPTS
    return is_template or tag in _CARD_TAGS


def carries_keys(message: Message) -> bool:
    """Whether F62 holds keys: any 0810 that is no parameter download."""
    return message.mti == "0810" and management_of(message) not in _PARAMETER_DOWNLOADS


def masked_value(message: Message, number: int) -> str:
    """The value of one field as it may be shown: digits, text, or upper-case hex."""
    value = message.fields[number]
    if number in _ALWAYS_HIDDEN or (number == 62 and carries_keys(message)):
        return HIDDEN
    if number == 48 and message.mti == "0320" and len(value) > 4:
        return HIDDEN  # a batch of PANs
    if isinstance(value, bytes):
        return masked_chip_data(value) if number == 55 else value.hex().upper()
    if number == 2:
        return masked_pan(value)
    if number == 58 and value.startswith(MAGIC):
        return MAGIC + "*" * BLOCK_DIGITS + charset.printable(value[len(MAGIC) + BLOCK_DIGITS :])
    if number in (57, 58, 59):
        return masked_scan_info(value)
    return charset.printable(value)
