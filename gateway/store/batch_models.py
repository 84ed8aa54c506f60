"""The tables of terminals' batches, by the rules of ``models.py``."""

from tortoise import fields
from tortoise.models import Model

_NAME = 64


class BatchRow(Model):
    """A terminal batch that was settled: both sides of its totals, and how its upload ended.

    ``settlement_no`` counts the judgements, ``upload_expected`` is NULL until the upload
    has ended.
    """

    id = fields.BigIntField(primary_key=True, generated=True)
    merchant_no = fields.CharField(max_length=_NAME)
    terminal_id = fields.CharField(max_length=8)
    batch_no = fields.BigIntField()
    version = fields.BigIntField()
    state = fields.CharField(max_length=16)
    settlement_no = fields.BigIntField()
    settled_at_ms = fields.BigIntField()
    terminal_domestic_debit_fen = fields.BigIntField()
    terminal_domestic_debit_count = fields.BigIntField()
    terminal_domestic_credit_fen = fields.BigIntField()
    terminal_domestic_credit_count = fields.BigIntField()
    terminal_foreign_debit_fen = fields.BigIntField()
    terminal_foreign_debit_count = fields.BigIntField()
    terminal_foreign_credit_fen = fields.BigIntField()
    terminal_foreign_credit_count = fields.BigIntField()
    host_domestic_debit_fen = fields.BigIntField()
    host_domestic_debit_count = fields.BigIntField()
    host_domestic_credit_fen = fields.BigIntField()
    host_domestic_credit_count = fields.BigIntField()
    host_foreign_debit_fen = fields.BigIntField()
    host_foreign_debit_count = fields.BigIntField()
    host_foreign_credit_fen = fields.BigIntField()
    host_foreign_credit_count = fields.BigIntField()
    upload_expected = fields.BigIntField(null=True)
    uploaded = fields.BigIntField()
    closed_at_ms = fields.BigIntField()

    class Meta:
        table = "batches"
        unique_together = (("merchant_no", "terminal_id", "batch_no"),)
        indexes = (("settled_at_ms", "merchant_no", "terminal_id", "batch_no"),)


class BatchLineRow(Model):
    """A transaction of a batch as its terminal uploaded it."""

    id = fields.BigIntField(primary_key=True, generated=True)
    merchant_no = fields.CharField(max_length=_NAME)
    terminal_id = fields.CharField(max_length=8)
    batch_no = fields.BigIntField()
    trace = fields.CharField(max_length=6)
    management = fields.CharField(max_length=3)
    amount_fen = fields.BigIntField()
    is_foreign = fields.BooleanField()
    has_failed = fields.BooleanField()
    pan_token = fields.BinaryField()
    at_ms = fields.BigIntField()

    class Meta:
        table = "batch_lines"
        unique_together = (("merchant_no", "terminal_id", "batch_no", "trace"),)


class BatchDifferenceRow(Model):
    """What a terminal and the host disagree about, as one settlement of a batch found it."""

    id = fields.BigIntField(primary_key=True, generated=True)
    merchant_no = fields.CharField(max_length=_NAME)
    terminal_id = fields.CharField(max_length=8)
    batch_no = fields.BigIntField()
    settlement_no = fields.BigIntField()
    trace = fields.CharField(max_length=6)
    kind = fields.CharField(max_length=16)
    terminal_fen = fields.BigIntField()
    host_fen = fields.BigIntField()
    payment_id = fields.CharField(max_length=_NAME)
    at_ms = fields.BigIntField()

    class Meta:
        table = "batch_differences"
        unique_together = (
            ("merchant_no", "terminal_id", "batch_no", "settlement_no", "trace", "kind"),
        )
