"""Whose card a payment was made with, as its channel says: settlement's card classes."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """Depends on the payments of 0001; a process of the release before writes none."""

    dependencies = [("posgate", "0006_reconciliation")]

    operations = [
        ops.AddField(
            model_name="PaymentRow",
            name="card_organisation",
            field=fields.CharField(db_default="", max_length=3),
        ),
    ]
