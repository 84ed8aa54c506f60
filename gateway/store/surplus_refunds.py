"""Refunds of surpluses: written before they are sent, ended once, read.

Rules: the first number that was written for an approval is the one for ever, and is written
only while its difference stands as it was approved: both move in one commit. Of two workers one
ends it; money that the channel returned after a "no" is returned all the same.
"""

from typing import Any, Final

from gateway.store.database import Database
from gateway.store.statements import insert
from reconciliation.night_records import SurplusRefund, SurplusState

_COLUMNS: Final = (
    "id", "difference_id", "payment_id", "channel", "account_id", "channel_refund_no",
    "amount_fen", "currency", "created_at_ms", "state", "done_at_ms",
)  # fmt: skip
_ADD: Final = insert("surplus_refunds", _COLUMNS) + " ON CONFLICT (id) DO NOTHING"
_ONE: Final = f"SELECT {', '.join(_COLUMNS)} FROM surplus_refunds WHERE id = ?"
_BEGIN: Final = (
    "UPDATE night_differences SET version = version + 1 "
    "WHERE id = ? AND version = ? AND state = 'approved' AND repair = 'refund'"
)
_END: Final = (
    "UPDATE surplus_refunds SET state = ?, done_at_ms = ? WHERE id = ? AND state IN (?, ?)"
)


class SurplusRefunds:
    """The refunds of surpluses of ``NightStore``."""

    _database: Database

    async def surplus_refund(self, refund_id: str) -> SurplusRefund | None:
        """The refund of a surplus by its id."""
        rows = await self._database.rows(_ONE, refund_id)
        if not rows:
            return None
        named: dict[str, Any] = dict(zip(_COLUMNS, rows[0], strict=True))
        return SurplusRefund(**named | {"state": SurplusState(named["state"])})

    async def add_surplus_refund(self, refund: SurplusRefund, version: int) -> bool:
        """See :class:`reconciliation.night_store.NightStore`."""
        row = [getattr(refund, name) for name in _COLUMNS]
        row[_COLUMNS.index("state")] = refund.state.value
        steps = [(_BEGIN, (refund.difference_id, version)), (_ADD, tuple(row))]
        return await self._database.write(steps, guards=2) is None

    async def end_surplus_refund(self, refund: SurplusRefund) -> bool:
        """See :class:`reconciliation.night_store.NightStore`."""
        submitted, failed = SurplusState.SUBMITTED.value, SurplusState.FAILED.value
        before = failed if refund.state is SurplusState.SUCCEEDED else submitted
        end = (refund.state.value, refund.done_at_ms, refund.id, submitted, before)
        return await self._database.write([(_END, end)], guards=1) is None
