"""The tables of reconciliation, by the rules of ``models.py``; days are ``YYYY-MM-DD``."""

from tortoise import fields
from tortoise.models import Model

_NAME = 64
_DAY = 10


class NightRow(Model):
    """How far the reconciliation of an account and a business day is."""

    id = fields.BigIntField(primary_key=True, generated=True)
    account_id = fields.CharField(max_length=_NAME)
    day = fields.CharField(max_length=_DAY)
    version = fields.BigIntField()
    state = fields.CharField(max_length=16)
    bill_sha256 = fields.CharField(max_length=64)
    error = fields.TextField()
    totals_json = fields.TextField()
    updated_at_ms = fields.BigIntField()

    class Meta:
        table = "nights"
        unique_together = (("account_id", "day"),)


class NightWaitingRow(Model):
    """What a night left in the carry-over pool for the next one.

    ``line`` is 0 for an entry of ours, which has neither amount nor fee there.
    """

    id = fields.BigIntField(primary_key=True, generated=True)
    account_id = fields.CharField(max_length=_NAME)
    day = fields.CharField(max_length=_DAY)
    side = fields.CharField(max_length=16)
    kind = fields.CharField(max_length=16)
    order_no = fields.CharField(max_length=_NAME)
    refund_no = fields.CharField(max_length=_NAME)
    first_day = fields.CharField(max_length=_DAY)
    line = fields.BigIntField()
    amount_fen = fields.BigIntField()
    fee_mfen = fields.BigIntField()
    currency = fields.CharField(max_length=3)
    trade_no = fields.CharField(max_length=_NAME)

    class Meta:
        table = "night_waiting"
        unique_together = (
            ("account_id", "day", "side", "kind", "order_no", "refund_no", "first_day", "line"),
        )


class NightDifferenceRow(Model):
    """One difference of a night, and what is being done about it (from ``version``)."""

    id = fields.CharField(max_length=_NAME, primary_key=True)
    account_id = fields.CharField(max_length=_NAME)
    channel = fields.CharField(max_length=_NAME)
    day = fields.CharField(max_length=_DAY)
    kind = fields.CharField(max_length=32)
    order_no = fields.CharField(max_length=_NAME)
    refund_no = fields.CharField(max_length=_NAME)
    number = fields.BigIntField()
    ours_fen = fields.BigIntField(null=True)
    theirs_fen = fields.BigIntField(null=True)
    currency = fields.CharField(max_length=3)
    subject = fields.CharField(max_length=_NAME)
    trade_no = fields.CharField(max_length=_NAME)
    opened_at_ms = fields.BigIntField()
    version = fields.BigIntField()
    state = fields.CharField(max_length=16)
    repair = fields.CharField(max_length=16)

    class Meta:
        table = "night_differences"
        unique_together = (("account_id", "day", "kind", "order_no", "refund_no", "number"),)
        indexes = (("state", "id"),)


class DifferenceDecisionRow(Model):
    """Who proposed, approved, refused or carried out what, and why."""

    id = fields.BigIntField(primary_key=True, generated=True)
    difference_id = fields.CharField(max_length=_NAME)
    number = fields.BigIntField()
    deed = fields.CharField(max_length=16)
    repair = fields.CharField(max_length=16)
    person = fields.TextField()
    why = fields.TextField()
    at_ms = fields.BigIntField()

    class Meta:
        table = "difference_decisions"
        unique_together = (("difference_id", "number"),)


class SurplusRefundRow(Model):
    """The refund of what a channel collected beyond an order, approved as a repair."""

    id = fields.CharField(max_length=_NAME, primary_key=True)
    difference_id = fields.CharField(max_length=_NAME)
    payment_id = fields.CharField(max_length=_NAME)
    channel = fields.CharField(max_length=_NAME)
    account_id = fields.CharField(max_length=_NAME)
    channel_refund_no = fields.CharField(max_length=_NAME)
    amount_fen = fields.BigIntField()
    currency = fields.CharField(max_length=3)
    created_at_ms = fields.BigIntField()
    state = fields.CharField(max_length=16)
    done_at_ms = fields.BigIntField()

    class Meta:
        table = "surplus_refunds"
        unique_together = (("account_id", "channel_refund_no"),)
        indexes = (("account_id", "created_at_ms"),)


class MerchantRateRow(Model):
    """What a merchant is charged from a day on (a newer row overrides an older one)."""

    id = fields.BigIntField(primary_key=True, generated=True)
    merchant_no = fields.CharField(max_length=_NAME)
    since = fields.CharField(max_length=_DAY)
    channel = fields.CharField(max_length=_NAME)
    method = fields.CharField(max_length=_NAME)
    rate_ppm = fields.BigIntField()
    min_fen = fields.BigIntField()
    cap_fen = fields.BigIntField()
    returns_fee = fields.BooleanField()
    bears_channel_fee = fields.BooleanField()
    created_at_ms = fields.BigIntField()

    class Meta:
        table = "merchant_rates"
        unique_together = (("merchant_no", "since", "channel", "method"),)


class StatementRow(Model):
    """A merchant's settled day, which never changes once it is written."""

    id = fields.BigIntField(primary_key=True, generated=True)
    merchant_no = fields.CharField(max_length=_NAME)
    day = fields.CharField(max_length=_DAY)
    currency = fields.CharField(max_length=3)
    payments = fields.BigIntField()
    refunds = fields.BigIntField()
    gross_fen = fields.BigIntField()
    refunds_fen = fields.BigIntField()
    channel_fee_fen = fields.BigIntField()
    our_fee_fen = fields.BigIntField()
    bears_channel_fee = fields.BooleanField()
    carried_in_fen = fields.BigIntField()
    created_at_ms = fields.BigIntField()
    late_json = fields.TextField(db_default="[]")

    class Meta:
        table = "statements"
        unique_together = (("merchant_no", "day", "currency"),)
