"""What a repair of a difference does to the ledger. Pure.

Rules: the evidence of a difference is what the channel says beside what we say, and an
adjustment moves the channel's account by just that, against *suspense* (a person will say
whose it is) or, for a write-off, against an account of losses and gains of its own.
Nothing else is touched: the payment and the merchant keep what they have until a person
moves it on. ``LATE`` moves nothing.

What a channel collected twice, or beyond the order, is its payer's. A refund of it is the
merchant's in nothing: the surplus is taken into the account *differences* when the refund is
approved, and leaves it with the channel's word that the payer has it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from domain.ledger import SURPLUS, SUSPENSE, Posting, adjustment, channel_receivable
from reconciliation.differences import Difference, DifferenceKind, Repair

_K = DifferenceKind

ALLOWED: Final[Mapping[DifferenceKind, frozenset[Repair]]] = MappingProxyType(
    {
        _K.MISSING_HERE: frozenset({Repair.ADJUST, Repair.WRITE_OFF}),
        _K.MISSING_THERE: frozenset({Repair.QUERY_AGAIN, Repair.ADJUST, Repair.WRITE_OFF}),
        _K.AMOUNT: frozenset({Repair.REFUND, Repair.ADJUST, Repair.WRITE_OFF}),
        _K.STATUS: frozenset({Repair.QUERY_AGAIN, Repair.ADJUST, Repair.WRITE_OFF}),
        _K.FEE: frozenset({Repair.ADJUST, Repair.WRITE_OFF}),
        _K.DUPLICATE: frozenset({Repair.REFUND, Repair.ADJUST, Repair.WRITE_OFF}),
        _K.REFUND_MISSING_HERE: frozenset({Repair.ADJUST, Repair.WRITE_OFF}),
        _K.REFUND_MISSING_THERE: frozenset({Repair.QUERY_AGAIN, Repair.ADJUST, Repair.WRITE_OFF}),
        _K.REFUND_AMOUNT: frozenset({Repair.ADJUST, Repair.WRITE_OFF}),
        _K.REFUND_STATUS: frozenset({Repair.QUERY_AGAIN, Repair.ADJUST, Repair.WRITE_OFF}),
        _K.REFUND_DUPLICATE: frozenset({Repair.ADJUST, Repair.WRITE_OFF}),
        _K.LATE: frozenset(),
        _K.BATCH_TOTAL: frozenset({Repair.WRITE_OFF}),
    }
)
"""What may be proposed for a kind; the first choice is the kind's own ``Meaning.repair``."""


def allowed(difference: Difference) -> frozenset[Repair]:
    """What may be proposed for a difference: a refund only of a surplus of a payment of ours."""
    repairs = ALLOWED[difference.kind]
    return repairs if surplus_fen(difference) > 0 else repairs - {Repair.REFUND}


def surplus_fen(difference: Difference) -> int:
    """What the channel collected beyond a payment of ours; 0: nothing, or of no payment here."""
    if Repair.REFUND not in ALLOWED[difference.kind] or not difference.subject:
        return 0
    return max(0, evidence_fen(difference))


_OF_REFUNDS: Final = frozenset(
    {
        _K.REFUND_MISSING_HERE,
        _K.REFUND_MISSING_THERE,
        _K.REFUND_AMOUNT,
        _K.REFUND_STATUS,
        _K.REFUND_DUPLICATE,
    }
)
_WITHOUT_MONEY: Final = frozenset({_K.LATE, _K.BATCH_TOTAL, _K.FEE})
"""Fees are booked as billed, batches and days are not the channel's money."""


def write_off_account(channel: str, account_id: str) -> str:
    """The account of what was accepted as lost or gained at a channel account."""
    return f"written_off:{channel}:{account_id}"


def evidence_fen(difference: Difference) -> int:
    """By how much the channel's account is wrong here: above zero, it owes us more."""
    if difference.kind in _WITHOUT_MONEY:
        return 0
    surplus = (difference.theirs_fen or 0) - (difference.ours_fen or 0)
    return -surplus if difference.kind in _OF_REFUNDS else surplus


def postings_of(
    difference: Difference, repair: Repair, channel: str, account_id: str, currency: str
) -> tuple[Posting, ...]:
    """The lines of an adjustment, a write-off or a surplus taken in; empty: no money is moved.

    Raises:
        ValueError: the repair is not one that posts.
    """
    match repair:
        case Repair.ADJUST:
            other = SUSPENSE
        case Repair.REFUND:
            other = SURPLUS
        case Repair.WRITE_OFF:
            other = write_off_account(channel, account_id)
        case Repair.QUERY_AGAIN | Repair.NONE:
            raise ValueError(f"{repair.value} does not post")
    amount_fen = evidence_fen(difference)
    if not amount_fen:
        return ()
    return adjustment(channel_receivable(channel, account_id), other, amount_fen, currency)
