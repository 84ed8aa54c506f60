"""Tag lists inside fields: F59 (ASCII, two levels) and F55 (BER-TLV) (reference §2).

Rules: F59 is read leniently, because vendors vary it and a sale must never fail on
it: reading stops where the text no longer adds up and keeps the rest. F55 is strict.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pos_protocol.errors import TlvError

__all__ = [
    "TextTags",
    "TlvError",
    "ber_build",
    "ber_items",
    "scanned_code",
    "text_build",
    "text_tags",
    "voucher_number",
]

SCANNED_CODE_TAG: Final = "A3"
VOUCHER_TAG: Final = "A4"
_CODE_DIGITS: Final = range(10, 33)
_HEAD: Final = 5
_CODE_HEADS: Final = {f"A3{size:03d}": _HEAD + size for size in _CODE_DIGITS}


@dataclass(frozen=True, slots=True, repr=False)
class TextTags:
    """One level of F59: tags with their values in order, and what could not be read."""

    items: tuple[tuple[str, str], ...]
    rest: str = ""

    def get(self, tag: str) -> str:
        """The value of the first ``tag``, ``""`` without one."""
        return next((value for name, value in self.items if name == tag), "")

    def __repr__(self) -> str:
        return f"TextTags({[name for name, _ in self.items]}, rest={len(self.rest)})"


def text_tags(text: str) -> TextTags:
    """Read ``tag(2) length(3) value`` until the text ends or stops adding up."""
    items = []
    at = 0
    while at < len(text):
        tag, length = text[at : at + 2], text[at + 2 : at + _HEAD]
        if len(length) != 3 or not (length.isascii() and length.isdigit() and tag.isalnum()):
            break
        end = at + _HEAD + int(length)
        if end > len(text):
            break
        items.append((tag, text[at + _HEAD : end]))
        at = end
    return TextTags(tuple(items), text[at:])


def text_build(items: Iterable[tuple[str, str]]) -> str:
    """Write one level; raises :class:`TlvError` for a tag or value that has no form."""
    parts = []
    for tag, value in items:
        if len(tag) != 2 or len(value) > 999:
            raise TlvError(0, f"tag of {len(tag)} characters, value of {len(value)}")
        parts.append(f"{tag}{len(value):03d}{value}")
    return "".join(parts)


def scanned_code(field_59: str) -> str:
    """The payer's code of tag A3, ``""`` when there is none that is a number.

    Sources: reference §2, table of F59; a code has 16 to 24 digits today.
    """
    if SCANNED_CODE_TAG not in field_59:
        return ""
    head = _CODE_HEADS.get(field_59[:_HEAD])
    if head is not None and len(field_59) >= head:  # most terminals send it first
        code = field_59[_HEAD:head]
    else:
        code = text_tags(field_59).get(SCANNED_CODE_TAG)
    is_code = len(code) in _CODE_DIGITS and code.isascii() and code.isdigit()
    return code if is_code else ""


def voucher_number(field_59: str) -> str:
    """The payment voucher number (付款凭证号) of tag A4, ``""`` when there is none."""
    if VOUCHER_TAG not in field_59:
        return ""
    return text_tags(field_59).get(VOUCHER_TAG)


def ber_items(data: bytes) -> tuple[tuple[str, bytes], ...]:
    """The top-level tags of a BER-TLV list as upper-case hex, with their values.

    Constructed values (issuer scripts 71, 72) are not opened; zero bytes between
    tags are skipped, as EMV permits.

    Raises:
        TlvError: a tag or length that the data cannot hold.
    """
    items = []
    at = 0
    while at < len(data):
        if data[at] == 0:
            at += 1
            continue
        tag_end = _tag_end(data, at)
        start, length = _ber_length(data, tag_end)
        if start + length > len(data):
            raise TlvError(at, "the data ends inside the value")
        items.append((data[at:tag_end].hex().upper(), data[start : start + length]))
        at = start + length
    return tuple(items)


def _tag_end(data: bytes, at: int) -> int:
    end = at + 1
    if data[at] & 0x1F == 0x1F:
        while end < len(data) and data[end] & 0x80:
            end += 1
        end += 1
    if end > len(data) or end - at > 4:
        raise TlvError(at, "not a tag")
    return end


def _ber_length(data: bytes, at: int) -> tuple[int, int]:
    """Where the value starts, and its length."""
    if at >= len(data):
        raise TlvError(at, "the data ends before the length")
    first = data[at]
    if first < 0x80:
        return at + 1, first
    size = first & 0x7F
    if size not in (1, 2) or at + 1 + size > len(data):
        raise TlvError(at, "not a length")
    return at + 1 + size, int.from_bytes(data[at + 1 : at + 1 + size], "big")


def ber_build(items: Iterable[tuple[str, bytes]]) -> bytes:
    """Write tags (hex) and values; raises :class:`TlvError` for a value above 65,535 bytes."""
    parts = []
    for tag, value in items:
        length = len(value)
        if length > 0xFFFF:
            raise TlvError(0, "the value is too long")
        size = (length.bit_length() + 7) // 8
        head = bytes([length]) if length < 0x80 else bytes([0x80 | size])
        parts += [bytes.fromhex(tag), head]
        if length >= 0x80:
            parts.append(length.to_bytes(size, "big"))
        parts.append(value)
    return b"".join(parts)
