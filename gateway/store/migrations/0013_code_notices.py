"""Where a merchant is told of payments by a printed code."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """Depends on the tables of 0012."""

    dependencies = [("posgate", "0012_checkouts")]

    operations = [
        ops.AddField(
            model_name="QrCodeRow",
            name="notify_url",
            field=fields.CharField(db_default="", max_length=512),
        ),
    ]
