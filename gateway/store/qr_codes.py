"""Printed codes.

Rules: cold and small as provisioning is, the SQL is shared by both engines. A code is never
deleted: its poster may hang for years, and the payer is told that it is disabled.
"""

from collections.abc import Sequence
from typing import Final

from domain.errors import Conflict, NotFound
from gateway.store.database import Database, Duplicate
from gateway.store.provisioning import must_know_merchant
from gateway.store.provisioning_records import Merchant
from gateway.store.rows import Row
from gateway.store.shop_records import QrCode
from gateway.store.statements import insert

_COLUMNS: Final = (
    "code_id",
    "merchant_no",
    "store_id",
    "terminal_id",
    "name",
    "amount_fen",
    "created_at_ms",
    "disabled",
    "notify_url",
)
_MERCHANT: Final = ("merchant_no", "name", "pos_merchant_id", "created_at_ms", "disabled")
_INSERT: Final = insert("qr_codes", _COLUMNS)
_WITH_MERCHANT: Final = (
    f"SELECT {', '.join(f'q.{column}' for column in _COLUMNS)}, "
    f"{', '.join(f'm.{column}' for column in _MERCHANT)} "
    "FROM qr_codes q JOIN merchants m ON m.merchant_no = q.merchant_no WHERE q.code_id = ?"
)
_ALL: Final = (
    f"SELECT {', '.join(_COLUMNS)} FROM qr_codes WHERE code_id > ? ORDER BY code_id LIMIT ?"
)
_OF_MERCHANT: Final = (
    f"SELECT {', '.join(_COLUMNS)} FROM qr_codes WHERE merchant_no = ? AND code_id > ? "
    "ORDER BY code_id LIMIT ?"
)
_DISABLE: Final = "UPDATE qr_codes SET disabled = ? WHERE code_id = ? RETURNING code_id"
_TELL: Final = "UPDATE qr_codes SET notify_url = ? WHERE code_id = ? RETURNING code_id"


class QrCodes:
    """The store's ``QrCodeStore`` half."""

    _database: Database

    async def add_qr_code(self, code: QrCode) -> None:
        """Add a code of a merchant that exists."""
        await must_know_merchant(self._database, code.merchant_no)
        values = [getattr(code, column) for column in _COLUMNS]
        try:
            await self._database.rows(_INSERT, *values)
        except Duplicate:
            raise Conflict("already_exists", "this code exists already") from None

    async def qr_code(self, code_id: str) -> tuple[Merchant, QrCode] | None:
        """A code with its merchant, disabled ones too (the flags say so)."""
        rows = await self._database.rows(_WITH_MERCHANT, code_id)
        if not rows:
            return None
        row = tuple(rows[0])
        number, name, pos_id, created_at_ms, disabled = row[len(_COLUMNS) :]
        merchant = Merchant(
            merchant_no=number,
            name=name,
            pos_merchant_id=pos_id,
            created_at_ms=created_at_ms,
            disabled=bool(disabled),
        )
        return merchant, _code(row)

    async def qr_codes(self, merchant_no: str, after: str, limit: int) -> Sequence[QrCode]:
        """Codes by number; an empty ``merchant_no`` does not filter."""
        if merchant_no:
            rows = await self._database.rows(_OF_MERCHANT, merchant_no, after, limit)
        else:
            rows = await self._database.rows(_ALL, after, limit)
        return [_code(row) for row in rows]

    async def disable_qr_code(self, code_id: str) -> None:
        """Disable a code; its poster shows so from the next scan on."""
        if not await self._database.rows(_DISABLE, True, code_id):
            raise NotFound("not_found", "no such code")

    async def tell_qr_code(self, code_id: str, notify_url: str) -> None:
        """Where payments by it are told of, from the next press on; empty: nowhere."""
        if not await self._database.rows(_TELL, notify_url, code_id):
            raise NotFound("not_found", "no such code")


def _code(row: Row) -> QrCode:
    values = dict(zip(_COLUMNS, row, strict=False))
    return QrCode(**{**values, "disabled": bool(values["disabled"])})
