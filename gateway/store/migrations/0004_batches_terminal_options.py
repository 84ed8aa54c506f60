"""Settled batches, what terminals uploaded of them and where they differ; a terminal's options.

Rules: as in 0003. A line is what a terminal said and a difference what was found: history,
which nobody changes. A batch moves by compare-and-set on ``version``.
"""

from typing import Any

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops
from tortoise.migrations.schema_editor import BaseSchemaEditor

_APPEND_ONLY = ("batch_lines", "batch_differences")

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
    """Depends on the tables of 0003."""

    dependencies = [("posgate", "0003_refunds_cases_notices")]

    operations = [
        ops.CreateModel(
            name="BatchDifferenceRow",
            fields=[
                (
                    "id",
                    fields.BigIntField(
                        generated=True, primary_key=True, unique=True, db_index=True
                    ),
                ),
                ("merchant_no", fields.CharField(max_length=64)),
                ("terminal_id", fields.CharField(max_length=8)),
                ("batch_no", fields.BigIntField()),
                ("settlement_no", fields.BigIntField()),
                ("trace", fields.CharField(max_length=6)),
                ("kind", fields.CharField(max_length=16)),
                ("terminal_fen", fields.BigIntField()),
                ("host_fen", fields.BigIntField()),
                ("payment_id", fields.CharField(max_length=64)),
                ("at_ms", fields.BigIntField()),
            ],
            options={
                "table": "batch_differences",
                "app": "posgate",
                "unique_together": (
                    ("merchant_no", "terminal_id", "batch_no", "settlement_no", "trace", "kind"),
                ),
                "pk_attr": "id",
                "table_description": "What a terminal and the host disagree about, as one settlement of a batch found it.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="BatchLineRow",
            fields=[
                (
                    "id",
                    fields.BigIntField(
                        generated=True, primary_key=True, unique=True, db_index=True
                    ),
                ),
                ("merchant_no", fields.CharField(max_length=64)),
                ("terminal_id", fields.CharField(max_length=8)),
                ("batch_no", fields.BigIntField()),
                ("trace", fields.CharField(max_length=6)),
                ("management", fields.CharField(max_length=3)),
                ("amount_fen", fields.BigIntField()),
                ("is_foreign", fields.BooleanField()),
                ("has_failed", fields.BooleanField()),
                ("pan_token", fields.BinaryField()),
                ("at_ms", fields.BigIntField()),
            ],
            options={
                "table": "batch_lines",
                "app": "posgate",
                "unique_together": (("merchant_no", "terminal_id", "batch_no", "trace"),),
                "pk_attr": "id",
                "table_description": "A transaction of a batch as its terminal uploaded it.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="BatchRow",
            fields=[
                (
                    "id",
                    fields.BigIntField(
                        generated=True, primary_key=True, unique=True, db_index=True
                    ),
                ),
                ("merchant_no", fields.CharField(max_length=64)),
                ("terminal_id", fields.CharField(max_length=8)),
                ("batch_no", fields.BigIntField()),
                ("version", fields.BigIntField()),
                ("state", fields.CharField(max_length=16)),
                ("settlement_no", fields.BigIntField()),
                ("settled_at_ms", fields.BigIntField()),
                ("terminal_domestic_debit_fen", fields.BigIntField()),
                ("terminal_domestic_debit_count", fields.BigIntField()),
                ("terminal_domestic_credit_fen", fields.BigIntField()),
                ("terminal_domestic_credit_count", fields.BigIntField()),
                ("terminal_foreign_debit_fen", fields.BigIntField()),
                ("terminal_foreign_debit_count", fields.BigIntField()),
                ("terminal_foreign_credit_fen", fields.BigIntField()),
                ("terminal_foreign_credit_count", fields.BigIntField()),
                ("host_domestic_debit_fen", fields.BigIntField()),
                ("host_domestic_debit_count", fields.BigIntField()),
                ("host_domestic_credit_fen", fields.BigIntField()),
                ("host_domestic_credit_count", fields.BigIntField()),
                ("host_foreign_debit_fen", fields.BigIntField()),
                ("host_foreign_debit_count", fields.BigIntField()),
                ("host_foreign_credit_fen", fields.BigIntField()),
                ("host_foreign_credit_count", fields.BigIntField()),
                ("upload_expected", fields.BigIntField(null=True)),
                ("uploaded", fields.BigIntField()),
                ("closed_at_ms", fields.BigIntField()),
            ],
            options={
                "table": "batches",
                "app": "posgate",
                "unique_together": (("merchant_no", "terminal_id", "batch_no"),),
                "indexes": [
                    Index(fields=["settled_at_ms", "merchant_no", "terminal_id", "batch_no"])
                ],
                "pk_attr": "id",
                "table_description": "A terminal batch that was settled: both sides of its totals, and how its upload ended.",
            },
            bases=["Model"],
        ),
        ops.AddField(
            model_name="TerminalRow",
            name="options_json",
            field=fields.CharField(db_default="{}", max_length=1024),
        ),
        ops.RunPython(add_guards),
    ]
