"""Limits, and what days have taken of them.

Rules:

* A claim that counts for a day's sum adds to it in its own commit, by a statement that
  changes nothing where the sum would exceed the limit: then nothing of the claim is written.
  Of several that want the last of a day at once, in whatever processes, those that fit win.
* Beside the sum there is a row for each payment that it counts. What ended unpaid is taken
  off when somebody asks for room (``free_unpaid``), never by the move that ended it: the
  hot path pays nothing for limits.
* A day's row is locked before its payments are looked at, by whoever adds and by whoever
  frees, and a merchant's before its store's; so a sum is exactly what its rows add up to.
"""

from collections.abc import Sequence
from typing import Final

from domain.errors import NotFound
from domain.limits import Limit
from domain.payment import Status
from gateway.store import statements as sql
from gateway.store.database import Database, Step
from gateway.store.provisioning import must_know_merchant
from gateway.store.records import Claim, Spend
from gateway.store.sql_text import literals
from gateway.store.steps import claim_guard, claim_rest

_KEY: Final = ("merchant_no", "store_id")
_COLUMNS: Final = (*_KEY, "single_fen", "daily_fen", "small_fen", "opens_min", "closes_min")
_SET: Final = (
    sql.insert("limits", (*_COLUMNS, "updated_at_ms"))
    + " ON CONFLICT (merchant_no, store_id) DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in (*_COLUMNS[2:], "updated_at_ms"))
    + " RETURNING merchant_no"
)
_REMOVE: Final = "DELETE FROM limits WHERE merchant_no = ? AND store_id = ? RETURNING merchant_no"
_ALL: Final = f"SELECT {', '.join(_COLUMNS)} FROM limits ORDER BY merchant_no, store_id"

_DAY: Final = (*_KEY, "day")
_OF_DAY: Final = "merchant_no = ? AND store_id = ? AND day = ?"
_ADD: Final = (
    sql.insert("limit_days", (*_DAY, "spent_fen"))
    + " ON CONFLICT (merchant_no, store_id, day) DO UPDATE "
    "SET spent_fen = limit_days.spent_fen + excluded.spent_fen "
    "WHERE limit_days.spent_fen + excluded.spent_fen <= ?"
)
_COUNT: Final = sql.insert("limit_spends", (*_DAY, "payment_id", "amount_fen"))
_SPENT: Final = f"SELECT spent_fen FROM limit_days WHERE {_OF_DAY}"
_LOCK: Final = f"UPDATE limit_days SET spent_fen = spent_fen WHERE {_OF_DAY}"
_NOT_TAKEN: Final = literals(
    status.value for status in (Status.FAILED, Status.CLOSED, Status.REVERSED)
)
_FREE: Final = (
    f"DELETE FROM limit_spends WHERE {_OF_DAY} AND EXISTS (SELECT 1 FROM payments p "
    f"WHERE p.id = limit_spends.payment_id AND p.status IN ({_NOT_TAKEN}))"
)
_ADD_UP: Final = (
    "UPDATE limit_days SET spent_fen = (SELECT COALESCE(SUM(s.amount_fen), 0) "
    "FROM limit_spends s WHERE s.merchant_no = limit_days.merchant_no "
    f"AND s.store_id = limit_days.store_id AND s.day = limit_days.day) WHERE {_OF_DAY}"
)
_FORGET: Final = "DELETE FROM limit_spends WHERE merchant_no = ? AND day < ?"
_FORGET_SUMS: Final = "DELETE FROM limit_days WHERE merchant_no = ? AND day < ?"


class Limits:
    """The store's ``LimitStore`` half, and the claims that count for a day's sum."""

    _database: Database

    async def set_limit(self, limit: Limit, at_ms: int) -> None:
        """Add or replace the limit of a merchant or a store."""
        await must_know_merchant(self._database, limit.merchant_no)
        values = [getattr(limit, column) for column in _COLUMNS]
        await self._database.rows(_SET, *values, at_ms)

    async def remove_limit(self, merchant_no: str, store_id: str) -> None:
        """Limit nothing there any more; what days have taken stays counted."""
        if not await self._database.rows(_REMOVE, merchant_no, store_id):
            raise NotFound("not_found", "no such limit")

    async def limits(self) -> Sequence[Limit]:
        """Every limit, by merchant and store."""
        return [
            Limit(**dict(zip(_COLUMNS, row, strict=True)))
            for row in await self._database.rows(_ALL)
        ]

    async def spent(self, merchant_no: str, store_id: str, day: str) -> int:
        """What a day has taken or still may take, in fen, as far as it was claimed."""
        rows = await self._database.rows(_SPENT, merchant_no, store_id, day)
        return int(rows[0][0]) if rows else 0

    async def free_unpaid(self, merchant_no: str, store_id: str, day: str) -> None:
        """Count no more what the day's payments did not take after all."""
        key = (merchant_no, store_id, day)
        await self._database.write([(_LOCK, key), (_FREE, key), (_ADD_UP, key)], guards=1)

    async def forget_days(self, merchant_no: str, before: str) -> None:
        """Let go of what days before ``before`` took, of the merchant and its stores."""
        key = (merchant_no, before)
        await self._database.write([(_FORGET, key), (_FORGET_SUMS, key)], guards=0)

    async def _claim_spending(self, change: Claim) -> bool:
        """A claim that counts for days' sums; ``False`` when it is too much for one of them."""
        if is_too_much(change):
            return False
        adds, counts = spend_steps(change)
        guards = [claim_guard(change), *adds]
        steps = guards + counts + claim_rest(change)
        return await self._database.write(steps, guards=len(guards)) is None


def is_too_much(change: Claim) -> bool:
    """Whether a claim alone exceeds a day's limit."""
    return any(spend.amount_fen > spend.limit_fen for spend in change.spends)


def spend_steps(change: Claim) -> tuple[list[Step], list[Step]]:
    """What a claim adds to days' sums: guards, and what hangs on them."""
    spends = sorted(change.spends, key=lambda spend: (spend.merchant_no, spend.store_id))
    counts: list[Step] = [(_COUNT, (*_day(one), change.order.id, one.amount_fen)) for one in spends]
    return [_add(spend) for spend in spends], counts


def _day(spend: Spend) -> tuple[str, str, str]:
    return spend.merchant_no, spend.store_id, spend.day


def _add(spend: Spend) -> Step:
    return _ADD, (*_day(spend), spend.amount_fen, spend.limit_fen)
