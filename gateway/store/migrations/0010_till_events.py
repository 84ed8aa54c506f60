"""What stores and terminals are told: every move of a payment that belongs to one.

Rules:

* A reader follows the table by ``position`` and must never miss a row, so a number may not
  become visible after a higher one. A sequence alone does not promise that: two commits may
  overtake each other. On PostgreSQL a row's number is therefore taken under a lock that is
  held until the commit. It costs who writes no such row nothing. SQLite has one writer.
* The lock comes last in every change that writes here, after all its rows are locked, so
  that two changes never wait for each other crosswise.
"""

from typing import Any

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops
from tortoise.migrations.schema_editor import BaseSchemaEditor

_ORDER_LOCK = 0x7067_7465
"""``pgte``: advisory locks are named by numbers."""

_POSTGRES = (
    'ALTER TABLE till_events ALTER position DROP DEFAULT, ALTER merchant_no TYPE VARCHAR(64) COLLATE "C", '
    'ALTER store_id TYPE VARCHAR(255) COLLATE "C"',
    "CREATE FUNCTION posgate_in_order() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN PERFORM pg_advisory_xact_lock({_ORDER_LOCK}); "
    "NEW.position := nextval('till_events_position_seq'); RETURN NEW; END $$",
    "CREATE TRIGGER till_events_in_order BEFORE INSERT ON till_events "
    "FOR EACH ROW EXECUTE FUNCTION posgate_in_order()",
)


async def put_in_order(_apps: Any, editor: BaseSchemaEditor) -> None:
    """Run each statement whole; a function's body holds semicolons of its own."""
    if editor.DIALECT == "sqlite":
        return
    for statement in _POSTGRES:
        await editor.client.execute_query(statement)


class Migration(migrations.Migration):
    """A process of the release before writes none: its payments are found by who asks."""

    dependencies = [("posgate", "0009_link_keys")]

    operations = [
        ops.CreateModel(
            name="TillEventRow",
            fields=[
                (
                    "position",
                    fields.BigIntField(
                        generated=True, primary_key=True, unique=True, db_index=True
                    ),
                ),
                ("merchant_no", fields.CharField(max_length=64)),
                ("store_id", fields.CharField(max_length=255)),
                ("terminal_id", fields.CharField(max_length=255)),
                ("payment_id", fields.CharField(max_length=64)),
                ("previous", fields.CharField(max_length=16)),
                ("status", fields.CharField(max_length=16)),
            ],
            options={
                "table": "till_events",
                "app": "posgate",
                "indexes": [Index(fields=["merchant_no", "store_id", "position"])],
                "pk_attr": "position",
                "table_description": "A move of a payment that a store or a terminal is told of, in the order of the commits.",
            },
            bases=["Model"],
        ),
        ops.RunPython(put_in_order),
    ]
