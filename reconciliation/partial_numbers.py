"""Numbers that a bill knows in part: which of our orders they are, as SQL for ``engine.py``.

Some files name no order of ours, only what the channel itself knew of it: a card acquirer's has
the terminal and the trace, and not the link's batch between them. A reader then writes ``?``
for each character that it was not told.

Rules:

* Such a number is ours if exactly one entry of ours, of the same kind, has a number that fits
  and a time within ``NEAR_MS`` of the line's: a trace comes again, but not within minutes. Two
  that fit are none: the line keeps its part, and is told as unknown under it.
* A refund is found by its own number. Where it is ours, its payment is the one in our books,
  whatever the line says of it.
* A whole number is never changed, unless it is that of a refund's payment which the line does
  not name.
"""

from typing import Final

NEAR_MS: Final = 15 * 60_000
"""Between our clock's (or the host's) time of an order and the file's."""
UNKNOWN: Final = "?"
MAX_SHAPES: Final = 16
"""Places where a gap may be; a file has one, its layout's."""

SHAPES: Final = """
SELECT DISTINCT instr(number, '?'), length(number) - length(replace(number, '?', '')),
    length(number) FROM (
  SELECT CASE WHEN kind = 'refund' THEN refund_no ELSE order_no END AS number FROM bill)
WHERE contains(number, '?') ORDER BY ALL
"""
"""First place of the gap (from 1), its length, the number's length."""

_FOUND: Final = """
CREATE OR REPLACE TEMP TABLE found AS
SELECT b.line AS line, min(o.{number}) AS number, min(o.order_no) AS order_no
FROM bill b JOIN ours o ON o.kind = '{kind}' AND length(o.{number}) = $whole
  AND b.{number} = o_masked(o.{number}, $start, $gap)
  AND abs(o.at_ms - b.at_ms) <= $near
WHERE b.kind = '{kind}' AND contains(b.{number}, '?')
GROUP BY b.line HAVING count(DISTINCT o.{number}) = 1
"""
MASK: Final = """
CREATE OR REPLACE TEMP MACRO o_masked(number, start, gap) AS
  substr(number, 1, start - 1) || repeat('?', gap) || substr(number, start + gap)
"""
FIND_PAYMENTS: Final = _FOUND.format(kind="payment", number="order_no")
NAME_PAYMENTS: Final = (
    "UPDATE bill SET order_no = found.number FROM found "
    "WHERE bill.line = found.line AND bill.kind = 'payment'"
)
FIND_REFUNDS: Final = _FOUND.format(kind="refund", number="refund_no")
NAME_REFUNDS: Final = (
    "UPDATE bill SET refund_no = found.number, order_no = found.order_no FROM found "
    "WHERE bill.line = found.line AND bill.kind = 'refund'"
)
NAME_PAYMENTS_OF_REFUNDS: Final = """
UPDATE bill SET order_no = o.order_no
FROM (SELECT refund_no, min(order_no) AS order_no FROM ours WHERE kind = 'refund'
      GROUP BY refund_no HAVING count(DISTINCT order_no) = 1) o
WHERE bill.kind = 'refund' AND bill.refund_no = o.refund_no AND bill.refund_no <> ''
  AND (bill.order_no = '' OR contains(bill.order_no, '?'))
"""
