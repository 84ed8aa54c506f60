"""Voids, refunds and reversals at the simulated card host (reference §6).

Rules:

* A return has a number of its own; its identical repeat gets the same answer and moves
  nothing, other content under its number is 94.
* Its original is named by F61 (batch, trace, day) and F37: one that is not there, was
  declined or was reversed is 25, another card, where one is sent, 14.
* A void is for the whole (64), for the same day and for what nothing was returned of
  (25). A refund is for a part or all of what is left (61), within 30 days (22).
* A reversal returns what its order still has, once, and answers 00 however often it
  comes; an amount that differs is 64. Where nothing was taken it answers 25, and where
  nothing was seen it is remembered: the late original is 25. The reversal of a hold
  releases it, that of a completion opens its hold again, that of a void takes it back.
"""

from typing import Final

from sandbox.card_acts import Act, Asked
from sandbox.card_books import BooksFull, CardOrder, CardReturn, OrderKind
from sandbox.card_days import is_day, is_same_day
from sandbox.card_payer import pan_of
from sandbox.card_state import CardState, Fields, echo

REFUND_DAYS: Final = 30
_DAY_MS: Final = 86_400_000
_ORIGINALS: Final = {
    Act.VOID: frozenset({OrderKind.SALE}),
    Act.COMPLETION_VOID: frozenset({OrderKind.COMPLETION}),
    Act.REFUND: frozenset(
        {OrderKind.SALE, OrderKind.COMPLETION, OrderKind.OFFLINE, OrderKind.ADDITION}
    ),
}


def give_back(asked: Asked, state: CardState, now_ms: int) -> Fields:
    """The fields of the answer to a void or refund."""
    message, books = asked.message, state.books
    get = message.fields.get
    fingerprint = (pan_of(message), get(4), get(37), asked.currency, get(60), get(61))
    known = books.find_return(asked.number)
    if known is not None and known.fingerprint == fingerprint:
        return _answer(asked, known, state, now_ms)
    if known is not None or books.find(asked.number) is not None:
        return echo(message, state, now_ms, "94")
    if books.is_refused(asked.number):
        return echo(message, state, now_ms, "25")
    try:
        books.make_room()
    except BooksFull:
        return echo(message, state, now_ms, "96")
    code, original = _judge(asked, state, now_ms)
    if original is not None:
        original.returned_fen += asked.amount_fen
    one = CardReturn(
        asked.number,
        fingerprint,
        int(message.text(4)),
        code,
        f"{state.next_serial():012d}",
        asked.original_no,
        is_void=asked.act is not Act.REFUND,
        at_ms=now_ms,
    )
    books.add_return(one)
    return _answer(asked, one, state, now_ms)


def _judge(asked: Asked, state: CardState, now_ms: int) -> tuple[str, CardOrder | None]:
    """The F39, and the order whose money goes back if that is 00."""
    original = state.books.find(asked.original_no)
    if original is None or not _is_meant(asked, original):
        return "25", None
    pan = pan_of(asked.message)
    if pan and pan != original.pan:
        return "14", None
    if not asked.amount_fen:
        return "13", None
    if asked.act is Act.REFUND:
        code = _refund_code(asked, original, now_ms)
    else:
        code = _void_code(asked, original, now_ms)
    return code, original if code == "00" else None


def _is_meant(asked: Asked, original: CardOrder) -> bool:
    return (
        original.kind in _ORIGINALS[asked.act]
        and original.charged_fen > 0
        and not original.undone
        and asked.message.text(37) == original.reference
        and is_day(asked.message.text(61)[12:16], original.at_ms)
    )


def _void_code(asked: Asked, original: CardOrder, now_ms: int) -> str:
    if original.returned_fen or not is_same_day(original.at_ms, now_ms):
        return "25"
    return "00" if asked.amount_fen == original.charged_fen else "64"


def _refund_code(asked: Asked, original: CardOrder, now_ms: int) -> str:
    if now_ms - original.at_ms > REFUND_DAYS * _DAY_MS:
        return "22"
    left_fen = original.charged_fen - original.returned_fen
    return "00" if asked.amount_fen <= left_fen else "61"


def _answer(asked: Asked, one: CardReturn, state: CardState, now_ms: int) -> Fields:
    code = "25" if one.undone else one.response_code
    fields = echo(asked.message, state, now_ms, code, one.reference)
    if code == "00":
        fields[63] = "CUP"
    return fields


def reversal(asked: Asked, state: CardState, now_ms: int) -> Fields:
    """The fields of 0410."""
    message, books = asked.message, state.books
    order, one = books.find(asked.number), books.find_return(asked.number)
    if order is not None:
        code = _undo_order(asked, order, state)
        return echo(message, state, now_ms, code, order.reference)
    if one is not None:
        code = _undo_void(asked, one, state)
        return echo(message, state, now_ms, code, one.reference)
    try:
        books.refuse(asked.number)
    except BooksFull:
        return echo(message, state, now_ms, "96")
    return echo(message, state, now_ms, "25")


def _undo_order(asked: Asked, order: CardOrder, state: CardState) -> str:
    if asked.kind is not order.kind:
        return "25"
    if order.hold_no and asked.original_no != order.hold_no:
        return "25"
    if int(asked.message.text(4)) != order.amount_fen:
        return "64"
    if order.undone:
        return "00"
    left_fen = order.charged_fen - order.returned_fen
    if not left_fen and not order.held_fen:
        return "25"
    hold = state.books.find(order.hold_no)
    if hold is not None and not order.returned_fen:
        hold.held_fen = hold.amount_fen
    order.undone, order.returned_fen, order.held_fen = True, order.charged_fen, 0
    return "00"


def _undo_void(asked: Asked, one: CardReturn, state: CardState) -> str:
    """Voids only: the table has no reversal of a refund."""
    if asked.original_no != one.original_no or not one.is_void:
        return "25"
    if int(asked.message.text(4)) != one.amount_fen:
        return "64"
    if one.undone:
        return "00"
    original = state.books.find(one.original_no)
    if original is None or one.response_code != "00":
        return "25"
    one.undone = True
    original.returned_fen -= one.amount_fen
    return "00"
