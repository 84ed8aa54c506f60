"""Sales, holds and completions at the simulated card host, and balances.

Rules:

* An order's identical repeat gets the same answer and no second effect; other content
  under the same number is 94. A repeat of what was reversed is 25, and so is an order
  whose reversal came first.
* A hold charges nothing. A completion takes it once, at most what is held (61), with the
  hold's own F38 and card (25, 14); a hold that was taken or released is 25. What a
  completion leaves of a hold is released.
* An offline sale is booked as it is told. An adjustment or tip tells the new whole, and
  charges what that is more than its sale, once (25, 14, 64).
* The lost-answer cards lose the answers of holds and completions, too.
* A balance moves nothing and is not remembered.
"""

import hashlib
from typing import Final

from pos_protocol.fields.balance import AdditionalAmount, build_amounts
from sandbox.card_acts import Asked
from sandbox.card_books import BooksFull, CardOrder, Fingerprint, OrderKind
from sandbox.card_days import is_day
from sandbox.card_link import ZoneKeys
from sandbox.card_payer import judge, organisation_of, pan_of
from sandbox.card_state import CardState, Fields, echo
from sandbox.scenarios import Scenario

BALANCE_FEN: Final = 888_800
"""What is in every account but the empty one's."""


def order(
    asked: Asked, kind: OrderKind, keys: ZoneKeys, state: CardState, now_ms: int
) -> Fields | None:
    """The fields of the answer, or ``None`` for silence."""
    message, books = asked.message, state.books
    pan = pan_of(message)
    get = message.fields.get
    # F60 tells the acts apart: its type is of one act only
    fingerprint = (pan, get(4), get(22), asked.currency, get(60), get(38), get(61), get(48))
    known = books.find(asked.number)
    if known is not None and known.fingerprint == fingerprint:
        return _answer(asked, known, pan, state, now_ms)
    if known is not None or books.find_return(asked.number) is not None:
        return echo(message, state, now_ms, "94")
    if books.is_refused(asked.number):
        return echo(message, state, now_ms, "25")
    scenario, code = judge(message, pan, keys)
    if not asked.amount_fen:
        code = "13"
    elif code == "00" and scenario is Scenario.INSUFFICIENT_FUNDS:
        code = "51"
    hold = None
    if kind is OrderKind.COMPLETION and code == "00":
        hold, code = _hold_of(asked, pan, state)
    sale = None
    if kind is OrderKind.ADDITION and code == "00":
        sale, code = _sale_of(asked, pan, state)
    if scenario is Scenario.LOST_RESPONSE_NOT_CHARGED and code == "00":
        return None
    try:
        books.make_room()
    except BooksFull:
        return echo(message, state, now_ms, "96")
    made = _booked(asked, kind, pan, fingerprint, code, state.next_serial(), now_ms)
    made.silent = scenario is Scenario.LOST_RESPONSE_CHARGED and code == "00"
    if hold is not None and code == "00":
        made.hold_no, hold.held_fen = hold.order_no, 0
    if sale is not None and code == "00":
        made.charged_fen, sale.added_to = made.amount_fen - sale.charged_fen, True
    books.add(made)
    return _answer(asked, made, pan, state, now_ms)


def _hold_of(asked: Asked, pan: str, state: CardState) -> tuple[CardOrder | None, str]:
    """The hold that a completion may take, or the F39 that refuses it."""
    hold, message = state.books.find(asked.original_no), asked.message
    if (
        hold is None
        or hold.kind is not OrderKind.HOLD
        or not hold.held_fen
        or hold.auth_code != message.text(38)
        or not is_day(message.text(61)[12:16], hold.at_ms)
    ):
        return None, "25"
    if hold.pan != pan:
        return None, "14"
    return (hold, "00") if asked.amount_fen <= hold.held_fen else (None, "61")


def _sale_of(asked: Asked, pan: str, state: CardState) -> tuple[CardOrder | None, str]:
    """The sale that a tip or an adjustment may add to, or the F39 that refuses it."""
    sale, message = state.books.find(asked.original_no), asked.message
    if (
        sale is None
        or sale.kind not in (OrderKind.SALE, OrderKind.OFFLINE)
        or not sale.charged_fen
        or sale.undone
        or sale.added_to
        or message.text(37) != sale.reference
        or not is_day(message.text(61)[12:16], sale.at_ms)
    ):
        return None, "25"
    if sale.pan != pan:
        return None, "14"
    added_fen = asked.amount_fen - sale.charged_fen
    tip = message.text(48)
    is_right = added_fen > 0 and (not tip or int(tip) == added_fen)
    return (sale, "00") if is_right else (None, "64")


def _booked(
    asked: Asked,
    kind: OrderKind,
    pan: str,
    fingerprint: Fingerprint,
    code: str,
    serial: int,
    now_ms: int,
) -> CardOrder:
    approved = code == "00"
    made = CardOrder(
        asked.number,
        fingerprint,
        int(asked.message.text(4)),
        code,
        f"{serial:012d}",
        f"{serial % 1_000_000:06d}" if approved else "",
        kind,
        pan,
        now_ms,
    )
    if approved and kind is OrderKind.HOLD:
        made.held_fen = made.amount_fen
    elif approved:
        made.charged_fen = made.amount_fen
    return made


def _answer(
    asked: Asked, order: CardOrder, pan: str, state: CardState, now_ms: int
) -> Fields | None:
    message = asked.message
    if order.silent:
        return None
    if order.undone:
        # Its money went back: a late repeat must never look approved.
        return echo(message, state, now_ms, "25", order.reference)
    fields = echo(message, state, now_ms, order.response_code, order.reference)
    if pan:
        fields[2] = pan
    if order.auth_code:
        fields[38] = order.auth_code
        fields[63] = organisation_of(pan)
        chip = message.data(55)
        if chip:
            # Issuer authentication data: an invented ARPC and its response code.
            fields[55] = b"\x91\x0a" + hashlib.sha256(chip).digest()[:8] + b"00"
    return fields


def balance(asked: Asked, keys: ZoneKeys, state: CardState, now_ms: int) -> Fields:
    """The fields of the answer to a balance inquiry."""
    pan = pan_of(asked.message)
    scenario, code = judge(asked.message, pan, keys)
    fields = echo(asked.message, state, now_ms, code)
    if code == "00":
        fields[2] = pan
        amount_fen = 0 if scenario is Scenario.INSUFFICIENT_FUNDS else BALANCE_FEN
        fields[54] = build_amounts([AdditionalAmount(amount_fen=amount_fen)])
    return fields
