"""Reading payments, and the small durable writes beside the hot path.

Rules: every query is served by an index and bounded; the SQL is shared by both
engines.
"""

from collections.abc import Sequence
from typing import Final

from domain.errors import Unavailable
from domain.ledger import Posting
from domain.payment import Payment
from gateway.store.database import Database
from gateway.store.port import PaymentEvent, TerminalReply
from gateway.store.rows import (
    EVENT_COLUMNS,
    PAYMENT_COLUMNS,
    REPLY_COLUMNS,
    read_event,
    read_payment,
    read_posting,
    read_reply,
)

_PAYMENT: Final = f"SELECT {', '.join(PAYMENT_COLUMNS)} FROM payments "
_BY_ID: Final = _PAYMENT + "WHERE id = ?"
_BY_IDS: Final = _PAYMENT + "WHERE id IN ({ids}) ORDER BY id"
_PAGE: Final = _PAYMENT + "WHERE id > ? ORDER BY id LIMIT ?"
_BY_ORDER: Final = _PAYMENT + "WHERE merchant_no = ? AND door = ? AND order_key = ?"
_BY_CHANNEL_ORDER: Final = _PAYMENT + (
    "WHERE id = (SELECT payment_id FROM attempts WHERE channel_order_no = ? AND account_id = ? "
    "LIMIT 1)"
)
_KEY_OF_ONE: Final = (
    "SELECT order_key FROM payments WHERE merchant_no = ? AND door = 'pos' "
    "AND order_key BETWEEN ? AND ? AND substr(order_key, 1, ?) = ? AND pan_token = ? "
    "ORDER BY order_key DESC LIMIT 1"
)
_AT_ANY_TERMINAL: Final = (
    f"SELECT {', '.join(f'p.{column}' for column in PAYMENT_COLUMNS)} FROM terminals t "
    "JOIN payments p ON p.merchant_no = t.merchant_no AND p.door = 'pos' "
    "AND p.order_key = t.terminal_id || ? WHERE t.merchant_no = ? "
    "AND CASE p.channel_reference WHEN '' THEN substr(p.id, length(p.id) - 11) "
    "ELSE p.channel_reference END = ? ORDER BY p.id LIMIT ?"
)
_REPLY: Final = (
    f"SELECT {', '.join(REPLY_COLUMNS)} FROM terminal_replies WHERE merchant_no = ? AND key = ?"
)
_EVENTS: Final = (
    f"SELECT {', '.join(EVENT_COLUMNS)} FROM payment_events WHERE payment_id = ? ORDER BY sequence"
)
_POSTINGS: Final = (
    "SELECT entry, account, amount_fen, currency FROM postings "
    "WHERE payment_id = ? ORDER BY sequence, line"
)
_TAKE_SEQUENCE: Final = (
    "INSERT INTO sequences (name, next) VALUES (?, ?) "
    "ON CONFLICT (name) DO UPDATE SET next = sequences.next + excluded.next RETURNING next"
)


class PaymentReads:
    """The cold half of ``PaymentStore``, and the pages of all payments."""

    _database: Database

    async def payment(self, payment_id: str) -> Payment | None:
        """A payment by our id."""
        rows = await self._database.rows(_BY_ID, payment_id)
        return read_payment(rows[0]) if rows else None

    async def order_key_by_token(self, merchant_no: str, prefix: str, token: bytes) -> str | None:
        """The last of a terminal's keys that begins so and was paid with this card or code."""
        bounds = f"{prefix}000000", f"{prefix}999999", len(prefix), prefix
        rows = await self._database.rows(_KEY_OF_ONE, merchant_no, *bounds, token)
        return str(rows[0][0]) if rows else None

    async def payments(self, payment_ids: Sequence[str]) -> Sequence[Payment]:
        """Payments by our ids, in order of their id; one that is not there is left out."""
        if not payment_ids:
            return []
        # A power of two of them, the last one repeated: few texts for the caches of statements.
        count = 1 << (len(payment_ids) - 1).bit_length()
        ids = [*payment_ids, *[payment_ids[-1]] * (count - len(payment_ids))]
        sql = _BY_IDS.format(ids=", ".join("?" * count))
        return [read_payment(row) for row in await self._database.rows(sql, *ids)]

    async def payments_page(self, after: str, limit: int) -> Sequence[Payment]:
        """Every payment in pages, by id."""
        return [read_payment(row) for row in await self._database.rows(_PAGE, after, limit)]

    async def payment_by_order(self, merchant_no: str, door: str, order_key: str) -> Payment | None:
        """A payment by its idempotency key."""
        rows = await self._database.rows(_BY_ORDER, merchant_no, door, order_key)
        return read_payment(rows[0]) if rows else None

    async def payments_at_any_terminal(
        self, merchant_no: str, batch: str, trace: str, reference: str, limit: int
    ) -> Sequence[Payment]:
        """A merchant's payments of this batch and trace that were told this reference."""
        rows = await self._database.rows(
            _AT_ANY_TERMINAL, f"-{batch}-{trace}", merchant_no, reference, limit
        )
        return [read_payment(row) for row in rows]

    async def payment_by_channel_order(
        self, account_id: str, channel_order_no: str
    ) -> Payment | None:
        """A payment by the number that its channel knows it by."""
        rows = await self._database.rows(_BY_CHANNEL_ORDER, channel_order_no, account_id)
        return read_payment(rows[0]) if rows else None

    async def terminal_reply(self, merchant_no: str, key: str) -> TerminalReply | None:
        """The kept reply of a terminal message."""
        rows = await self._database.rows(_REPLY, merchant_no, key)
        return read_reply(rows[0]) if rows else None

    async def events(self, payment_id: str) -> Sequence[PaymentEvent]:
        """A payment's history, oldest first."""
        return [read_event(row) for row in await self._database.rows(_EVENTS, payment_id)]

    async def postings(self, payment_id: str) -> Sequence[Posting]:
        """A payment's ledger lines, oldest first."""
        return [read_posting(row) for row in await self._database.rows(_POSTINGS, payment_id)]

    async def take_sequence(self, name: str, count: int) -> int:
        """Reserve ``count`` (at least 1) numbers for ever and return the first."""
        if count < 1:
            raise ValueError("count must be at least 1")
        rows = await self._database.rows(_TAKE_SEQUENCE, name, count)
        if not rows:
            raise Unavailable("the sequence could not be moved")
        after: int = rows[0][0]
        return after - count
