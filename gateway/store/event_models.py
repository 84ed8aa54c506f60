"""The table of what stores and terminals are told, by the rules of ``models.py``."""

from tortoise import fields
from tortoise.models import Model

_NAME = 64
_TEXT = 255


class TillEventRow(Model):
    """A move of a payment that a store or a terminal is told of, in the order of the commits.

    ``position`` is handed out under a lock that is held until the commit (migration 0010), so
    that who has read up to one number will never find a smaller one later.
    """

    position = fields.BigIntField(primary_key=True, generated=True)
    merchant_no = fields.CharField(max_length=_NAME)
    store_id = fields.CharField(max_length=_TEXT)
    terminal_id = fields.CharField(max_length=_TEXT)
    payment_id = fields.CharField(max_length=_NAME)
    previous = fields.CharField(max_length=16)
    status = fields.CharField(max_length=16)

    class Meta:
        table = "till_events"
        indexes = (("merchant_no", "store_id", "position"),)
