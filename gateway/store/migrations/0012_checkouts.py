"""What a checkout is beside its payment.

Rules: as in 0003. Nothing is looked up here but by the id.
"""

from typing import Any

from tortoise import fields, migrations
from tortoise.migrations import operations as ops
from tortoise.migrations.schema_editor import BaseSchemaEditor

_ID_BY_BYTES = """
DO $$ BEGIN ALTER TABLE checkouts ALTER id TYPE varchar(64) COLLATE "C"; END $$
"""


async def by_bytes(_apps: Any, editor: BaseSchemaEditor) -> None:
    """PostgreSQL compares the key as bytes, as every other."""
    if editor.DIALECT != "sqlite":
        await editor.client.execute_query(_ID_BY_BYTES)


class Migration(migrations.Migration):
    """Depends on the tables of 0011."""

    dependencies = [("posgate", "0011_archives")]

    operations = [
        ops.CreateModel(
            name="CheckoutRow",
            fields=[
                (
                    "id",
                    fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64),
                ),
                ("merchant_no", fields.CharField(max_length=64)),
                ("wallets", fields.CharField(max_length=255)),
                ("is_single", fields.BooleanField()),
                ("code_id", fields.CharField(max_length=64)),
                ("created_at_ms", fields.BigIntField()),
                ("expires_at_ms", fields.BigIntField()),
                ("status", fields.CharField(max_length=16)),
                ("version", fields.BigIntField()),
                ("attempts", fields.BigIntField()),
                ("code", fields.TextField(unique=False)),
            ],
            options={
                "table": "checkouts",
                "app": "posgate",
                "pk_attr": "id",
                "table_description": "What a checkout is beside its payment, whose id it has.",
            },
            bases=["Model"],
        ),
        ops.RunPython(by_bytes),
    ]
