"""The usual change of a card sale on PostgreSQL: two statements that leave out what it never has.

Rules: those of ``postgres_statements.py``, and:

* The whole statements begin and end a dozen steps each, which is most of what a small batch
  costs the server, and a card sale needs half of them. A batch whose every change is plain
  gets these. They write the same rows, or refuse the batch, and then the whole one decides.
* A plain claim skips no conflict, so nothing needs to know who won: where a key is taken
  (a terminal repeats its sale, which is rare), nothing of the batch is written (``Refused``).
* Whether tills are told of a payment is not known from its advance. Where one is, contrary
  to what its reply to a terminal says, the plain statement divides by zero (``Torn``).
"""

from typing import Final

from gateway.store.port import Advance, Claim
from gateway.store.postgres_rows import ADVANCES, CLAIMS, further_lines
from gateway.store.postgres_statements import (
    ENDED,
    ENTRY,
    KEPT,
    TOLD,
    begun,
    columns,
    moving,
)
from gateway.store.rows import CLAIM_COLUMNS, MAY_BE_PARKED
from gateway.store.statements import IS_TOLD

PLAIN_CLAIM: Final = f"""
WITH asked AS MATERIALIZED (
  SELECT * FROM {CLAIMS.rows(1)}
), {begun("asked")}
INSERT INTO payments ({columns(CLAIM_COLUMNS)})
SELECT {columns(CLAIM_COLUMNS)} FROM asked
"""
"""Answers nothing: all have won."""

PLAIN_ADVANCE: Final = f"""
WITH {moving(ADVANCES.rows(1), f"{IS_TOLD} AS is_told")}, {ENDED}, {TOLD}, posted AS ({ENTRY}), {KEPT}
SELECT id FROM moved WHERE 1 = 1 / CASE WHEN is_told THEN 0 ELSE 1 END
"""


def is_plain_claim(claim: Claim) -> bool:
    """Whether it is a terminal's order, which no till is told of, and no reply is kept yet."""
    return claim.reply is None and claim.order.door == "pos"


def is_plain_advance(change: Advance) -> bool:
    """Whether a payment that nobody looked into ends, and nobody but its terminal hears of it."""
    return (
        change.reply is not None
        and change.due_at_ms is None
        and change.notice is None
        and not change.standing.parked_reason
        and change.previous not in MAY_BE_PARKED
        and not further_lines(change)
    )
