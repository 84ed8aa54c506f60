"""Refunds of surpluses: written before they are sent, ended once, read.

Rules: the first number that was written for an approval is the one for ever; an end is taken
only from *submitted*, so that of two workers one ends it.
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
_END: Final = (
    "UPDATE surplus_refunds SET state = ?, done_at_ms = ? WHERE id = ? AND state = 'submitted'"
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

    async def add_surplus_refund(self, refund: SurplusRefund) -> bool:
        """Keep one before it is sent; ``False`` when it is kept already, with its own number."""
        row = [getattr(refund, name) for name in _COLUMNS]
        row[_COLUMNS.index("state")] = refund.state.value
        return await self._database.write([(_ADD, tuple(row))], guards=1) is None

    async def end_surplus_refund(self, refund: SurplusRefund) -> bool:
        """Keep how it ended; ``False`` when it had ended already."""
        end = (refund.state.value, refund.done_at_ms, refund.id)
        return await self._database.write([(_END, end)], guards=1) is None
