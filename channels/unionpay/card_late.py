"""What an answer says that nobody waits for any more. Pure.

Rules:

* It is read like any other (echo of itself, MAC under keys of ours, code table), and what
  it says goes to the gateway as a word about an order: an approval of a sale that was given
  up must be booked, or what its reversal says would be misread.
* It names its order by terminal, batch (60.2) and trace. Where it tells no batch, it is the
  request given up last under that trace; where there is none, it is nobody's.
* A "no" counts only where the request was given up here: it needs no MAC. Of a return only
  the yes is a word: the "no" may be to a repeat of what was paid out.
  Answers to reversals and balances say nothing that is not asked again anyway. Of an
  advice, which is told again until it is answered, only the yes to an offline sale is: an
  adjustment's or a tip's names the whole, of which the order is a part.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from channels.card import ADVICES, CardAction
from channels.inbound import PaymentWord, RefundWord
from channels.own_line import LateWord
from channels.port import PayRequest, RefundAnswer, Verdict
from channels.unionpay.card_codes import REFUND_CODES, UNLISTED
from channels.unionpay.card_messages import PAYMENTS, REFUND, VOIDS, CardMessage
from channels.unionpay.card_wire import (
    CardAccount,
    Reply,
    ZoneKeys,
    is_order_number,
    mistrust,
    read_sale,
)
from domain.money import CNY, currency_numeric
from pos_protocol.codec import Message

_RETURNS: Final = (*VOIDS.values(), REFUND)


@dataclass(frozen=True, slots=True)
class _Said:
    """The number, amount and currency that an answer names itself."""

    order_no: str
    amount_fen: int | None
    currency: str = CNY


def late_number(message: Message, by_trace: Callable[[str, str], str]) -> str:
    """The order number that an answer is about, ``""`` if it does not tell."""
    terminal_id, trace, batch = message.text(41), message.text(11), message.text(60)[2:8]
    if len(batch) == 6:
        return terminal_id + batch + trace
    return by_trace(terminal_id, trace)


def read_late(
    reply: Reply,
    number: str,
    original: str | None,
    account: CardAccount,
    keys: Sequence[ZoneKeys],
    now_ms: int,
) -> LateWord | None:
    """The word of an answer to ``number``; ``None`` where it says nothing that moves anything.

    ``original`` is what the request was about, if it was given up here.
    """
    message = reply.message
    amount = message.text(4)
    if not is_order_number(number, account.terminal_id) or not amount.isdecimal():
        return None
    if message.text(49) not in ("", currency_numeric(CNY)):
        return None
    for action, row in PAYMENTS.items():
        if _is_answer_to(message, row):
            word = _payment(reply, number, int(amount), action, account, keys, now_ms)
            is_yes = word is not None and word.answer.verdict is Verdict.SUCCEEDED
            if action in ADVICES:
                is_named = message.text(60)[:2] == PAYMENTS[CardAction.OFFLINE].type_code
                return word if is_yes and is_named else None
            return word if is_yes or original is not None else None
    for row in _RETURNS:
        if _is_answer_to(message, row) and original:
            return _return(reply, row, _Said(number, int(amount)), original, account, keys)
    return None


def _is_answer_to(message: Message, row: CardMessage) -> bool:
    """By MTI and F3, and by F25 and 60.1 where the answer has them."""
    return (
        message.mti == row.reply_mti
        and message.text(3) == row.processing
        and message.text(25) in ("", row.condition)
        and message.text(60)[:2] in ("", row.type_code)
    )


def _payment(
    reply: Reply,
    number: str,
    amount_fen: int,
    action: CardAction,
    account: CardAccount,
    keys: Sequence[ZoneKeys],
    now_ms: int,
) -> PaymentWord | None:
    asked = PayRequest(
        order_no=number,
        amount_fen=amount_fen,
        currency=CNY,
        subject="",
        created_at_ms=now_ms,
        action=action,
    )
    answer = read_sale(reply, asked, account, keys)
    if answer.verdict is Verdict.UNKNOWN:
        return None
    return PaymentWord(order_no=number, answer=answer)


def _return(
    reply: Reply,
    row: CardMessage,
    said: _Said,
    original: str,
    account: CardAccount,
    keys: Sequence[ZoneKeys],
) -> RefundWord | None:
    code = reply.message.text(39)
    if REFUND_CODES.get(code, UNLISTED).verdict is not Verdict.SUCCEEDED:
        return None
    if mistrust(reply, row, said, account, keys, complete=True, may_be_unsigned=False):
        return None
    answer = RefundAnswer(
        verdict=Verdict.SUCCEEDED,
        amount_fen=said.amount_fen,
        refund_no=said.order_no,
        channel_code=code,
    )
    return RefundWord(order_no=original, refund_no=said.order_no, answer=answer)
