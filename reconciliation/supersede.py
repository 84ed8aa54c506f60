"""What becomes of a night's differences when the night is matched again. Pure.

Rules: nothing that was told is taken away. A difference that is still there stays, with
whatever was decided; one that is gone is *superseded*; one whose figures moved is open again
with the new ones, and what it was stands in its history. What was approved or carried out
stays as it is: the ledger has it, and a person posts it back. An approved refund is no more than
proposed until it is begun (the caller knows): nothing has left for a surplus that is none.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from reconciliation.differences import Repair
from reconciliation.night_records import DifferenceState, StoredDifference

_S: Final = DifferenceState
_UNDECIDED: Final = frozenset({_S.OPEN, _S.PROPOSED, _S.SUPERSEDED})


def is_approved_refund(one: StoredDifference) -> bool:
    """Whether it stays only if its refund was begun."""
    return one.state is _S.APPROVED and one.repair is Repair.REFUND


def moved_by(
    before: StoredDifference, found: Mapping[str, StoredDifference]
) -> StoredDifference | None:
    """What a difference is now, by its id among ``found``; ``None``: it stays as it is."""
    now = found.get(before.id)
    return _gone(before) if now is None else _still(before, now)


def _gone(one: StoredDifference) -> StoredDifference | None:
    told_only = one.state is _S.CLOSED and one.repair is Repair.NONE
    is_open = one.state in (_S.OPEN, _S.PROPOSED) or is_approved_refund(one)
    if not is_open and not told_only:
        return None
    return replace(one, state=_S.SUPERSEDED, version=one.version + 1)


def _still(one: StoredDifference, now: StoredDifference) -> StoredDifference | None:
    if one.state not in _UNDECIDED and not is_approved_refund(one):
        return None
    if one.found == now.found and one.state is not _S.SUPERSEDED:
        return None
    return replace(now, version=one.version + 1, opened_at_ms=one.opened_at_ms)
