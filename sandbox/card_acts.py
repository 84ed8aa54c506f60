"""What a message to the simulated card host asks for: a table, and one reader.

Rules (reference ``pos_protocol.md`` §3): MTI, F3, F25 and 60.1 together name the act; a
combination that is not here is 40, a missing field 30. A reversal carries F3, F25 and
60.1 of what it reverses; refunds, advices and inquiries are never reversed. This table is written
apart from the one in ``pos_protocol``, so that a fault in that one shows.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from types import MappingProxyType
from typing import Final, cast

from pos_protocol.codec import Message
from sandbox.card_books import OrderKind


class Act(enum.Enum):
    """What is to be done."""

    SALE = "sale"
    HOLD = "hold"
    COMPLETION = "completion"
    VOID = "void"
    COMPLETION_VOID = "completion void"
    REFUND = "refund"
    BALANCE = "balance"
    OFFLINE = "offline sale"
    ADDITION = "adjustment or tip"


_KINDS: Final[Mapping[Act, OrderKind]] = MappingProxyType(
    {
        Act.SALE: OrderKind.SALE,
        Act.HOLD: OrderKind.HOLD,
        Act.COMPLETION: OrderKind.COMPLETION,
        Act.OFFLINE: OrderKind.OFFLINE,
        Act.ADDITION: OrderKind.ADDITION,
    }
)
"""What an act makes an order of; the others make none."""
REVERSAL: Final = "0400"
REPLY_MTI: Final = MappingProxyType(
    {
        "0100": "0110", "0200": "0210", "0220": "0230",
        "0400": "0410", "0500": "0510", "0800": "0810", "0820": "0830",
    }
)  # fmt: skip
_SALE: Final = frozenset({3, 4, 11, 22, 25, 41, 42, 49, 60})
_NAMED: Final = frozenset({3, 11, 22, 25, 41, 42, 49, 60})
"""What every act has, an amount or not."""
_NAMES: Final = itemgetter(3, 11, 25, 41, 49, 60)
_F60_LEAST: Final = 11
_F61_LEAST: Final = 12


@dataclass(frozen=True, slots=True)
class Row:
    """An act, the kind of order that it makes, and the fields that its message must have."""

    act: Act
    kind: OrderKind | None
    required: frozenset[int]


_ROWS: Final = (
    ("0200", "000000", "00", "22", Act.SALE, ()),
    ("0100", "030000", "06", "10", Act.HOLD, ()),
    ("0200", "000000", "06", "20", Act.COMPLETION, (38, 61)),
    ("0200", "200000", "00", "23", Act.VOID, (37, 61)),
    ("0200", "200000", "06", "21", Act.COMPLETION_VOID, (37, 61)),
    ("0220", "200000", "00", "25", Act.REFUND, (37, 61, 63)),
    ("0200", "310000", "00", "01", Act.BALANCE, ()),
    ("0200", "000000", "08", "22", Act.SALE, ()),
    ("0100", "030000", "18", "10", Act.HOLD, ()),
    ("0220", "000000", "00", "30", Act.OFFLINE, ()),
    ("0220", "000000", "00", "32", Act.ADDITION, (37, 61)),
    ("0220", "000000", "00", "34", Act.ADDITION, (37, 48, 61)),
)
_NEVER_REVERSED: Final = frozenset({Act.REFUND, Act.BALANCE, Act.OFFLINE, Act.ADDITION})


def _table() -> Mapping[tuple[str, str, str, str], Row]:
    table = {}
    for mti, processing, condition, type_code, act, more in _ROWS:
        fields = _NAMED if act is Act.BALANCE else _SALE
        table[mti, processing, condition, type_code] = Row(act, _KINDS.get(act), fields | set(more))
        if act not in _NEVER_REVERSED:
            original = (61,) if 61 in more else ()
            needed = _SALE | {39, *original}
            table[REVERSAL, processing, condition, type_code] = Row(act, _KINDS.get(act), needed)
    return MappingProxyType(table)


ACTS: Final = _table()


@dataclass(slots=True, repr=False)
class Asked:
    """A complete message; ``original_no`` is the order that F61 names (``""``: none).

    ``kind`` is that of the order which the act makes or a reversal undoes, if any;
    ``amount_fen`` is 0 where there is none, or where it is not in yuan.
    """

    act: Act
    kind: OrderKind | None
    message: Message
    number: str
    amount_fen: int
    currency: str
    original_no: str


def read_asked(message: Message) -> Asked | str:
    """What a financial message asks for, or the F39 that refuses it."""
    fields = message.fields
    try:
        values = _NAMES(fields)
    except KeyError:
        return "30"
    # all text by the codec
    processing, trace, condition, terminal, currency, f60 = cast("tuple[str, ...]", values)
    if len(f60) < _F60_LEAST or not f60.isdecimal():
        return "30"
    row = ACTS.get((message.mti, processing, condition, f60[:2]))
    if row is None:
        return "40"
    original = message.text(61)
    if not row.required <= fields.keys() or (original and len(original) < _F61_LEAST):
        return "30"
    return Asked(
        row.act,
        row.kind,
        message,
        terminal + f60[2:8] + trace,
        int(message.text(4) or 0) if currency == "156" else 0,
        currency,
        terminal + original[:12] if original else "",
    )
