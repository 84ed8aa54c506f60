"""What is told of a matched night's lines, as SQL for ``engine.py``.

Rules: a line is of the merchant of our entry under its key, a return of the merchant of its
payment; of what we do not know, every word is empty. Rows stand in an order of their own, so
that the same night makes the same bytes. Hours are Beijing's.
"""

from typing import Final

# Whose a line is: its own entry's merchant, of a return the one of its payment. Only the payments
# of returns are joined again: few, where the bulk are payments.
_IS_PAYMENT: Final = "kind = 'payment' AND refund_no = ''"
_WITH_OURS: Final = (
    "(SELECT b.*, o.subject, o.store_id, o.terminal_id, o.cashier, o.method, "  # noqa: S608
    "CASE WHEN b.kind = 'payment' AND b.refund_no = '' THEN o.merchant_no ELSE p.merchant_no END "
    "AS merchant_no FROM bill b LEFT JOIN ours o USING (kind, order_no, refund_no) "
    "LEFT JOIN (SELECT order_no, merchant_no FROM ours WHERE kind = 'payment' AND order_no IN "
    f"(SELECT order_no FROM bill WHERE NOT ({_IS_PAYMENT}))) p USING (order_no))"
)
FEES: Final = (
    "SELECT coalesce(merchant_no, '') AS merchant_no, currency, sum(fee_mfen) "  # noqa: S608
    f"FROM {_WITH_OURS} GROUP BY ALL ORDER BY ALL"
)
REPORT: Final = (
    "SELECT coalesce(merchant_no, '') AS merchant_no, coalesce(store_id, '') AS store_id, "  # noqa: S608
    "coalesce(terminal_id, '') AS terminal_id, coalesce(cashier, '') AS cashier, "
    "coalesce(method, '') AS method, kind, "
    "currency, CAST((at_ms // 3600000 + 8) % 24 AS INTEGER) AS hour, "
    "CAST(count(*) AS BIGINT) AS lines, CAST(sum(amount_fen) AS BIGINT) AS amount_fen, "
    f"CAST(sum(fee_mfen) AS BIGINT) AS fee_mfen FROM {_WITH_OURS} GROUP BY ALL ORDER BY ALL"
)
OUTCOMES: Final = (
    "SELECT CAST((at_ms // 3600000 + 8) % 24 AS INTEGER) AS hour, method, state, "
    "CAST(count(*) AS BIGINT) AS payments, CAST(sum(amount_fen) AS BIGINT) AS amount_fen "
    "FROM ours WHERE kind = 'payment' AND day = DATE '{day}' GROUP BY ALL ORDER BY ALL"
)
LINES: Final = (
    "SELECT kind, order_no, refund_no, trade_no, status, amount_fen, fee_mfen, "  # noqa: S608
    "currency, at_ms, line, coalesce(subject, '') AS subject, "
    "coalesce(merchant_no, '') AS merchant_no, coalesce(store_id, '') AS store_id, "
    f"coalesce(terminal_id, '') AS terminal_id FROM {_WITH_OURS} ORDER BY line"
)
