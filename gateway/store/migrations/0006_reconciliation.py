"""The nights of reconciliation, their differences, and what merchants are settled.

Rules: as in 0003. Decisions, rates and statements are history, which nobody changes; what
waits for the next night and where a difference stands is not. PostgreSQL finds a day's
postings by the blocks that they were written to (a BRIN index costs the hot path nothing).
"""

from typing import Any

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops
from tortoise.migrations.schema_editor import BaseSchemaEditor

_APPEND_ONLY = ("difference_decisions", "merchant_rates", "statements")

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
        for table in _APPEND_ONLY
    ),
    *(f"DROP SEQUENCE {table}_id_seq" for table in _APPEND_ONLY),
    _KEYS_BY_BYTES,
    "CREATE INDEX postings_at_ms ON postings USING brin (at_ms)",
    *(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
        "FOR EACH ROW EXECUTE FUNCTION posgate_append_only()"
        for table in _APPEND_ONLY
    ),
    *(
        f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION posgate_append_only()"
        for table in _APPEND_ONLY
    ),
)

_SQLITE = tuple(
    f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
    f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
    for table in _APPEND_ONLY
    for verb in ("UPDATE", "DELETE")
)


async def add_guards(_apps: Any, editor: BaseSchemaEditor) -> None:
    """Run each statement whole; a trigger's body holds semicolons of its own."""
    for statement in _SQLITE if editor.DIALECT == "sqlite" else _POSTGRES:
        await editor.client.execute_query(statement)


class Migration(migrations.Migration):
    """Depends on the tables of 0005."""

    dependencies = [("posgate", "0005_completions")]

    operations = [
        ops.CreateModel(
            name="DifferenceDecisionRow",
            fields=[
                (
                    "id",
                    fields.BigIntField(
                        generated=True, primary_key=True, unique=True, db_index=True
                    ),
                ),
                ("difference_id", fields.CharField(max_length=64)),
                ("number", fields.BigIntField()),
                ("deed", fields.CharField(max_length=16)),
                ("repair", fields.CharField(max_length=16)),
                ("person", fields.TextField(unique=False)),
                ("why", fields.TextField(unique=False)),
                ("at_ms", fields.BigIntField()),
            ],
            options={
                "table": "difference_decisions",
                "app": "posgate",
                "unique_together": (("difference_id", "number"),),
                "pk_attr": "id",
                "table_description": "Who proposed, approved, refused or carried out what, and why.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="MerchantRateRow",
            fields=[
                (
                    "id",
                    fields.BigIntField(
                        generated=True, primary_key=True, unique=True, db_index=True
                    ),
                ),
                ("merchant_no", fields.CharField(max_length=64)),
                ("since", fields.CharField(max_length=10)),
                ("channel", fields.CharField(max_length=64)),
                ("method", fields.CharField(max_length=64)),
                ("rate_ppm", fields.BigIntField()),
                ("min_fen", fields.BigIntField()),
                ("cap_fen", fields.BigIntField()),
                ("returns_fee", fields.BooleanField()),
                ("bears_channel_fee", fields.BooleanField()),
                ("created_at_ms", fields.BigIntField()),
            ],
            options={
                "table": "merchant_rates",
                "app": "posgate",
                "unique_together": (("merchant_no", "since", "channel", "method"),),
                "pk_attr": "id",
                "table_description": "What a merchant is charged from a day on (a newer row overrides an older one).",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="NightDifferenceRow",
            fields=[
                (
                    "id",
                    fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64),
                ),
                ("account_id", fields.CharField(max_length=64)),
                ("channel", fields.CharField(max_length=64)),
                ("day", fields.CharField(max_length=10)),
                ("kind", fields.CharField(max_length=32)),
                ("order_no", fields.CharField(max_length=64)),
                ("refund_no", fields.CharField(max_length=64)),
                ("number", fields.BigIntField()),
                ("ours_fen", fields.BigIntField(null=True)),
                ("theirs_fen", fields.BigIntField(null=True)),
                ("currency", fields.CharField(max_length=3)),
                ("subject", fields.CharField(max_length=64)),
                ("trade_no", fields.CharField(max_length=64)),
                ("opened_at_ms", fields.BigIntField()),
                ("version", fields.BigIntField()),
                ("state", fields.CharField(max_length=16)),
                ("repair", fields.CharField(max_length=16)),
            ],
            options={
                "table": "night_differences",
                "app": "posgate",
                "unique_together": (
                    ("account_id", "day", "kind", "order_no", "refund_no", "number"),
                ),
                "indexes": [Index(fields=["state", "id"])],
                "pk_attr": "id",
                "table_description": "One difference of a night, and what is being done about it (from ``version``).",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="NightRow",
            fields=[
                (
                    "id",
                    fields.BigIntField(
                        generated=True, primary_key=True, unique=True, db_index=True
                    ),
                ),
                ("account_id", fields.CharField(max_length=64)),
                ("day", fields.CharField(max_length=10)),
                ("version", fields.BigIntField()),
                ("state", fields.CharField(max_length=16)),
                ("bill_sha256", fields.CharField(max_length=64)),
                ("error", fields.TextField(unique=False)),
                ("totals_json", fields.TextField(unique=False)),
                ("updated_at_ms", fields.BigIntField()),
            ],
            options={
                "table": "nights",
                "app": "posgate",
                "unique_together": (("account_id", "day"),),
                "pk_attr": "id",
                "table_description": "How far the reconciliation of an account and a business day is.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="NightWaitingRow",
            fields=[
                (
                    "id",
                    fields.BigIntField(
                        generated=True, primary_key=True, unique=True, db_index=True
                    ),
                ),
                ("account_id", fields.CharField(max_length=64)),
                ("day", fields.CharField(max_length=10)),
                ("side", fields.CharField(max_length=16)),
                ("kind", fields.CharField(max_length=16)),
                ("order_no", fields.CharField(max_length=64)),
                ("refund_no", fields.CharField(max_length=64)),
                ("first_day", fields.CharField(max_length=10)),
                ("line", fields.BigIntField()),
                ("amount_fen", fields.BigIntField()),
                ("fee_mfen", fields.BigIntField()),
                ("currency", fields.CharField(max_length=3)),
                ("trade_no", fields.CharField(max_length=64)),
            ],
            options={
                "table": "night_waiting",
                "app": "posgate",
                "unique_together": (
                    (
                        "account_id",
                        "day",
                        "side",
                        "kind",
                        "order_no",
                        "refund_no",
                        "first_day",
                        "line",
                    ),
                ),
                "pk_attr": "id",
                "table_description": "What a night left in the carry-over pool for the next one.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="StatementRow",
            fields=[
                (
                    "id",
                    fields.BigIntField(
                        generated=True, primary_key=True, unique=True, db_index=True
                    ),
                ),
                ("merchant_no", fields.CharField(max_length=64)),
                ("day", fields.CharField(max_length=10)),
                ("currency", fields.CharField(max_length=3)),
                ("payments", fields.BigIntField()),
                ("refunds", fields.BigIntField()),
                ("gross_fen", fields.BigIntField()),
                ("refunds_fen", fields.BigIntField()),
                ("channel_fee_fen", fields.BigIntField()),
                ("our_fee_fen", fields.BigIntField()),
                ("bears_channel_fee", fields.BooleanField()),
                ("carried_in_fen", fields.BigIntField()),
                ("created_at_ms", fields.BigIntField()),
            ],
            options={
                "table": "statements",
                "app": "posgate",
                "unique_together": (("merchant_no", "day", "currency"),),
                "pk_attr": "id",
                "table_description": "A merchant's settled day, which never changes once it is written.",
            },
            bases=["Model"],
        ),
        ops.RunPython(add_guards),
    ]
