"""Who took a hold, in turn: its completions, or its release.

Rules: as in 0003. A row is history, which nobody changes.
"""

from typing import Any

from tortoise import fields, migrations
from tortoise.migrations import operations as ops
from tortoise.migrations.schema_editor import BaseSchemaEditor

_APPEND_ONLY = ("completions",)

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
    """Depends on the tables of 0004."""

    dependencies = [("posgate", "0004_batches_terminal_options")]

    operations = [
        ops.CreateModel(
            name="CompletionRow",
            fields=[
                (
                    "id",
                    fields.BigIntField(
                        generated=True, primary_key=True, unique=True, db_index=True
                    ),
                ),
                ("hold_id", fields.CharField(max_length=64)),
                ("number", fields.BigIntField()),
                ("payment_id", fields.CharField(max_length=64)),
            ],
            options={
                "table": "completions",
                "app": "posgate",
                "unique_together": (("hold_id", "number"),),
                "pk_attr": "id",
                "table_description": "Who took a hold: a completion, or the hold itself when it was released.",
            },
            bases=["Model"],
        ),
        ops.RunPython(add_guards),
    ]
