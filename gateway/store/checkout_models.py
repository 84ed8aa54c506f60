"""The table of checkouts, by the rules of ``models.py``."""

from tortoise import fields
from tortoise.models import Model

_NAME = 64
_TEXT = 255


class CheckoutRow(Model):
    """What a checkout is beside its payment, whose id it has."""

    id = fields.CharField(max_length=_NAME, primary_key=True)
    merchant_no = fields.CharField(max_length=_NAME)
    wallets = fields.CharField(max_length=_TEXT)
    is_single = fields.BooleanField()
    code_id = fields.CharField(max_length=_NAME)
    created_at_ms = fields.BigIntField()
    expires_at_ms = fields.BigIntField()
    status = fields.CharField(max_length=16)
    version = fields.BigIntField()
    attempts = fields.BigIntField()
    code = fields.TextField()

    class Meta:
        table = "checkouts"
