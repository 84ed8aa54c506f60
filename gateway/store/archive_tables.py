"""What an archive holds of each table, as data: its columns and its rows.

Rules: nothing of a card or a scanned code goes into an archive, sealed or not. A table's rows
are those of a range of payments, by an index. Histories and notices leave the store once the
archive is recorded (``archives.py``); the others are copied, so that an archive is whole by
itself.
"""

from dataclasses import dataclass
from typing import Final

from gateway.store.rows import NOTICE_COLUMNS, NOTICE_STATE_COLUMNS, PAYMENT_COLUMNS

_NOT_KEPT: Final = frozenset(("fingerprint", "pan_sealed", "pan_token"))
_OF_PAYMENT: Final = "payment_id BETWEEN ? AND ?"
_OF_REFUND: Final = "refund_id IN (SELECT id FROM refunds WHERE payment_id BETWEEN ? AND ?)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveTable:
    """A table, the columns that an archive has of it, and its rows' payment (``owner``)."""

    name: str
    columns: tuple[str, ...]
    where: str
    order: str
    owner: str

    @property
    def sql(self) -> str:
        """Its rows of a range of payments."""
        columns = ", ".join(self.columns)
        return f"SELECT {columns} FROM {self.name} WHERE {self.where} ORDER BY {self.order}"


PAYMENTS: Final = ArchiveTable(
    name="payments",
    columns=tuple(column for column in PAYMENT_COLUMNS if column not in _NOT_KEPT),
    where="id BETWEEN ? AND ?",
    order="id",
    owner="id",
)
ATTEMPTS: Final = ArchiveTable(
    name="attempts",
    columns=("payment_id", "attempt_no", "channel", "account_id", "channel_order_no"),
    where=_OF_PAYMENT,
    order="payment_id, attempt_no",
    owner="payment_id",
)
PAYMENT_EVENTS: Final = ArchiveTable(
    name="payment_events",
    columns=("payment_id", "sequence", "event", "previous", "status", "at_ms"),
    where=_OF_PAYMENT,
    order="payment_id, sequence",
    owner="payment_id",
)
POSTINGS: Final = ArchiveTable(
    name="postings",
    columns=(
        "payment_id", "sequence", "line", "entry", "account", "amount_fen", "currency", "at_ms",
    ),
    where=_OF_PAYMENT,
    order="payment_id, sequence, line",
    owner="payment_id",
)  # fmt: skip
REFUNDS: Final = ArchiveTable(
    name="refunds",
    columns=(
        "id", "payment_id", "merchant_no", "merchant_refund_no", "amount_fen", "currency",
        "reason", "channel", "account_id", "channel_refund_no", "created_at_ms", "status",
        "version", "done_at_ms", "decline_reason", "decline_channel_code",
    ),
    where=_OF_PAYMENT,
    order="payment_id, id",
    owner="payment_id",
)  # fmt: skip
REFUND_EVENTS: Final = ArchiveTable(
    name="refund_events",
    columns=("refund_id", "sequence", "event", "previous", "status", "at_ms"),
    where=_OF_REFUND,
    order="refund_id, sequence",
    owner="refund_id",
)
NOTICES: Final = ArchiveTable(
    name="notices",
    columns=NOTICE_COLUMNS + NOTICE_STATE_COLUMNS,
    where=_OF_PAYMENT,
    order="payment_id, sequence",
    owner="payment_id",
)
TABLES: Final = (PAYMENTS, ATTEMPTS, PAYMENT_EVENTS, POSTINGS, REFUNDS, REFUND_EVENTS, NOTICES)
