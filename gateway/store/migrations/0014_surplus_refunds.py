"""Refunds of what channels collected beyond our orders.

Rules: as in 0003; the two keys are compared as bytes on PostgreSQL.
"""

from typing import Any

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops
from tortoise.migrations.schema_editor import BaseSchemaEditor

_BY_BYTES = """
DO $$ BEGIN ALTER TABLE surplus_refunds ALTER id TYPE varchar(64) COLLATE "C",
  ALTER account_id TYPE varchar(64) COLLATE "C",
  ALTER channel_refund_no TYPE varchar(64) COLLATE "C"; END $$
"""


async def by_bytes(_apps: Any, editor: BaseSchemaEditor) -> None:
    """PostgreSQL compares keys as bytes, as every other."""
    if editor.DIALECT != "sqlite":
        await editor.client.execute_query(_BY_BYTES)


class Migration(migrations.Migration):
    """Depends on the tables of 0013."""

    dependencies = [("posgate", "0013_code_notices")]

    operations = [
        ops.CreateModel(
            name="SurplusRefundRow",
            fields=[
                (
                    "id",
                    fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64),
                ),
                ("difference_id", fields.CharField(max_length=64)),
                ("payment_id", fields.CharField(max_length=64)),
                ("channel", fields.CharField(max_length=64)),
                ("account_id", fields.CharField(max_length=64)),
                ("channel_refund_no", fields.CharField(max_length=64)),
                ("amount_fen", fields.BigIntField()),
                ("currency", fields.CharField(max_length=3)),
                ("created_at_ms", fields.BigIntField()),
                ("state", fields.CharField(max_length=16)),
                ("done_at_ms", fields.BigIntField()),
            ],
            options={
                "table": "surplus_refunds",
                "app": "posgate",
                "unique_together": (("account_id", "channel_refund_no"),),
                "indexes": [Index(fields=["account_id", "created_at_ms"])],
                "pk_attr": "id",
                "table_description": "The refund of what a channel collected beyond an order, approved as a repair.",
            },
            bases=["Model"],
        ),
        ops.RunPython(by_bytes),
    ]
