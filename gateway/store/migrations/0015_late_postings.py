"""What a statement holds of earlier days: postings that their own day's statement came before."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """Depends on the statements of 0006; a process of the release before writes none."""

    dependencies = [("posgate", "0014_surplus_refunds")]

    operations = [
        ops.AddField(
            model_name="StatementRow",
            name="late_json",
            field=fields.TextField(db_default="[]"),
        ),
    ]
