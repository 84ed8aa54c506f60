"""Checkouts, and the moves of attempts that they follow, on PostgreSQL: one statement each.

Rules: those of ``postgres_statements.py``. A checkout is made where its payment won its key. An
attempt's claim moves the checkout first and inserts for whoever moved one; the insert skips
no conflict, so that a checkout never moves without its attempt: then the whole is refused.
An advance moves attempt and payment, then the checkout; where not all that was asked for
has moved, it divides by zero, which takes the whole back (``Torn``).
"""

from typing import Final

from gateway.store.checkouts import CHECKOUT_LANE
from gateway.store.postgres_rows import ADVANCES, CHECKOUTS, CLAIMS
from gateway.store.postgres_statements import CLAIMED, MOVED
from gateway.store.records import JobKind
from gateway.store.rows import CHECKOUT_COLUMNS, CHECKOUT_MOVING, CLAIM_COLUMNS, JOB_COLUMNS
from gateway.store.sql_text import columns

_KIND: Final = JobKind.CHECKOUT.value
_WATCHED: Final = f"""
  INSERT INTO jobs ({columns(JOB_COLUMNS)})
  SELECT '{_KIND}:' || id, '{_KIND}', '{CHECKOUT_LANE}', id, due_at_ms, 0, 0, FALSE
"""
_AGAIN: Final = "ON CONFLICT (id) DO UPDATE SET due_at_ms = excluded.due_at_ms, given_back = excluded.given_back"

OPEN_CHECKOUT: Final = f"""
WITH asked AS MATERIALIZED (
  SELECT * FROM {CLAIMS.rows(1)}
), wanted AS MATERIALIZED (
  SELECT * FROM {CHECKOUTS.rows(2)}
), won AS (
  INSERT INTO payments ({columns(CLAIM_COLUMNS)})
  SELECT {columns(CLAIM_COLUMNS)} FROM asked
  ON CONFLICT (merchant_no, door, order_key) DO NOTHING
  RETURNING id
), made AS (
  INSERT INTO checkouts ({columns(CHECKOUT_COLUMNS)})
  SELECT {columns(CHECKOUT_COLUMNS)} FROM wanted
  WHERE (payment_id IN (SELECT id FROM won)) IS TRUE
), watched AS ({_WATCHED}
  FROM wanted WHERE (payment_id IN (SELECT id FROM won)) IS TRUE AND due_at_ms IS NOT NULL
), {CLAIMED}
"""

BEGIN_ATTEMPT: Final = f"""
WITH asked AS MATERIALIZED (
  SELECT * FROM {CLAIMS.rows(1)}
), wanted AS MATERIALIZED (
  SELECT * FROM {CHECKOUTS.rows(2)}
), moved AS (
  UPDATE checkouts c
  SET {", ".join(f"{column} = w.{column}" for column in CHECKOUT_MOVING)}
  FROM wanted w
  WHERE c.id = ANY (ARRAY[w.id]) AND c.version = w.version - 1
    AND c.merchant_no IS NOT DISTINCT FROM w.merchant_no
  RETURNING w.id, w.payment_id, w.due_at_ms
), won AS (
  INSERT INTO payments ({columns(CLAIM_COLUMNS)})
  SELECT {columns(CLAIM_COLUMNS)} FROM asked
  WHERE (id IN (SELECT payment_id FROM moved)) IS TRUE
  RETURNING id
), watched AS ({_WATCHED}
  FROM moved WHERE due_at_ms IS NOT NULL
  {_AGAIN}
), {CLAIMED}
"""

ADVANCE_ALL: Final = f"""
WITH asked AS MATERIALIZED (
  SELECT * FROM {ADVANCES.rows(1)}
), {MOVED}, wanted AS MATERIALIZED (
  SELECT * FROM {CHECKOUTS.rows(4)}
), followed AS (
  UPDATE checkouts c
  SET {", ".join(f"{column} = w.{column}" for column in CHECKOUT_MOVING)}
  FROM wanted w
  WHERE c.id = ANY (ARRAY[w.id]) AND c.version = w.version - 1
    AND c.merchant_no IS NOT DISTINCT FROM w.merchant_no
    AND (w.payment_id IN (SELECT id FROM moved)) IS TRUE
  RETURNING w.id, w.due_at_ms
), unwatched AS (
  DELETE FROM jobs j USING followed
  WHERE j.id = ANY (ARRAY['{_KIND}:' || followed.id]) AND followed.due_at_ms IS NULL
), watched AS ({_WATCHED}
  FROM followed WHERE due_at_ms IS NOT NULL
  {_AGAIN}
)
SELECT id FROM moved WHERE 1 = 1 / CASE
  WHEN (SELECT count(*) FROM moved) = (SELECT count(*) FROM asked)
    AND (SELECT count(*) FROM followed) = (SELECT count(*) FROM wanted) THEN 1 ELSE 0 END
"""
"""Takes the attempts and the payments of their checkouts in one list."""
