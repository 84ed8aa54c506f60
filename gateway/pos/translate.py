"""ISO fields to domain types and back: what more than one kind of transaction needs of it.

Rules: every decline reason and every error of ours has exactly one F39 (tests hold
both tables total); a card host's own F39 goes through to the terminal unchanged;
"not paid" because the till's patience ended is 98, never a decline of the channel's.
Sources: reference ``pos_protocol.md`` §2, §4, §5; ``architecture.md`` §4.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import orjson

from channels.card import CardData, TerminalPin
from channels.port import Answer
from domain.clock import beijing_texts
from domain.decline import DeclineReason
from domain.errors import (
    ChannelDown,
    ConfigurationError,
    Conflict,
    InvalidRequest,
    NotFound,
    OverLimit,
    PosgateError,
    TooLarge,
    Unauthorized,
    Unavailable,
    Unprocessable,
    UnsupportedMedia,
)
from domain.limits import LimitRule
from domain.money import currency_numeric
from domain.payment import Payment, Status
from pos_protocol.codec import Message
from pos_protocol.response_codes import (
    APPROVED,
    INVALID_AMOUNT,
    INVALID_CARD,
    MAC_ERROR,
    NOT_PERMITTED,
    NOT_SIGNED_IN,
    NOT_SUPPORTED,
    PIN_BLOCK_ERROR,
    SECURITY_FAILED,
    TIMED_OUT,
    UNKNOWN_TERMINAL,
)
from pos_protocol.tlv import text_build
from signing.pos import CipherKey, decrypt_track

CARD_CHANNEL: Final = "unionpay_card"
ACQUIRER: Final = "00000000"
"""F32: we have no number of an acquirer's."""
ISSUER_AND_ACQUIRER: Final = " " * 11 + ACQUIRER.ljust(11)
"""F44: which issuer it was, the card host tells its own terminal only."""
CARD_ORGANISATION: Final = "CUP"
NO_ORGANISATION: Final = "000"

_R = DeclineReason
F39_OF_REASON: Final[Mapping[DeclineReason, str]] = MappingProxyType(
    {
        _R.DECLINED: "05",
        _R.INSUFFICIENT_FUNDS: "51",
        _R.WRONG_PIN: "55",
        _R.PIN_TRIES_EXCEEDED: "75",
        _R.CARD_INVALID: "14",
        _R.CARD_EXPIRED: "54",
        _R.CARD_CAPTURE: "04",
        _R.CODE_INVALID: "14",
        _R.CODE_UNKNOWN: "14",
        _R.AMOUNT_LIMIT: "61",
        _R.RISK: "59",
        _R.NOT_PERMITTED: "57",
        _R.PAYER_CANCELLED: "05",
        _R.CANCELLED: TIMED_OUT,
        _R.NOT_PAID_IN_TIME: TIMED_OUT,
        _R.CHANNEL_UNAVAILABLE: "91",
        _R.CONFIGURATION: "03",
    }
)
F39_OF_ERROR: Final[Mapping[type[PosgateError], str]] = MappingProxyType(
    {
        InvalidRequest: "30",
        Unauthorized: "A0",
        NotFound: "25",
        Conflict: "94",
        OverLimit: "61",
        TooLarge: "30",
        UnsupportedMedia: "30",
        Unprocessable: "40",
        Unavailable: "96",
        ChannelDown: "91",
        ConfigurationError: "96",
    }
)
_L = LimitRule
F39_OF_LIMIT: Final[Mapping[LimitRule, str]] = MappingProxyType(
    {
        _L.SINGLE: "61",
        _L.DAILY: "61",
        _L.HOURS: "58",
        _L.PIN_NEEDED: "61",
        _L.PIN_WRONG: "61",
        _L.OPERATOR_LOCKED: "61",
    }
)
"""A terminal sends an operator's PIN by an extension only (``operators.py``); else it is 61."""
_CNY: Final = currency_numeric("CNY")
_OF_OUR_LINK: Final = frozenset({NOT_SIGNED_IN, UNKNOWN_TERMINAL, MAC_ERROR})
_SCANNED: Final = "03"
_FIELD_59: Final = 999
_APPROVES: Final = frozenset((Status.SUCCEEDED, Status.AUTHORIZED))
_NOT_IN_FINGERPRINT: Final = (52, 53, 55, 58, 64)


class RefusedError(Exception):
    """A message that is answered with an F39 and changes nothing; ``why`` is for the log."""

    def __init__(self, response_code: str, why: str) -> None:
        super().__init__(why)
        self.response_code = response_code
        self.why = why


def f39_of_error(error: PosgateError) -> str:
    """F39 for an error of ours; a limit's says which it was."""
    if isinstance(error, OverLimit):
        return F39_OF_LIMIT[LimitRule(error.code)]
    return F39_OF_ERROR[type(error)]


def amount_fen(message: Message) -> int:
    """F4; raises :class:`RefusedError` 13 for zero, 40 for a currency we do not take."""
    amount = int(message.text(4) or "0")
    if amount <= 0:
        raise RefusedError(INVALID_AMOUNT, "amount is zero")
    if message.fields.get(49) != _CNY:
        raise RefusedError(NOT_SUPPORTED, "currency is not 156")
    return amount


def presented_pan(message: Message, track_key: CipherKey | None) -> str:
    """The card number of F2 or track 2, ``""`` where no card was read."""
    track2 = message.text(35)
    if track2 and message.text(53)[2:3] == "1":
        track2 = _clear(track2, track_key)
    return message.text(2) or track2.partition("=")[0]


def card_data(
    message: Message, pin_key: CipherKey, *, weak_pin: bool, track_key: CipherKey | None = None
) -> CardData:
    """What the terminal read; ``weak_pin`` says that this key may not carry a PIN.

    Raises:
        RefusedError: 14 no PAN; 57 a PIN under a weak key; 40 encrypted tracks without a
            track key; 99 PIN block; A7 a track that is none once decrypted.
    """
    fields = message.fields
    security = message.text(53)
    track2, track3 = message.text(35), message.text(36) if 36 in fields else ""
    if security[2:3] == "1":
        track2, track3 = _clear(track2, track_key), _clear(track3, track_key)
    pan = message.text(2) or track2.partition("=")[0]
    if not 12 <= len(pan) <= 19 or not pan.isdigit():
        raise RefusedError(INVALID_CARD, "no card number in F2 or F35")
    pin = None
    block = message.data(52) if 52 in fields else b""
    if block:
        if weak_pin:
            raise RefusedError(NOT_PERMITTED, "a PIN under a single DES or SM4 key")
        if len(block) != 8:
            raise RefusedError(PIN_BLOCK_ERROR, "the PIN block is not 8 bytes")
        pin = TerminalPin(block, pin_key, security[:1] != "1")
    return CardData(
        pan=pan,
        entry_mode=message.text(22),
        expiry=message.text(14) if 14 in fields else "",
        sequence=message.text(23) if 23 in fields else "",
        track2=track2,
        track3=track3,
        icc_data=message.data(55) if 55 in fields else b"",
        pin=pin,
    )


def _clear(track: str, key: CipherKey | None) -> str:
    """A track that travelled under the track key; ``""`` for one that is not there."""
    if not track:
        return ""
    if key is None:
        raise RefusedError(NOT_SUPPORTED, "encrypted tracks are not open to this terminal")
    try:
        clear = decrypt_track(track, key)
    except ValueError:
        raise RefusedError(SECURITY_FAILED, "an encrypted track that is none") from None
    if not clear.replace("=", "").isdigit():
        raise RefusedError(SECURITY_FAILED, "a track under another key")
    return clear


def fingerprint_text(message: Message) -> bytes:
    """What makes two messages the same: decoded fields but 52, 53, 55, 58, 64.

    Holds a card number: only a keyed hash of it may be kept.
    """
    fields = message.fields.copy()
    for number in _NOT_IN_FINGERPRINT:
        fields.pop(number, None)
    said, values = list(fields), list(fields.values())
    try:
        return orjson.dumps([message.mti, said, values], default=bytes.hex)
    except TypeError:  # a text that no GBK was: JSON cannot say it
        return f"{message.mti}{said}{values}".encode()


def hosts_code(code: str, reason: DeclineReason) -> str:
    """A card host's F39 for the terminal; what it says of our own link is none of its."""
    return code if len(code) == 2 and code not in _OF_OUR_LINK else F39_OF_REASON[reason]


def response_code(payment: Payment) -> str:
    """F39 for where a payment stands."""
    standing = payment.standing
    if standing.status in _APPROVES and not standing.parked_reason:
        return APPROVED
    if standing.status is Status.FAILED and standing.decline is not None:
        code = standing.decline.channel_code
        if payment.order.channel == CARD_CHANNEL:
            return hosts_code(code, standing.decline.reason)
        return F39_OF_REASON[standing.decline.reason]
    return TIMED_OUT


def payment_fields(payment: Payment, answer: Answer | None, now_ms: int) -> dict[int, str | bytes]:
    """The fields that a payment's answer adds to what is echoed."""
    order, standing = payment.order, payment.standing
    reference = standing.channel_reference or order.id[-12:]
    fields = stamped(now_ms, response_code(payment), reference)
    if fields[39] == APPROVED:
        fields[63] = organisation(payment)
        if answer is not None and answer.auth_code:
            fields[38] = answer.auth_code
        if answer is not None and answer.icc_data:
            fields[55] = answer.icc_data
    return fields


def organisation(payment: Payment) -> str:
    """63.1: whose card it is as its channel says; a terminal counts by it."""
    if payment.order.channel != CARD_CHANNEL:
        return NO_ORGANISATION
    return payment.standing.card_organisation or CARD_ORGANISATION


def stamped(now_ms: int, code: str, reference: str) -> dict[int, str | bytes]:
    """The fields of an answer that no payment stands behind: time, reference, F39."""
    hhmmss, mmdd = beijing_texts(now_ms)
    fields: dict[int, str | bytes] = {
        12: hhmmss,
        13: mmdd,
        32: ACQUIRER,
        37: reference,
        39: code,
    }
    if code == APPROVED:
        fields[15] = mmdd
        fields[44] = ISSUER_AND_ACQUIRER
    return fields


def managed(now_ms: int) -> dict[int, str | bytes]:
    """The fields of a management message's 00, acquirer and reference among them."""
    hhmmss, mmdd = beijing_texts(now_ms)
    return {12: hhmmss, 13: mmdd, 32: ACQUIRER, 37: f"{now_ms % 10**12:012d}", 39: APPROVED}


def is_scan(message: Message) -> bool:
    """Whether a code was read instead of a card."""
    return message.text(22)[:2] == _SCANNED


def voucher_of(order_key: str) -> str:
    """F59 A4 of a payment by code: terminal, batch and trace without what stands between."""
    return order_key.replace("-", "")


def with_voucher(field_59: str, order_key: str) -> str:
    """F59 of a request with the voucher number added, where it has room."""
    added = text_build([("A4", voucher_of(order_key))])
    return field_59 + added if len(field_59) + len(added) <= _FIELD_59 else field_59
