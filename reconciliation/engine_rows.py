"""The engine's rows: what of a match is a row of which table, and back. Pure.

Rules: a row's values stand in the order of its table's schema; what is read back is equal to
what was written.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, TypeVar

import pyarrow as pa

from channels.bills import BillKind
from reconciliation.differences import Difference, DifferenceKind
from reconciliation.entries import Key, Ours, OurState, Side, Theirs, Waiting
from reconciliation.rates import ChannelRate

T = TypeVar("T")
Row = tuple[Any, ...]
PAGE: Final = 10_000
"""Rows that are Python's at once."""

_TEXT, _NUMBER, _DAY = pa.string(), pa.int64(), pa.date32()
_WAITING_OURS: "Final[list[tuple[str, pa.DataType]]]" = [
    ("side", _TEXT), ("kind", _TEXT), ("order_no", _TEXT), ("refund_no", _TEXT),
    ("first_day", _DAY),
]  # fmt: skip
_WAITING_THEIRS: "Final[list[tuple[str, pa.DataType]]]" = [
    ("kind", _TEXT), ("order_no", _TEXT), ("refund_no", _TEXT), ("trade_no", _TEXT),
    ("amount_fen", _NUMBER), ("fee_mfen", _NUMBER), ("currency", _TEXT), ("day", _DAY),
    ("line", _NUMBER),
]  # fmt: skip
_FOUND: "Final[list[tuple[str, pa.DataType]]]" = [
    ("kind", _TEXT), ("day", _DAY), ("order_no", _TEXT), ("refund_no", _TEXT),
    ("number", _NUMBER), ("ours_fen", _NUMBER), ("theirs_fen", _NUMBER), ("subject", _TEXT),
    ("trade_no", _TEXT),
]  # fmt: skip
SCHEMAS: Final[Mapping[str, pa.Schema]] = {
    "waiting_ours": pa.schema(_WAITING_OURS),
    "kept_ours": pa.schema(_WAITING_OURS),
    "waiting_theirs": pa.schema(_WAITING_THEIRS),
    "kept_theirs": pa.schema(_WAITING_THEIRS),
    "found": pa.schema(_FOUND),
}
"""By table."""


def pages(values: Iterable[T]) -> Iterator[frozenset[T]]:
    """The values, :data:`PAGE` at a time."""
    left = iter(values)
    while page := frozenset(islice(left, PAGE)):
        yield page


def waiting_row(one: Waiting) -> Row:
    """Of ``waiting_ours`` and ``kept_ours``."""
    return one.side.value, one.key.kind.value, one.key.order_no, one.key.refund_no, one.first_day


def read_waiting(row: Row) -> Waiting:
    """Back."""
    side, kind, order_no, refund_no, first_day = row
    return Waiting(side=Side(side), key=_key(kind, order_no, refund_no), first_day=first_day)


def theirs_row(one: Theirs) -> Row:
    """Of ``waiting_theirs`` and ``kept_theirs``."""
    key = one.key
    return (
        key.kind.value,
        key.order_no,
        key.refund_no,
        one.trade_no,
        one.amount_fen,
        one.fee_mfen,
        one.currency,
        one.day,
        one.line,
    )


def read_theirs(row: Row) -> Theirs:
    """Back; a line of the bill, too."""
    kind, order_no, refund_no, trade_no, amount_fen, fee_mfen, currency, day, line = row
    return Theirs(
        key=_key(kind, order_no, refund_no),
        trade_no=trade_no,
        amount_fen=amount_fen,
        fee_mfen=fee_mfen,
        currency=currency,
        day=day,
        line=line,
    )


def difference_row(one: Difference) -> Row:
    """Of ``found``."""
    return (
        one.kind.value,
        one.day,
        one.order_no,
        one.refund_no,
        one.number,
        one.ours_fen,
        one.theirs_fen,
        one.subject,
        one.trade_no,
    )


def read_difference(row: Row) -> Difference:
    """Back."""
    kind, day, order_no, refund_no, number, ours_fen, theirs_fen, subject, trade_no = row
    return Difference(
        kind=DifferenceKind(kind),
        day=day,
        order_no=order_no,
        refund_no=refund_no,
        number=number,
        ours_fen=ours_fen,
        theirs_fen=theirs_fen,
        subject=subject,
        trade_no=trade_no,
    )


def read_ours(row: Row, rate: ChannelRate | None) -> Ours:
    """An entry of ours, with the fee that the account's rate gives."""
    kind, order_no, refund_no, state, amount_fen, currency, day, subject = row
    return Ours(
        key=_key(kind, order_no, refund_no),
        state=OurState(state),
        amount_fen=amount_fen,
        currency=currency,
        day=day,
        subject=subject,
        fee_mfen=rate.fee_mfen(amount_fen) if rate is not None else None,
    )


def _key(kind: str, order_no: str, refund_no: str) -> Key:
    return Key(BillKind(kind), order_no, refund_no)
