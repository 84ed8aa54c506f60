"""The tables of archives, by the rules of ``models.py``; days are ``YYYY-MM-DD``."""

from tortoise import fields
from tortoise.models import Model

_NAME = 64
_DAY = 10


class ArchiveRow(Model):
    """A folder of old payments that was written, read again and then removed from here."""

    name = fields.CharField(max_length=_NAME, primary_key=True)
    first_day = fields.CharField(max_length=_DAY)
    last_day = fields.CharField(max_length=_DAY)
    payments = fields.BigIntField()
    refunds = fields.BigIntField()
    manifest_sha256 = fields.CharField(max_length=64)
    archived_at_ms = fields.BigIntField()

    class Meta:
        table = "archives"


class ArchivedSubjectRow(Model):
    """A payment or refund whose history up to a version lies in an archive."""

    id = fields.BigIntField(primary_key=True, generated=True)
    subject = fields.CharField(max_length=_NAME, unique=True)
    archive = fields.CharField(max_length=_NAME)
    version = fields.BigIntField()
    status = fields.CharField(max_length=16)
    refunds = fields.BigIntField()

    class Meta:
        table = "archived_subjects"
        indexes = (("archive",),)
