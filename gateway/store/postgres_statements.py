"""The hot path's SQL on PostgreSQL: one autocommit statement per kind of change.

Rules:

* A statement takes lists of rows (``postgres_rows.py``): its text never depends on how
  many changes there are, so it is prepared once per connection.
* The guard is the first step (``ON CONFLICT DO NOTHING`` or ``version = …``) and says
  by ``RETURNING`` who won; every further row is filtered by "its payment won". That
  filter is written ``(x IN (SELECT …)) IS TRUE`` so that it stays a hashed subplan: as
  a join it would be a nested loop over two lists, quadratic in the batch.
* The planner gets no choice. A plan made while the tables are nearly empty may read
  them whole, and a prepared statement keeps that plan while they grow, so the cost of
  a payment would rise with every payment. Hence the settings, and hence
  ``x = ANY (ARRAY[y])`` (a join that cannot start from the table) and an operator that
  no index serves (``IS NOT DISTINCT FROM``) for what is checked beside the key: an
  index probe per change is the only way left.
* What tills are told of is sorted before it is written: every payment of the batch is locked
  by then, and the one lock that orders these rows (migration 0010) comes last everywhere.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from domain.payment import Status
from gateway.store.postgres_rows import ADVANCES, CLAIMS, NOTICES, POSTINGS, REPLIES
from gateway.store.rows import (
    CASE_COLUMNS,
    CASE_PREFIX,
    CLAIM_COLUMNS,
    FIRST_ATTEMPT,
    JOB_COLUMNS,
    MAY_BE_PARKED,
    NEW_NOTICE,
    NO_LANE,
    NOTICE_COLUMNS,
    NOTICE_STATE_COLUMNS,
    NOTIFY,
    POSTING_COLUMNS,
    REPLY_COLUMNS,
    SETTLE,
    STANDING_COLUMNS,
    SUBJECT_PREFIX_LENGTH,
    TILL_EVENT_COLUMNS,
)
from gateway.store.sql_text import columns, literals
from gateway.store.statements import SHOWN_STATUS
from gateway.store.told import IS_TOLD

PINNED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "application_name": "posgate",
        "synchronous_commit": "on",
        "plan_cache_mode": "force_generic_plan",
        "enable_seqscan": "off",
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
        "enable_bitmapscan": "off",
        "jit": "off",
    }
)
"""Settings of the hot path's connections."""

COLD: Final[Mapping[str, str]] = MappingProxyType(
    {
        "application_name": "posgate",
        "synchronous_commit": "on",
        "plan_cache_mode": "force_custom_plan",
        "jit": "off",
    }
)
"""Settings of the other connections: each read is planned for the tables as they are."""


_CASE_OF_MOVED: Final = f"'{CASE_PREFIX}' || substr(moved.id, {SUBJECT_PREFIX_LENGTH + 1})"
_MAY_BE_PARKED: Final = literals(status.value for status in MAY_BE_PARKED)


def beginning(claims: str) -> str:
    """What hangs on every claim: its attempt and its job."""
    return f"""attempted AS (
  INSERT INTO attempts (payment_id, attempt_no, channel, account_id, channel_order_no)
  SELECT id, {FIRST_ATTEMPT}, channel, account_id, channel_order_no
  FROM {claims} WHERE channel_order_no <> ''
), scheduled AS (
  INSERT INTO jobs ({columns(JOB_COLUMNS)})
  SELECT '{SETTLE}:' || id, '{SETTLE}', CASE account_id WHEN '' THEN '{NO_LANE}' ELSE account_id END,
    id, due_at_ms, 0, 0, FALSE
  FROM {claims} WHERE due_at_ms IS NOT NULL
)"""


CLAIMED: Final = f"""
claimed AS MATERIALIZED (
  SELECT id, version, status, event, created_at_ms, due_at_ms,
    channel, account_id, channel_order_no,
    merchant_no, door, store_id, terminal_id, parked_reason
  FROM asked WHERE (id IN (SELECT id FROM won)) IS TRUE
), {beginning("claimed")}, told AS (
  INSERT INTO payment_events (payment_id, sequence, event, previous, status, at_ms)
  SELECT id, version, event, '{Status.CREATED.value}', status, created_at_ms FROM claimed
), heard AS (
  INSERT INTO till_events ({columns(TILL_EVENT_COLUMNS[1:])})
  SELECT merchant_no, store_id, terminal_id, id, '{Status.CREATED.value}', {SHOWN_STATUS}
  FROM claimed WHERE {IS_TOLD}
  ORDER BY id
)
SELECT id FROM won
"""
"""Ends every statement that claims: of those ``asked``, what hangs on whose payment ``won``."""

CLAIM: Final = f"""
WITH asked AS MATERIALIZED (
  SELECT * FROM {CLAIMS.rows(1)}
), won AS (
  INSERT INTO payments ({columns(CLAIM_COLUMNS)})
  SELECT {columns(CLAIM_COLUMNS)} FROM asked
  ON CONFLICT (merchant_no, door, order_key) DO NOTHING
  RETURNING id
), kept AS (
  INSERT INTO terminal_replies ({columns(REPLY_COLUMNS)})
  SELECT {columns(REPLY_COLUMNS)} FROM {REPLIES.rows(2)}
  WHERE (payment_id IN (SELECT id FROM won)) IS TRUE
), {CLAIMED}
"""


_MOVING: Final = f"""moved AS (
  UPDATE payments p
  SET {", ".join(f"{column} = i.{column}" for column in STANDING_COLUMNS)}
  FROM asked i
  WHERE p.id = ANY (ARRAY[i.id]) AND p.version = i.version - 1
    AND p.merchant_no IS NOT DISTINCT FROM i.merchant_no
  RETURNING i.*, p.door, p.store_id, p.terminal_id
)"""
"""Moves every payment that is ``asked`` and stands where it was; the guard of every advance."""
_ENDED: Final = f"""ended AS (
  DELETE FROM jobs j USING moved
  WHERE j.id = ANY (ARRAY['{SETTLE}:' || moved.id]) AND moved.due_at_ms IS NULL
)"""
_TOLD: Final = """told AS (
  INSERT INTO payment_events (payment_id, sequence, event, previous, status, at_ms)
  SELECT id, version, event, previous, status, at_ms FROM moved
)"""
_ENTRY: Final = f"""
  INSERT INTO postings ({columns(POSTING_COLUMNS)})
  SELECT id, version, 0, account_0, amount_fen_0, currency, at_ms, entry
  FROM moved WHERE account_0 IS NOT NULL
  UNION ALL
  SELECT id, version, 1, account_1, amount_fen_1, currency, at_ms, entry
  FROM moved WHERE account_1 IS NOT NULL
"""
_KEPT: Final = f"""kept AS (
  INSERT INTO terminal_replies ({columns(REPLY_COLUMNS)})
  SELECT {columns(REPLY_COLUMNS, "reply_")} FROM moved WHERE reply_key IS NOT NULL
)"""
"""What hangs on every move: its job, its line of history, its entry and its reply."""

MOVED: Final = f"""
{_MOVING}, {_ENDED}, scheduled AS (
  INSERT INTO jobs ({columns(JOB_COLUMNS)})
  SELECT '{SETTLE}:' || id, '{SETTLE}', lane, id, due_at_ms, 0, 0, FALSE
  FROM moved WHERE due_at_ms IS NOT NULL
  ON CONFLICT (id) DO UPDATE SET due_at_ms = excluded.due_at_ms, given_back = FALSE
), {_TOLD}, posted AS ({_ENTRY}
  UNION ALL
  SELECT {columns(POSTING_COLUMNS)} FROM {POSTINGS.rows(2)}
  WHERE (payment_id IN (SELECT id FROM moved)) IS TRUE
), {_KEPT}, opened AS (
  INSERT INTO cases ({columns(CASE_COLUMNS)})
  SELECT {_CASE_OF_MOVED}, id, merchant_no, parked_reason, at_ms, TRUE
  FROM moved WHERE parked_reason <> ''
  ON CONFLICT (case_id) DO UPDATE SET reason = excluded.reason, is_open = TRUE,
    opened_at_ms = CASE WHEN cases.is_open THEN cases.opened_at_ms ELSE excluded.opened_at_ms END
), closed AS (
  UPDATE cases c SET is_open = FALSE FROM moved
  WHERE c.case_id = ANY (ARRAY[{_CASE_OF_MOVED}]) AND moved.parked_reason = ''
    AND moved.previous IN ({_MAY_BE_PARKED}) AND c.is_open IS NOT DISTINCT FROM TRUE
), noticed AS (
  INSERT INTO notices ({columns(NOTICE_COLUMNS + NOTICE_STATE_COLUMNS)})
  SELECT {columns(NOTICE_COLUMNS)}, {literals(NEW_NOTICE)} FROM {NOTICES.rows(3)}
  WHERE (payment_id IN (SELECT id FROM moved)) IS TRUE
  RETURNING event_id, endpoint, created_at_ms
), queued AS (
  INSERT INTO jobs ({columns(JOB_COLUMNS)})
  SELECT '{NOTIFY}:' || event_id, '{NOTIFY}', endpoint, event_id, created_at_ms, 0, 0, FALSE
  FROM noticed
), heard AS (
  INSERT INTO till_events ({columns(TILL_EVENT_COLUMNS[1:])})
  SELECT merchant_no, store_id, terminal_id, id, previous, {SHOWN_STATUS}
  FROM moved WHERE {IS_TOLD}
  ORDER BY id
)
"""
"""Moves every payment ``asked``, with what hangs on its move; ``moved`` are those that did."""

ADVANCE: Final = f"""
WITH asked AS MATERIALIZED (
  SELECT * FROM {ADVANCES.rows(1)}
), {MOVED}
SELECT id FROM moved
"""

SAVE_REPLY: Final = f"""
INSERT INTO terminal_replies ({columns(REPLY_COLUMNS)})
SELECT {columns(REPLY_COLUMNS)} FROM {REPLIES.rows(1)}
ON CONFLICT (merchant_no, key) DO NOTHING
RETURNING merchant_no, key
"""
