"""F63: operator or card organisation, and the texts of an answer (reference §2).

Request: 63.1 an3. Answer: organisation an3 (CUP VIS MCC MAE JCB DCC AMX), then up to 20
bytes each of issuer's, UnionPay's and acquirer's text (the last up to 60 more), in GBK.
"""

from dataclasses import dataclass
from typing import Final

from pos_protocol import charset
from pos_protocol.errors import CodecError

_ORGANISATION: Final = 3
_TEXT: Final = 20
_LAST_TEXT: Final = 80


@dataclass(frozen=True, slots=True)
class AnswerTexts:
    """Each ``""`` where the field ends before it; blanks at the end are not kept."""

    organisation: str
    issuer: str = ""
    unionpay: str = ""
    acquirer: str = ""


def parse_answer_texts(field_63: str) -> AnswerTexts:
    """Cut by bytes, as the wire does; a character cut in two is kept as it came.

    Raises:
        CodecError: a text that never was on a wire, because GBK cannot write it.
    """
    raw = _bytes(field_63)
    at = _ORGANISATION
    pieces = (
        raw[:at], raw[at : at + _TEXT], raw[at + _TEXT : at + 2 * _TEXT], raw[at + 2 * _TEXT :],
    )  # fmt: skip
    return AnswerTexts(*(charset.from_bytes(piece).rstrip(" ") for piece in pieces))


def build_answer_texts(texts: AnswerTexts) -> str:
    """Filled with blanks as far as a text follows; raises :class:`CodecError` if one is longer."""
    pieces = ((texts.organisation, _ORGANISATION), (texts.issuer, _TEXT),
              (texts.unionpay, _TEXT), (texts.acquirer, _LAST_TEXT))  # fmt: skip
    raw = b""
    for text, width in pieces:
        piece = _bytes(text)
        if len(piece) > width:
            raise CodecError(63, -1, f"a text has at most {width} bytes")
        raw += piece.ljust(width)
    return charset.from_bytes(raw.rstrip(b" ").ljust(_ORGANISATION))


def _bytes(text: str) -> bytes:
    try:
        return charset.to_bytes(text)
    except UnicodeEncodeError:
        raise CodecError(63, -1, "text that GBK cannot write") from None
