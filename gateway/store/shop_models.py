"""The tables of printed codes, limits and operators, by the rules of ``models.py``."""

from tortoise import fields
from tortoise.models import Model

_NAME = 64
_CODE = 32
_DAY = 10
_TEXT = 255
_URL = 512


class QrCodeRow(Model):
    """A printed code of a merchant."""

    code_id = fields.CharField(max_length=_CODE, primary_key=True)
    merchant_no = fields.CharField(max_length=_NAME)
    store_id = fields.CharField(max_length=_NAME)
    terminal_id = fields.CharField(max_length=_NAME)
    name = fields.TextField()
    amount_fen = fields.BigIntField()
    created_at_ms = fields.BigIntField()
    disabled = fields.BooleanField()
    notify_url = fields.CharField(max_length=_URL, db_default="")

    class Meta:
        table = "qr_codes"
        indexes = (("merchant_no", "code_id"),)


class LimitRow(Model):
    """What a merchant (an empty ``store_id``) or a store may take, 0 for no limit."""

    id = fields.BigIntField(primary_key=True, generated=True)
    merchant_no = fields.CharField(max_length=_NAME)
    store_id = fields.CharField(max_length=_NAME)
    single_fen = fields.BigIntField()
    daily_fen = fields.BigIntField()
    small_fen = fields.BigIntField()
    opens_min = fields.BigIntField()
    closes_min = fields.BigIntField()
    updated_at_ms = fields.BigIntField()

    class Meta:
        table = "limits"
        unique_together = (("merchant_no", "store_id"),)


class LimitDayRow(Model):
    """What a day has taken of a limit: the sum of its ``limit_spends``."""

    id = fields.BigIntField(primary_key=True, generated=True)
    merchant_no = fields.CharField(max_length=_NAME)
    store_id = fields.CharField(max_length=_NAME)
    day = fields.CharField(max_length=_DAY)
    spent_fen = fields.BigIntField()

    class Meta:
        table = "limit_days"
        unique_together = (("merchant_no", "store_id", "day"),)


class LimitSpendRow(Model):
    """A payment that counts for a day."""

    id = fields.BigIntField(primary_key=True, generated=True)
    merchant_no = fields.CharField(max_length=_NAME)
    store_id = fields.CharField(max_length=_NAME)
    day = fields.CharField(max_length=_DAY)
    payment_id = fields.CharField(max_length=_NAME)
    amount_fen = fields.BigIntField()

    class Meta:
        table = "limit_spends"
        unique_together = (("merchant_no", "store_id", "day", "payment_id"),)


class OperatorRow(Model):
    """An operator of a merchant, its PIN hashed by argon2."""

    id = fields.BigIntField(primary_key=True, generated=True)
    merchant_no = fields.CharField(max_length=_NAME)
    operator_id = fields.CharField(max_length=_NAME)
    name = fields.TextField()
    pin_hash = fields.CharField(max_length=_TEXT)
    created_at_ms = fields.BigIntField()
    tries = fields.BigIntField()
    locked_until_ms = fields.BigIntField()
    disabled = fields.BooleanField()

    class Meta:
        table = "operators"
        unique_together = (("merchant_no", "operator_id"),)
