"""Operators and their PINs, hashed.

Rules: a try is counted by the one statement that also says whether it may be made, so that
however many guess at once, no more than the bound are looked at; a right PIN forgets them.
An operator is never deleted: the log names it.
"""

from collections.abc import Sequence
from typing import Final

from domain.errors import Conflict, NotFound
from gateway.store.database import Database, Duplicate, Value
from gateway.store.provisioning import must_know_merchant
from gateway.store.rows import Row
from gateway.store.shop_records import Operator
from gateway.store.statements import insert

_COLUMNS: Final = (
    "merchant_no",
    "operator_id",
    "name",
    "pin_hash",
    "created_at_ms",
    "tries",
    "locked_until_ms",
    "disabled",
)
_SELECT: Final = f"SELECT {', '.join(_COLUMNS)} FROM operators "
_INSERT: Final = insert("operators", _COLUMNS)
_ONE: Final = f"{_SELECT}WHERE merchant_no = ? AND operator_id = ?"
_ALL: Final = f"{_SELECT}ORDER BY merchant_no, operator_id"
_OF_MERCHANT: Final = f"{_SELECT}WHERE merchant_no = ? ORDER BY operator_id"
_CHANGED: Final = "WHERE merchant_no = ? AND operator_id = ? RETURNING operator_id"
_DISABLE: Final = f"UPDATE operators SET disabled = ? {_CHANGED}"
_SET_PIN: Final = f"UPDATE operators SET pin_hash = ?, tries = 0, locked_until_ms = 0 {_CHANGED}"
_TAKE_TRY: Final = (
    "UPDATE operators SET locked_until_ms = CASE WHEN tries + 1 >= ? THEN ? ELSE locked_until_ms END, "
    "tries = CASE WHEN tries + 1 >= ? THEN 0 ELSE tries + 1 END "
    "WHERE merchant_no = ? AND operator_id = ? AND disabled = ? AND locked_until_ms <= ? "
    "RETURNING operator_id"
)
_WAS_RIGHT: Final = (
    "UPDATE operators SET tries = 0, locked_until_ms = 0 "
    "WHERE merchant_no = ? AND operator_id = ? AND pin_hash = ? RETURNING operator_id"
)


class Operators:
    """The store's ``OperatorStore`` half."""

    _database: Database

    async def add_operator(self, operator: Operator) -> None:
        """Add an operator of a merchant that exists."""
        await must_know_merchant(self._database, operator.merchant_no)
        try:
            values = [getattr(operator, column) for column in _COLUMNS]
            await self._database.rows(_INSERT, *values)
        except Duplicate:
            raise Conflict("already_exists", "this operator exists already") from None

    async def operators(self, merchant_no: str) -> Sequence[Operator]:
        """Operators by merchant and id; an empty ``merchant_no`` does not filter."""
        if merchant_no:
            rows = await self._database.rows(_OF_MERCHANT, merchant_no)
        else:
            rows = await self._database.rows(_ALL)
        return [_operator(row) for row in rows]

    async def operator(self, merchant_no: str, operator_id: str) -> Operator | None:
        """One operator, disabled ones too (the flag says so)."""
        rows = await self._database.rows(_ONE, merchant_no, operator_id)
        return _operator(rows[0]) if rows else None

    async def disable_operator(self, merchant_no: str, operator_id: str) -> None:
        """Disable an operator at once."""
        await self._change_operator(_DISABLE, True, merchant_no, operator_id)

    async def set_operator_pin(self, merchant_no: str, operator_id: str, pin_hash: str) -> None:
        """Replace a PIN; whoever was locked is free again."""
        await self._change_operator(_SET_PIN, pin_hash, merchant_no, operator_id)

    async def take_try(
        self, merchant_no: str, operator_id: str, *, now_ms: int, tries: int, lock_until_ms: int
    ) -> bool:
        """Count one try; the last of ``tries`` locks until ``lock_until_ms``."""
        taken = await self._database.rows(
            _TAKE_TRY, tries, lock_until_ms, tries, merchant_no, operator_id, False, now_ms
        )
        return bool(taken)

    async def pin_was_right(self, merchant_no: str, operator_id: str, pin_hash: str) -> None:
        """Forget the tries and the lock, if the PIN is still this one."""
        await self._database.rows(_WAS_RIGHT, merchant_no, operator_id, pin_hash)

    async def _change_operator(self, statement: str, *values: Value) -> None:
        if not await self._database.rows(statement, *values):
            raise NotFound("not_found", "no such operator")


def _operator(row: Row) -> Operator:
    merchant_no, operator_id, name, pin_hash, created_at_ms, tries, locked_until_ms, disabled = row
    return Operator(
        merchant_no=merchant_no,
        operator_id=operator_id,
        name=name,
        pin_hash=pin_hash,
        created_at_ms=created_at_ms,
        tries=tries,
        locked_until_ms=locked_until_ms,
        disabled=bool(disabled),
    )
