"""Refunds, cases, notices, entries of their own, and jobs in lanes; what was there is kept.

Rules:

* The tables and columns are as Tortoise generated them from ``models.py``; ``fill`` gives
  the rows of before what the new columns say; ``add_guards`` is as in 0002.
* A job gets the lane of its payment's account. A ledger line was a capture or a reversal,
  which its sign tells; the ledger refuses every UPDATE, so its trigger is lifted for this
  one, in the migration's own transaction. A parked payment gets its case.
* A notice's words never change, only what became of it; nothing of it is deleted. The
  few notices that are dead, and the few cases that are open, have an index of their own
  (those that are pending are found by their jobs).
"""

from typing import Any

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops
from tortoise.migrations.schema_editor import BaseSchemaEditor

_APPEND_ONLY = ("refund_events", "ledger_entries", "case_decisions")
_KEPT_BY_NATURAL_KEY = ("refund_events", "case_decisions")
_WORDS_OF_A_NOTICE = (
    "event_id, merchant_no, payment_id, sequence, type, url, endpoint, body, created_at_ms"
)

_LANES = (
    "UPDATE jobs SET lane = p.account_id FROM payments AS p "
    "WHERE p.id = jobs.subject AND jobs.kind = 'settle' AND p.account_id <> ''"
)
_ENTRIES = (
    "UPDATE postings SET entry = CASE WHEN (account LIKE 'channel:%') = (amount_fen > 0) "
    "THEN 'capture' ELSE 'reversal' END"
)
_CASES = (
    "INSERT INTO cases (case_id, subject, merchant_no, reason, opened_at_ms, is_open) "
    "SELECT 'case_' || substr(id, 5), id, merchant_no, parked_reason, coalesce("
    "(SELECT max(e.at_ms) FROM payment_events e WHERE e.payment_id = p.id), created_at_ms), TRUE "
    "FROM payments AS p WHERE parked_reason <> ''"
)

_FILL_POSTGRES = (
    _LANES,
    "ALTER TABLE postings DISABLE TRIGGER postings_append_only",
    _ENTRIES,
    "ALTER TABLE postings ENABLE TRIGGER postings_append_only",
    _CASES,
)
_FILL_SQLITE = (
    _LANES,
    "DROP TRIGGER postings_no_update",
    _ENTRIES,
    "CREATE TRIGGER postings_no_update BEFORE UPDATE ON postings "
    "BEGIN SELECT RAISE(ABORT, 'postings is append-only'); END",
    _CASES,
)

_INDEXES_OF_WHAT_WAITS = (
    "CREATE INDEX notices_dead ON notices (event_id) WHERE state = 'dead'",
    "CREATE INDEX cases_open ON cases (case_id) WHERE is_open",
)

_KEYS_BY_BYTES = """
DO $$ DECLARE c record; BEGIN
  FOR c IN
    SELECT DISTINCT t.relname, a.attname, format_type(a.atttypid, a.atttypmod) AS kind
    FROM pg_index x
    JOIN pg_class t ON t.oid = x.indrelid AND t.relnamespace = current_schema()::regnamespace
    JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = ANY (x.indkey)
    JOIN pg_collation o ON o.oid = a.attcollation
    WHERE a.atttypid = 'varchar'::regtype AND t.relname <> 'tortoise_migrations'
      AND o.collname <> 'C'
  LOOP
    EXECUTE format('ALTER TABLE %I ALTER %I TYPE %s COLLATE "C"', c.relname, c.attname, c.kind);
  END LOOP;
END $$
"""

_POSTGRES = (
    *(
        f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey, "
        "ALTER id DROP DEFAULT, ALTER id DROP NOT NULL"
        for table in _KEPT_BY_NATURAL_KEY
    ),
    *(f"DROP SEQUENCE {table}_id_seq" for table in _KEPT_BY_NATURAL_KEY),
    *_INDEXES_OF_WHAT_WAITS,
    _KEYS_BY_BYTES,
    *(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
        "FOR EACH ROW EXECUTE FUNCTION posgate_append_only()"
        for table in _APPEND_ONLY
    ),
    f"CREATE TRIGGER notices_append_only BEFORE UPDATE OF {_WORDS_OF_A_NOTICE} OR DELETE "
    "ON notices FOR EACH ROW EXECUTE FUNCTION posgate_append_only()",
    *(
        f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION posgate_append_only()"
        for table in (*_APPEND_ONLY, "notices")
    ),
)

_SQLITE = (
    *_INDEXES_OF_WHAT_WAITS,
    *(
        f"CREATE TRIGGER {table}_no_{verb.partition(' ')[0].lower()} BEFORE {verb} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        for table, verbs in (
            *((table, ("UPDATE", "DELETE")) for table in _APPEND_ONLY),
            ("notices", (f"UPDATE OF {_WORDS_OF_A_NOTICE}", "DELETE")),
        )
        for verb in verbs
    ),
)


async def fill(_apps: Any, editor: BaseSchemaEditor) -> None:
    """Give the rows of before what the new columns and tables say of them."""
    for statement in _FILL_SQLITE if editor.DIALECT == "sqlite" else _FILL_POSTGRES:
        await editor.client.execute_query(statement)


async def add_guards(_apps: Any, editor: BaseSchemaEditor) -> None:
    """Run each statement whole; a trigger's body holds semicolons of its own."""
    for statement in _SQLITE if editor.DIALECT == "sqlite" else _POSTGRES:
        await editor.client.execute_query(statement)


class Migration(migrations.Migration):
    """Depends on the guards of 0002."""

    dependencies = [("posgate", "0002_guards")]

    operations = [
        ops.CreateModel(
            name="CaseDecisionRow",
            fields=[
                (
                    "id",
                    fields.BigIntField(
                        generated=True, primary_key=True, unique=True, db_index=True
                    ),
                ),
                ("case_id", fields.CharField(max_length=64)),
                ("number", fields.BigIntField()),
                ("decision", fields.CharField(max_length=32)),
                ("person", fields.TextField(unique=False)),
                ("why", fields.TextField(unique=False)),
                ("at_ms", fields.BigIntField()),
            ],
            options={
                "table": "case_decisions",
                "app": "posgate",
                "unique_together": (("case_id", "number"),),
                "pk_attr": "id",
                "table_description": "What a person decided about a case.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="CaseRow",
            fields=[
                (
                    "case_id",
                    fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64),
                ),
                ("subject", fields.CharField(max_length=64)),
                ("merchant_no", fields.CharField(max_length=64)),
                ("reason", fields.TextField(unique=False)),
                ("opened_at_ms", fields.BigIntField()),
                ("is_open", fields.BooleanField()),
            ],
            options={
                "table": "cases",
                "app": "posgate",
                "pk_attr": "case_id",
                "table_description": "A payment or a refund that waits, or waited, for a person.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="LedgerEntryRow",
            fields=[
                (
                    "entry_id",
                    fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64),
                ),
                ("person", fields.TextField(unique=False)),
                ("why", fields.TextField(unique=False)),
                ("at_ms", fields.BigIntField()),
            ],
            options={
                "table": "ledger_entries",
                "app": "posgate",
                "pk_attr": "entry_id",
                "table_description": "Who posted an entry that goes with no payment, and why.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="NoticeRow",
            fields=[
                (
                    "event_id",
                    fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64),
                ),
                ("merchant_no", fields.CharField(max_length=64)),
                ("payment_id", fields.CharField(max_length=64)),
                ("sequence", fields.BigIntField()),
                ("type", fields.CharField(max_length=32)),
                ("url", fields.TextField(unique=False)),
                ("endpoint", fields.CharField(max_length=512)),
                ("body", fields.BinaryField()),
                ("created_at_ms", fields.BigIntField()),
                ("state", fields.CharField(max_length=16)),
                ("attempts", fields.BigIntField()),
                ("last_error", fields.TextField(unique=False)),
                ("done_at_ms", fields.BigIntField()),
            ],
            options={
                "table": "notices",
                "app": "posgate",
                "unique_together": (("payment_id", "sequence"),),
                "pk_attr": "event_id",
                "table_description": "A notification to a merchant, and what became of it (from ``state``).",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="RefundEventRow",
            fields=[
                (
                    "id",
                    fields.BigIntField(
                        generated=True, primary_key=True, unique=True, db_index=True
                    ),
                ),
                ("refund_id", fields.CharField(max_length=64)),
                ("sequence", fields.BigIntField()),
                ("event", fields.CharField(max_length=32)),
                ("previous", fields.CharField(max_length=16)),
                ("status", fields.CharField(max_length=16)),
                ("at_ms", fields.BigIntField()),
            ],
            options={
                "table": "refund_events",
                "app": "posgate",
                "unique_together": (("refund_id", "sequence"),),
                "pk_attr": "id",
                "table_description": "One line of a refund history, its ``sequence`` the version it made.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="RefundRow",
            fields=[
                (
                    "id",
                    fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64),
                ),
                ("payment_id", fields.CharField(max_length=64)),
                ("merchant_no", fields.CharField(max_length=64)),
                ("merchant_refund_no", fields.CharField(max_length=64)),
                ("fingerprint", fields.BinaryField()),
                ("amount_fen", fields.BigIntField()),
                ("currency", fields.CharField(max_length=3)),
                ("reason", fields.TextField(unique=False)),
                ("channel", fields.CharField(max_length=64)),
                ("account_id", fields.CharField(max_length=64)),
                ("channel_refund_no", fields.CharField(max_length=64)),
                ("created_at_ms", fields.BigIntField()),
                ("status", fields.CharField(max_length=16)),
                ("version", fields.BigIntField()),
                ("done_at_ms", fields.BigIntField()),
                ("decline_reason", fields.CharField(max_length=32)),
                ("decline_channel_code", fields.TextField(unique=False)),
                ("parked_reason", fields.TextField(unique=False)),
            ],
            options={
                "table": "refunds",
                "app": "posgate",
                "unique_together": (
                    ("merchant_no", "merchant_refund_no"),
                    ("channel_refund_no", "channel", "account_id"),
                ),
                "indexes": [Index(fields=["payment_id"])],
                "pk_attr": "id",
                "table_description": "A refund order (to ``created_at_ms``) and its standing (from ``status``).",
            },
            bases=["Model"],
        ),
        ops.RemoveIndex(
            model_name="JobRow",
            name=None,
            fields=["kind", "due_at_ms"],
        ),
        ops.AddField(
            model_name="JobRow",
            name="given_back",
            field=fields.BooleanField(db_default=False),
        ),
        ops.AddField(
            model_name="JobRow",
            name="lane",
            field=fields.CharField(db_default="-", max_length=512),
        ),
        ops.AddField(
            model_name="JobRow",
            name="tries",
            field=fields.BigIntField(db_default=0),
        ),
        ops.AddIndex(
            model_name="JobRow",
            index=Index(fields=["kind", "lane", "due_at_ms"]),
        ),
        ops.AddField(
            model_name="PaymentRow",
            name="notices",
            field=fields.BigIntField(db_default=0),
        ),
        ops.AddField(
            model_name="PaymentRow",
            name="refunding_fen",
            field=fields.BigIntField(db_default=0),
        ),
        ops.AddField(
            model_name="PostingRow",
            name="entry",
            field=fields.CharField(db_default="", max_length=16),
        ),
        ops.RunPython(fill),
        ops.RunPython(add_guards),
    ]
