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
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from domain.payment import Status
from gateway.store.postgres_rows import (
    ADVANCES,
    CLAIMS,
    POSTING_COLUMNS,
    POSTINGS,
    REPLIES,
)
from gateway.store.rows import (
    FIRST_ATTEMPT,
    PAYMENT_COLUMNS,
    REPLY_COLUMNS,
    SETTLE,
    STANDING_COLUMNS,
)

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


def _list(columns: Sequence[str], alias: str = "") -> str:
    return ", ".join(f"{alias}{column}" for column in columns)


CLAIM: Final = f"""
WITH asked AS MATERIALIZED (
  SELECT * FROM {CLAIMS.rows(1)}
), won AS (
  INSERT INTO payments ({_list(PAYMENT_COLUMNS)})
  SELECT {_list(PAYMENT_COLUMNS)} FROM asked
  ON CONFLICT (merchant_no, door, order_key) DO NOTHING
  RETURNING id
), claimed AS MATERIALIZED (
  SELECT id, version, status, event, created_at_ms, due_at_ms,
    channel, account_id, channel_order_no
  FROM asked WHERE (id IN (SELECT id FROM won)) IS TRUE
), attempted AS (
  INSERT INTO attempts (payment_id, attempt_no, channel, account_id, channel_order_no)
  SELECT id, {FIRST_ATTEMPT}, channel, account_id, channel_order_no
  FROM claimed WHERE channel_order_no <> ''
), scheduled AS (
  INSERT INTO jobs (id, kind, subject, due_at_ms, fence)
  SELECT '{SETTLE}:' || id, '{SETTLE}', id, due_at_ms, 0
  FROM claimed WHERE due_at_ms IS NOT NULL
), told AS (
  INSERT INTO payment_events (payment_id, sequence, event, previous, status, at_ms)
  SELECT id, version, event, '{Status.CREATED.value}', status, created_at_ms FROM claimed
), kept AS (
  INSERT INTO terminal_replies ({_list(REPLY_COLUMNS)})
  SELECT {_list(REPLY_COLUMNS)} FROM {REPLIES.rows(2)}
  WHERE (payment_id IN (SELECT id FROM won)) IS TRUE
)
SELECT id FROM won
"""

ADVANCE: Final = f"""
WITH asked AS MATERIALIZED (
  SELECT * FROM {ADVANCES.rows(1)}
), moved AS (
  UPDATE payments p
  SET {", ".join(f"{column} = i.{column}" for column in STANDING_COLUMNS)}
  FROM asked i
  WHERE p.id = ANY (ARRAY[i.id]) AND p.version = i.version - 1
    AND p.merchant_no IS NOT DISTINCT FROM i.merchant_no
  RETURNING i.id, i.version, i.event, i.previous, i.status, i.at_ms, i.due_at_ms
), ended AS (
  DELETE FROM jobs j USING moved
  WHERE j.id = ANY (ARRAY['{SETTLE}:' || moved.id]) AND moved.due_at_ms IS NULL
), scheduled AS (
  INSERT INTO jobs (id, kind, subject, due_at_ms, fence)
  SELECT '{SETTLE}:' || id, '{SETTLE}', id, due_at_ms, 0
  FROM moved WHERE due_at_ms IS NOT NULL
  ON CONFLICT (id) DO UPDATE SET due_at_ms = excluded.due_at_ms
), told AS (
  INSERT INTO payment_events (payment_id, sequence, event, previous, status, at_ms)
  SELECT id, version, event, previous, status, at_ms FROM moved
), posted AS (
  INSERT INTO postings ({_list(POSTING_COLUMNS)})
  SELECT {_list(POSTING_COLUMNS)} FROM {POSTINGS.rows(2)}
  WHERE (payment_id IN (SELECT id FROM moved)) IS TRUE
), kept AS (
  INSERT INTO terminal_replies ({_list(REPLY_COLUMNS)})
  SELECT {_list(REPLY_COLUMNS)} FROM {REPLIES.rows(3)}
  WHERE (payment_id IN (SELECT id FROM moved)) IS TRUE
)
SELECT id FROM moved
"""

SAVE_REPLY: Final = f"""
INSERT INTO terminal_replies ({_list(REPLY_COLUMNS)})
SELECT {_list(REPLY_COLUMNS)} FROM {REPLIES.rows(1)}
ON CONFLICT (merchant_no, key) DO NOTHING
RETURNING merchant_no, key
"""

LEASE_DUE: Final = f"""
WITH due AS (
  SELECT id FROM jobs WHERE kind = '{SETTLE}' AND due_at_ms <= $1 ORDER BY due_at_ms LIMIT $3
  FOR UPDATE SKIP LOCKED
), leased AS (
  UPDATE jobs j SET due_at_ms = $2, fence = j.fence + 1
  FROM due WHERE j.id = due.id
  RETURNING j.subject
)
SELECT {_list(PAYMENT_COLUMNS, "p.")}
FROM leased JOIN payments p ON p.id = leased.subject
ORDER BY p.id
"""
"""Takes now, the new due time and a limit."""
