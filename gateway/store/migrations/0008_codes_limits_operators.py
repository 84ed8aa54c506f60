"""Printed codes, limits with what days have taken of them, and operators.

Rules: none of it is history. On PostgreSQL keys are compared by their bytes, as in 0003.
"""

from typing import Any

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops
from tortoise.migrations.schema_editor import BaseSchemaEditor

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


async def compare_keys_by_bytes(_apps: Any, editor: BaseSchemaEditor) -> None:
    """SQLite does so anyway."""
    if editor.DIALECT != "sqlite":
        await editor.client.execute_query(_KEYS_BY_BYTES)


class Migration(migrations.Migration):
    """Depends on the payments of 0007."""

    dependencies = [("posgate", "0007_card_organisation")]

    operations = [
        ops.CreateModel(
            name="LimitRow",
            fields=[
                (
                    "id",
                    fields.BigIntField(
                        generated=True, primary_key=True, unique=True, db_index=True
                    ),
                ),
                ("merchant_no", fields.CharField(max_length=64)),
                ("store_id", fields.CharField(max_length=64)),
                ("single_fen", fields.BigIntField()),
                ("daily_fen", fields.BigIntField()),
                ("small_fen", fields.BigIntField()),
                ("opens_min", fields.BigIntField()),
                ("closes_min", fields.BigIntField()),
                ("updated_at_ms", fields.BigIntField()),
            ],
            options={
                "table": "limits",
                "app": "posgate",
                "unique_together": (("merchant_no", "store_id"),),
                "pk_attr": "id",
                "table_description": "What a merchant (an empty ``store_id``) or a store may take, 0 for no limit.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="LimitDayRow",
            fields=[
                (
                    "id",
                    fields.BigIntField(
                        generated=True, primary_key=True, unique=True, db_index=True
                    ),
                ),
                ("merchant_no", fields.CharField(max_length=64)),
                ("store_id", fields.CharField(max_length=64)),
                ("day", fields.CharField(max_length=10)),
                ("spent_fen", fields.BigIntField()),
            ],
            options={
                "table": "limit_days",
                "app": "posgate",
                "unique_together": (("merchant_no", "store_id", "day"),),
                "pk_attr": "id",
                "table_description": "What a day has taken of a limit: the sum of its ``limit_spends``.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="LimitSpendRow",
            fields=[
                (
                    "id",
                    fields.BigIntField(
                        generated=True, primary_key=True, unique=True, db_index=True
                    ),
                ),
                ("merchant_no", fields.CharField(max_length=64)),
                ("store_id", fields.CharField(max_length=64)),
                ("day", fields.CharField(max_length=10)),
                ("payment_id", fields.CharField(max_length=64)),
                ("amount_fen", fields.BigIntField()),
            ],
            options={
                "table": "limit_spends",
                "app": "posgate",
                "unique_together": (("merchant_no", "store_id", "day", "payment_id"),),
                "pk_attr": "id",
                "table_description": "A payment that counts for a day.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="OperatorRow",
            fields=[
                (
                    "id",
                    fields.BigIntField(
                        generated=True, primary_key=True, unique=True, db_index=True
                    ),
                ),
                ("merchant_no", fields.CharField(max_length=64)),
                ("operator_id", fields.CharField(max_length=64)),
                ("name", fields.TextField(unique=False)),
                ("pin_hash", fields.CharField(max_length=255)),
                ("created_at_ms", fields.BigIntField()),
                ("tries", fields.BigIntField()),
                ("locked_until_ms", fields.BigIntField()),
                ("disabled", fields.BooleanField()),
            ],
            options={
                "table": "operators",
                "app": "posgate",
                "unique_together": (("merchant_no", "operator_id"),),
                "pk_attr": "id",
                "table_description": "An operator of a merchant, its PIN hashed by argon2.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="QrCodeRow",
            fields=[
                (
                    "code_id",
                    fields.CharField(primary_key=True, unique=True, db_index=True, max_length=32),
                ),
                ("merchant_no", fields.CharField(max_length=64)),
                ("store_id", fields.CharField(max_length=64)),
                ("terminal_id", fields.CharField(max_length=64)),
                ("name", fields.TextField(unique=False)),
                ("amount_fen", fields.BigIntField()),
                ("created_at_ms", fields.BigIntField()),
                ("disabled", fields.BooleanField()),
            ],
            options={
                "table": "qr_codes",
                "app": "posgate",
                "indexes": [Index(fields=["merchant_no", "code_id"])],
                "pk_attr": "code_id",
                "table_description": "A printed code of a merchant.",
            },
            bases=["Model"],
        ),
        ops.RunPython(compare_keys_by_bytes),
    ]
