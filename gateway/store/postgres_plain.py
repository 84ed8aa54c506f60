"""The usual changes of a payment on PostgreSQL: statements that leave out what these never have.

Rules: those of ``postgres_statements.py``, and:

* The whole statements begin and end a dozen steps each, and every batch costs a commit:
  together that is most of what a payment costs the server. So claims and advances that are
  plain (``postgres_plain_rows.py``) share a batch, and one statement writes both. A batch
  that has only one kind gets that one's half.
* They write the rows that the whole statements write, or refuse the batch.
* Claims come in two statements. One trusts that all are first: it skips no conflict, so nothing
  needs to know who won, and where a key is taken (a terminal or a merchant repeats a payment,
  which is rare), nothing of the batch is written (``Refused``). The other decides who is first,
  and costs the server a tenth more.
* Whoever writes both moves first and claims then, each in the order of its list: two processes
  that lock the same rows the other way round would wait for each other.
* Where tills are told of a payment after all, contrary to what its advance says, the statement
  divides by zero (``Torn``).
"""

from typing import Final

from domain.payment import Event, Status
from gateway.store.postgres_plain_rows import BEGUN, LEFT_OUT, PLAIN_ADVANCES, PLAIN_CLAIMS
from gateway.store.postgres_statements import beginning
from gateway.store.rows import (
    CLAIM_COLUMNS,
    ORDER_COLUMNS,
    POSTING_COLUMNS,
    REPLY_COLUMNS,
    SETTLE,
    STANDING_COLUMNS,
    standing_row,
)
from gateway.store.sql_text import columns, literals
from gateway.store.told import IS_TOLD

_BEGUN: Final = standing_row(BEGUN)[: len(CLAIM_COLUMNS) - len(ORDER_COLUMNS)]
_STANDING: Final = ", ".join(
    f"{column} = {literals([LEFT_OUT[column]]) if column in LEFT_OUT else f'i.{column}'}"
    for column in STANDING_COLUMNS
)

_ASKED: Final = f"asked AS MATERIALIZED (SELECT * FROM {PLAIN_CLAIMS.rows(1)})"
_PAYMENTS: Final = f"""
  INSERT INTO payments ({columns(CLAIM_COLUMNS)})
  SELECT {columns(ORDER_COLUMNS)}, {literals(_BEGUN)} FROM asked
"""
_WON: Final = f"""won AS ({_PAYMENTS}
  ON CONFLICT (merchant_no, door, order_key) DO NOTHING
  RETURNING id
), begun AS MATERIALIZED (
  SELECT id, channel, account_id, channel_order_no, due_at_ms, created_at_ms
  FROM asked WHERE (id IN (SELECT id FROM won)) IS TRUE
)"""


def _begun_lines(claims: str) -> str:
    """Their lines of history."""
    return f"""
  SELECT id, {BEGUN.version}, '{Event.SUBMIT.value}', '{Status.CREATED.value}', '{BEGUN.status.value}',
    created_at_ms
  FROM {claims}
"""


def _moving(parameter: int) -> str:
    """Moves what stands where it was, ends its job, posts its entry and keeps its reply."""
    return f"""moved AS (
  UPDATE payments p SET {_STANDING}
  FROM {PLAIN_ADVANCES.rows(parameter)} i
  WHERE p.id = ANY (ARRAY[i.id]) AND p.version = i.version - 1
    AND p.merchant_no IS NOT DISTINCT FROM i.merchant_no
  RETURNING i.*, {IS_TOLD} AS is_told
), ended AS (
  DELETE FROM jobs j USING moved WHERE j.id = ANY (ARRAY['{SETTLE}:' || moved.id])
), posted AS (
  INSERT INTO postings ({columns(POSTING_COLUMNS)})
  SELECT id, version, 0, account_0, amount_fen, currency, at_ms, entry
  FROM moved WHERE account_0 IS NOT NULL
  UNION ALL
  SELECT id, version, 1, account_1, -amount_fen, currency, at_ms, entry
  FROM moved WHERE account_0 IS NOT NULL
), kept AS (
  INSERT INTO terminal_replies ({columns(REPLY_COLUMNS)})
  SELECT merchant_no, {columns(REPLY_COLUMNS[1:], "reply_")} FROM moved WHERE reply_key IS NOT NULL
)"""


def _history(lines: str) -> str:
    """Writes lines of history."""
    return f"""told AS (
  INSERT INTO payment_events (payment_id, sequence, event, previous, status, at_ms) {lines}
)"""


_MOVED_LINES: Final = "SELECT id, version, event, previous, status, at_ms FROM moved"
_MOVED_PLAINLY: Final = "FROM moved WHERE 1 = 1 / CASE WHEN is_told THEN 0 ELSE 1 END"

PLAIN_CLAIM: Final = (
    f"WITH {_ASKED}, {beginning('asked')}, {_history(_begun_lines('asked'))} {_PAYMENTS}"
)
"""Answers nothing: all have won."""

PLAIN_ADVANCE: Final = f"WITH {_moving(1)}, {_history(_MOVED_LINES)} SELECT id {_MOVED_PLAINLY}"
"""Answers who moved."""

PLAIN_BOTH: Final = f"""
WITH {_ASKED}, claimed AS ({_PAYMENTS}), {beginning("asked")}, {_moving(2)},
{_history(f"{_begun_lines('asked')} UNION ALL {_MOVED_LINES}")}
SELECT id {_MOVED_PLAINLY}
"""
"""Both; answers who moved."""

DECIDED_CLAIM: Final = f"""
WITH {_ASKED}, {_WON}, {beginning("begun")}, {_history(_begun_lines("begun"))}
SELECT id, TRUE FROM won
"""
"""Answers who won, each with ``TRUE``."""

DECIDED_BOTH: Final = f"""
WITH {_ASKED}, {_WON}, {beginning("begun")}, {_moving(2)},
{_history(f"{_begun_lines('begun')} UNION ALL {_MOVED_LINES}")}
SELECT id, FALSE {_MOVED_PLAINLY} UNION ALL SELECT id, TRUE FROM won
"""
"""Both; answers who moved, with ``FALSE``, and who won, as above."""
