"""ISO fields to domain types and back: the only place that knows both.

Rules: every decline reason and every error of ours has exactly one F39 (tests hold
both tables total); a card host's own F39 goes through to the terminal unchanged;
"not paid" because the till's patience ended is 98, never a decline of the channel's.
Sources: reference ``pos_protocol.md`` §2, §4, §5; ``architecture.md`` §4.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from channels.port import Answer, CardData, TerminalPin
from domain.clock import beijing_texts
from domain.decline import DeclineReason
from domain.errors import (
    ChannelDown,
    ConfigurationError,
    Conflict,
    InvalidRequest,
    NotFound,
    PosgateError,
    TooLarge,
    Unauthorized,
    Unavailable,
    Unprocessable,
    UnsupportedMedia,
)
from domain.money import currency_numeric
from domain.payment import Payment, Status
from pos_protocol.codec import Message
from signing.pos import CipherKey

APPROVED: Final = "00"
NOT_PAID_IN_TIME: Final = "98"
CARD_CHANNEL: Final = "unionpay_card"

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
        _R.CANCELLED: NOT_PAID_IN_TIME,
        _R.NOT_PAID_IN_TIME: NOT_PAID_IN_TIME,
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
        TooLarge: "30",
        UnsupportedMedia: "30",
        Unprocessable: "40",
        Unavailable: "96",
        ChannelDown: "91",
        ConfigurationError: "96",
    }
)
_NOT_IN_FINGERPRINT: Final = frozenset((52, 53, 55, 64))


class RefusedError(Exception):
    """A message that is answered with an F39 and changes nothing; ``why`` is for the log."""

    def __init__(self, response_code: str, why: str) -> None:
        super().__init__(why)
        self.response_code = response_code
        self.why = why


def amount_fen(message: Message) -> int:
    """F4; raises :class:`RefusedError` 13 for zero, 40 for a currency we do not take."""
    amount = int(message.text(4) or "0")
    if amount <= 0:
        raise RefusedError("13", "amount is zero")
    if message.text(49) != currency_numeric("CNY"):
        raise RefusedError("40", "currency is not 156")
    return amount


def card_data(message: Message, pin_key: CipherKey, *, weak_pin: bool) -> CardData:
    """What the terminal read; ``weak_pin`` says that this key may not carry a PIN.

    Raises:
        RefusedError: 14 no PAN; 57 a PIN under a weak key; 40 encrypted tracks; 99 PIN block.
    """
    track2 = message.text(35)
    pan = message.text(2) or track2.partition("=")[0]
    if not 12 <= len(pan) <= 19 or not pan.isdigit():
        raise RefusedError("14", "no card number in F2 or F35")
    security = message.text(53).ljust(3, "0")
    if security[2] == "1":
        raise RefusedError("40", "encrypted tracks are not open to this terminal")
    pin = None
    block = message.data(52)
    if block:
        if weak_pin:
            raise RefusedError("57", "a PIN under a single DES or SM4 key")
        if len(block) != 8:
            raise RefusedError("99", "the PIN block is not 8 bytes")
        pin = TerminalPin(block, pin_key, security[0] != "1")
    fields = message.fields
    return CardData(
        pan=pan,
        entry_mode=message.text(22),
        expiry=message.text(14) if 14 in fields else "",
        sequence=message.text(23) if 23 in fields else "",
        track2=track2,
        track3=message.text(36) if 36 in fields else "",
        icc_data=message.data(55) if 55 in fields else b"",
        pin=pin,
    )


def fingerprint_text(message: Message) -> bytes:
    """What makes two messages the same: decoded fields but 52, 53, 55, 64.

    Holds a card number: only a keyed hash of it may be kept.
    """
    fields = message.fields
    said = [number for number in fields if number not in _NOT_IN_FINGERPRINT]
    values = [fields[number] for number in said]
    return f"{message.mti}{said}{values}".encode()


def response_code(payment: Payment) -> str:
    """F39 for where a payment stands."""
    standing = payment.standing
    if standing.status is Status.SUCCEEDED and not standing.parked_reason:
        return APPROVED
    if standing.status is Status.FAILED and standing.decline is not None:
        code = standing.decline.channel_code
        if payment.order.channel == CARD_CHANNEL and len(code) == 2:
            return code
        return F39_OF_REASON[standing.decline.reason]
    return NOT_PAID_IN_TIME


def payment_fields(payment: Payment, answer: Answer | None, now_ms: int) -> dict[int, str | bytes]:
    """The fields that a payment's answer adds to what is echoed."""
    hhmmss, mmdd = beijing_texts(now_ms)
    order, standing = payment.order, payment.standing
    fields: dict[int, str | bytes] = {
        12: hhmmss,
        13: mmdd,
        37: standing.channel_reference or order.id[-12:],
        39: response_code(payment),
    }
    if fields[39] == APPROVED:
        fields[15] = mmdd
        if answer is not None and answer.auth_code:
            fields[38] = answer.auth_code
        if answer is not None and answer.icc_data:
            fields[55] = answer.icc_data
    return fields
