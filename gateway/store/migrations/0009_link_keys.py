"""The working keys of links that several processes share."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """A table of its own: a process of the release before does not know it."""

    dependencies = [("posgate", "0008_codes_limits_operators")]

    operations = [
        ops.CreateModel(
            name="LinkKeysRow",
            fields=[
                (
                    "name",
                    fields.CharField(primary_key=True, unique=True, db_index=True, max_length=255),
                ),
                ("version", fields.BigIntField()),
                ("wrapped", fields.BinaryField()),
                ("made_at_ms", fields.BigIntField()),
                ("leased_until_ms", fields.BigIntField()),
                ("leased_by", fields.CharField(max_length=64)),
            ],
            options={
                "table": "link_keys",
                "app": "posgate",
                "pk_attr": "name",
                "table_description": "A link's working keys, wrapped, and who fetches new ones.",
            },
            bases=["Model"],
        ),
    ]
