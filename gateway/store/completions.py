"""Who has a hold: its completions in turn, or its release.

Rules:

* A row is written in the commit of what takes the hold (a completion's claim, or the move
  that begins its release), and ``(hold_id, number)`` is unique: of several that want the
  same hold at once, in whatever processes, one wins and the others write nothing.
* Number n is asked for only once n-1 is over; the store does not check that, whoever asks
  does (``gateway/holds.py``).
* These are cold changes, one transaction each behind their guards, as a refund's: a sale
  pays nothing for them. The payment comes first, so that a key that exists or a version
  that moved is found before the hold is looked at. Rows are append-only.
"""

from typing import Final

from gateway.store import statements as sql
from gateway.store.database import Database, Step
from gateway.store.records import Advance, Claim, Completion, TakenHold
from gateway.store.steps import advance_guard, advance_rest, claim_guard, claim_rest

_COLUMNS: Final = ("hold_id", "number", "payment_id")
_TAKE: Final = sql.insert("completions", _COLUMNS) + " ON CONFLICT (hold_id, number) DO NOTHING"
_LAST: Final = (
    f"SELECT {', '.join(_COLUMNS)} FROM completions WHERE hold_id = ? ORDER BY number DESC LIMIT 1"
)


class Completions:
    """What takes a hold, and who has it."""

    _database: Database

    async def completion_of(self, hold_id: str) -> Completion | None:
        """Who took a hold last; ``None`` when nobody ever did."""
        rows = await self._database.rows(_LAST, hold_id)
        if not rows:
            return None
        hold_id, number, payment_id = rows[0]
        return Completion(hold_id=hold_id, number=number, payment_id=payment_id)

    async def _claim_taking(self, change: Claim, takes: TakenHold) -> bool:
        """A claim that takes a hold."""
        guards = [claim_guard(change), _take(takes, change.order.id)]
        steps = guards + claim_rest(change)
        return await self._database.write(steps, guards=len(guards)) is None

    async def _advance_taking(self, change: Advance, takes: TakenHold) -> bool:
        """An advance that takes a hold."""
        guards = [advance_guard(change), _take(takes, change.payment_id)]
        steps = guards + advance_rest(change)
        return await self._database.write(steps, guards=len(guards)) is None


def _take(takes: TakenHold, payment_id: str) -> Step:
    return _TAKE, (takes.hold_id, takes.number, payment_id)
