"""Money back over a card link: built, and the answer read. Pure.

Rules:

* A whole payment that goes back on the day it was made (in Beijing, as the card world
  counts) is a void; everything else is a refund. The choice is made from what was
  persisted, never from the clock, so that every repeat is the same message.
* A return has a number of its own. The payment is named by F37 and by F61: its batch,
  trace and day. No card is read and no PIN asked: F22 says so.
* Answers count as a sale's do (``card_wire.py``). The "no" to a repeat counts only from
  a host that answers repeats alike: it may refuse what the first one returned.
"""

from collections.abc import Sequence
from typing import Final

from channels.port import RefundAnswer, RefundRequest, Verdict
from channels.unionpay.card_codes import REFUND_CODES, UNLISTED
from channels.unionpay.card_messages import REFUND, VOIDS, CardMessage
from channels.unionpay.card_texts import is_listed
from channels.unionpay.card_wire import (
    CardAccount,
    Reply,
    ZoneKeys,
    mistrust,
    original_of,
)
from domain.clock import beijing
from domain.money import currency_numeric
from pos_protocol.codec import Message, encode_with_mac

_NO_CARD_NO_PIN: Final = "012"
_ANY_ORGANISATION: Final = "000"
_REFERENCE_WIDTH: Final = 12
_A_REPEAT_REFUSED: Final = "a repeat was refused: the first may have returned the money"


class _Asked:
    """What a return's answer must repeat."""

    __slots__ = ("amount_fen", "currency", "order_no")

    def __init__(self, request: RefundRequest) -> None:
        self.order_no = request.refund_no
        self.amount_fen = request.amount_fen
        self.currency = request.currency


def refund_message(request: RefundRequest) -> CardMessage:
    """A void, a completion's void, or a refund; the same for every repeat.

    A void stays within its batch, too (reference §6): where ours went on, it is a refund.
    """
    payment = request.payment
    void = VOIDS.get(payment.action)
    is_void = (
        void is not None
        and request.amount_fen == payment.amount_fen
        and request.refund_no[8:14] == payment.order_no[8:14]
        and beijing(request.created_at_ms).date() == beijing(_paid_at_ms(request)).date()
    )
    return void if void is not None and is_void else REFUND


def _paid_at_ms(request: RefundRequest) -> int:
    """By the host's clock, where it said: near midnight its day may not be ours."""
    return request.payment.paid_at_ms or request.payment.created_at_ms


def build_refund(request: RefundRequest, account: CardAccount, keys: ZoneKeys) -> bytes:
    """The 0200 or 0220 with its MAC.

    Raises:
        pos_protocol.codec.CodecError: a value that the wire cannot carry.
        domain.money.MoneyError: a currency that the link does not speak.
    """
    row, payment = refund_message(request), request.payment
    fields: dict[int, str | bytes] = {
        3: row.processing,
        4: f"{request.amount_fen:012}",
        11: request.refund_no[14:],
        22: _NO_CARD_NO_PIN,
        25: row.condition,
        41: account.terminal_id,
        42: account.merchant_id,
        49: currency_numeric(request.currency),
        60: row.type_code + request.refund_no[8:14] + "000",
        61: original_of(payment.order_no, _paid_at_ms(request)),
    }
    if payment.reference:
        fields[37] = payment.reference.ljust(_REFERENCE_WIDTH)
    if row is REFUND:
        fields[63] = _ANY_ORGANISATION
    return encode_with_mac(Message(account.tpdu, account.header, row.mti, fields), keys.code)


def read_refund(
    reply: Reply, request: RefundRequest, account: CardAccount, keys: Sequence[ZoneKeys]
) -> RefundAnswer:
    """What a 0210 or 0230 says."""
    code = reply.message.text(39)
    rule = REFUND_CODES.get(code, UNLISTED)
    if rule.verdict is Verdict.UNKNOWN:
        return RefundAnswer(
            verdict=Verdict.UNKNOWN, channel_code=code, unlisted=not is_listed(code)
        )
    approved = rule.verdict is Verdict.SUCCEEDED
    why = mistrust(
        reply,
        refund_message(request),
        _Asked(request),
        account,
        keys,
        complete=approved,
        may_be_unsigned=rule.unsigned,
    )
    if why:
        return RefundAnswer(verdict=Verdict.UNKNOWN, channel_code=code, channel_message=why)
    if approved:
        return RefundAnswer(
            verdict=Verdict.SUCCEEDED,
            amount_fen=int(reply.message.text(4)),
            refund_no=request.refund_no,
            channel_code=code,
        )
    if request.repeated and not account.repeats_answered_alike:
        return RefundAnswer(
            verdict=Verdict.UNKNOWN,
            channel_code=code,
            channel_message=_A_REPEAT_REFUSED,
            answered=True,
        )
    return RefundAnswer(verdict=Verdict.DECLINED, reason=rule.reason, channel_code=code)
