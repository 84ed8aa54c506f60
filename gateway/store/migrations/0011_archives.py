"""Archives of old payments, and the one way by which history may leave the database.

Rules: as in 0003. What is recorded as archived is history itself. Events of a payment or a
refund may be deleted once ``archived_subjects`` says that their version lies in an archive, a
notice once its payment is archived and nothing of it is pending; anything else is refused as
before, and nothing of it may be changed.
"""

from typing import Any

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops
from tortoise.migrations.schema_editor import BaseSchemaEditor

_APPEND_ONLY = ("archives", "archived_subjects")
_WORDS_OF_A_NOTICE = (
    "event_id, merchant_no, payment_id, sequence, type, url, endpoint, body, created_at_ms"
)
_MAY_GO = {
    "payment_events": "a.subject = OLD.payment_id AND OLD.sequence <= a.version",
    "refund_events": "a.subject = OLD.refund_id AND OLD.sequence <= a.version",
    "notices": "a.subject = OLD.payment_id AND OLD.state <> 'pending'",
}
"""Of each table: which of its rows an archive covers."""

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
    "ALTER TABLE archived_subjects DROP CONSTRAINT archived_subjects_pkey, "
    "ALTER id DROP DEFAULT, ALTER id DROP NOT NULL",
    "DROP SEQUENCE archived_subjects_id_seq",
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
    *(
        f"CREATE FUNCTION posgate_archived_{table}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN IF EXISTS (SELECT 1 FROM archived_subjects a WHERE {covered}) THEN "
        "RETURN OLD; END IF; RAISE EXCEPTION '% is append-only', TG_TABLE_NAME "
        "USING ERRCODE = 'restrict_violation'; END $$"
        for table, covered in _MAY_GO.items()
    ),
    *(f"DROP TRIGGER {table}_append_only ON {table}" for table in _MAY_GO),
    *(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE "
        f"{f'OF {_WORDS_OF_A_NOTICE} ' if table == 'notices' else ''}ON {table} "
        "FOR EACH ROW EXECUTE FUNCTION posgate_append_only()"
        for table in _MAY_GO
    ),
    *(
        f"CREATE TRIGGER {table}_archived_only BEFORE DELETE ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION posgate_archived_{table}()"
        for table in _MAY_GO
    ),
)

_SQLITE = (
    *(
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        for table in _APPEND_ONLY
        for verb in ("UPDATE", "DELETE")
    ),
    *(f"DROP TRIGGER {table}_no_delete" for table in _MAY_GO),
    *(
        f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} "
        f"WHEN NOT EXISTS (SELECT 1 FROM archived_subjects a WHERE {covered}) "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        for table, covered in _MAY_GO.items()
    ),
)


async def add_guards(_apps: Any, editor: BaseSchemaEditor) -> None:
    """Run each statement whole; a trigger's body holds semicolons of its own."""
    for statement in _SQLITE if editor.DIALECT == "sqlite" else _POSTGRES:
        await editor.client.execute_query(statement)


class Migration(migrations.Migration):
    """Depends on the tables of 0003."""

    dependencies = [("posgate", "0010_till_events")]

    operations = [
        ops.CreateModel(
            name="ArchiveRow",
            fields=[
                (
                    "name",
                    fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64),
                ),
                ("first_day", fields.CharField(max_length=10)),
                ("last_day", fields.CharField(max_length=10)),
                ("payments", fields.BigIntField()),
                ("refunds", fields.BigIntField()),
                ("manifest_sha256", fields.CharField(max_length=64)),
                ("archived_at_ms", fields.BigIntField()),
            ],
            options={
                "table": "archives",
                "app": "posgate",
                "pk_attr": "name",
                "table_description": "A folder of old payments that was written, read again and then removed from here.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="ArchivedSubjectRow",
            fields=[
                (
                    "id",
                    fields.BigIntField(
                        generated=True, primary_key=True, unique=True, db_index=True
                    ),
                ),
                ("subject", fields.CharField(unique=True, max_length=64)),
                ("archive", fields.CharField(max_length=64)),
                ("version", fields.BigIntField()),
                ("status", fields.CharField(max_length=16)),
                ("refunds", fields.BigIntField()),
            ],
            options={
                "table": "archived_subjects",
                "app": "posgate",
                "indexes": [Index(fields=["archive"])],
                "pk_attr": "id",
                "table_description": "A payment or refund whose history up to a version lies in an archive.",
            },
            bases=["Model"],
        ),
        ops.RunPython(add_guards),
    ]
