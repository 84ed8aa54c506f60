"""What we send to a card host, as data: the dialect's own rows, by what is to be done.

Rules: an undo (0400) repeats F3, F25 and 60.1 of what it undoes, so it is the same row
under another MTI; an advice is never undone and has none. A hold is undone and never
returned, an advice refunded and not voided: they have no row in :data:`VOIDS`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from channels.card import ADVICES, CardAction
from pos_protocol.transactions import TransactionKind, reply_mti, row_of

_K = TransactionKind
_A = CardAction
_SALE: Final = CardAction.SALE


@dataclass(frozen=True, slots=True)
class CardMessage:
    """One message: MTI of request and answer, F3, F25 and 60.1."""

    mti: str
    reply_mti: str
    processing: str
    condition: str
    type_code: str

    def undoing(self) -> "CardMessage":
        """The 0400 that undoes it."""
        return CardMessage("0400", "0410", self.processing, self.condition, self.type_code)


def _row(kind: TransactionKind) -> CardMessage:
    row = row_of(kind)
    return CardMessage(
        row.mti, reply_mti(row.mti), row.processing_code, row.condition, row.type_code
    )


SALE: Final = _row(_K.SALE)
PAYMENTS: Final[Mapping[CardAction, CardMessage]] = MappingProxyType(
    {
        _A.SALE: SALE,
        _A.AUTHORISE: _row(_K.PREAUTH),
        _A.COMPLETE: _row(_K.COMPLETION),
        _A.MOTO_SALE: _row(_K.MOTO_SALE),
        _A.MOTO_AUTHORISE: _row(_K.PREAUTH_MOTO),
        _A.OFFLINE: _row(_K.OFFLINE_SALE),
        _A.ADJUST: _row(_K.ADJUSTMENT),
        _A.TIP: _row(_K.TIP),
    }
)
REVERSALS: Final[Mapping[CardAction, CardMessage]] = MappingProxyType(
    {action: row.undoing() for action, row in PAYMENTS.items() if action not in ADVICES}
)
REFUND: Final = _row(_K.REFUND)
VOIDS: Final[Mapping[CardAction, CardMessage]] = MappingProxyType(
    {
        _A.SALE: _row(_K.VOID),
        _A.MOTO_SALE: _row(_K.VOID),
        _A.COMPLETE: _row(_K.COMPLETION_VOID),
    }
)
BALANCE: Final = _row(_K.BALANCE)


def payment_row(action: CardAction) -> CardMessage:
    """The row of :data:`PAYMENTS`; without the dictionary for what comes most."""
    return SALE if action is _SALE else PAYMENTS[action]
