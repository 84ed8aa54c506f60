"""What a model cannot say: append-only tables, and how PostgreSQL keeps them.

Rules:

* History and ledger refuse UPDATE and DELETE in the database itself, whoever asks.
* On PostgreSQL a page of ``payments`` keeps room for the next version of each of its
  rows, so that a payment is updated in place (HOT) and no index is touched. With the
  customary 60 % a third of the updates went elsewhere, at 1.6 times the price and for
  just as many pages.
* There a row that its natural key tells apart goes without a generated id (NULL): the
  number and its index would be a fifth of what the row costs.
* There a key is compared byte by byte (``COLLATE "C"``), whatever the database's
  language: that is what SQLite does, and several times faster.
* ``jobs`` is emptied as fast as it is filled: vacuum leaves its pages for the next.
"""

from typing import Any

from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise.migrations.schema_editor import BaseSchemaEditor

_APPEND_ONLY = ("attempts", "payment_events", "postings")
_KEPT_BY_NATURAL_KEY = (*_APPEND_ONLY, "terminal_replies")

_KEYS_BY_BYTES = """
DO $$ DECLARE c record; BEGIN
  FOR c IN
    SELECT DISTINCT t.relname, a.attname, format_type(a.atttypid, a.atttypmod) AS kind
    FROM pg_index x
    JOIN pg_class t ON t.oid = x.indrelid AND t.relnamespace = current_schema()::regnamespace
    JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = ANY (x.indkey)
    WHERE a.atttypid = 'varchar'::regtype AND t.relname <> 'tortoise_migrations'
  LOOP
    EXECUTE format('ALTER TABLE %I ALTER %I TYPE %s COLLATE "C"', c.relname, c.attname, c.kind);
  END LOOP;
END $$
"""

_POSTGRES = (
    "ALTER TABLE payments SET (fillfactor = 45)",
    "ALTER TABLE jobs SET (vacuum_truncate = off)",
    *(
        f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey, "
        "ALTER id DROP DEFAULT, ALTER id DROP NOT NULL"
        for table in _KEPT_BY_NATURAL_KEY
    ),
    *(f"DROP SEQUENCE {table}_id_seq" for table in _KEPT_BY_NATURAL_KEY),
    _KEYS_BY_BYTES,
    "CREATE FUNCTION posgate_append_only() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME "
    "USING ERRCODE = 'restrict_violation'; END $$",
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
    """Depends on the tables of 0001."""

    dependencies = [("posgate", "0001_initial")]

    operations = [ops.RunPython(add_guards)]
