"""The schema, as Tortoise models; migrations are made from these and the other ``*_models.py``.

Rules:

* These models define tables and nothing else: the hot path speaks SQL
  (``postgres.py``, ``sqlite.py``), and no model instance leaves this package.
* Times are UTC in integer ms, money is integer fen (both BIGINT), enums rest as
  their ``value``, whatever is sealed or hashed rests as bytes.
* ``payments`` is one row per payment: the order, which never changes, and its
  standing, which moves by compare-and-set on ``version``. Nothing that changes
  is indexed there, so PostgreSQL updates it in place (HOT).
* There are no foreign keys. On the hot path a child row is written by the very
  statement that inserts or moves its payment, and a check per row would cost more
  than the row; merchants are never deleted, so provisioning looks before it writes.
* What a migration names in ``_APPEND_ONLY`` is history: triggers refuse UPDATE and DELETE.
  Of ``notices`` only what became of them may change. What an archive's record covers of
  ``payment_events``, ``refund_events`` and ``notices`` may be deleted (0011), nothing else.
* What is still to be done rests in ``jobs``, which a finished payment has left: it stays small.
* A column that came later has a default in the database: a process of the release
  before still writes rows without it while the processes are replaced one by one.
* ``generated`` ids are there because Tortoise wants a key; nothing looks a row up by
  them. On SQLite they cost nothing (the rowid); on PostgreSQL the migrations do away
  with those of history: they are NULL, and the natural key is the row's only one.
* A model's first docstring line becomes its table's comment: no semicolon (Tortoise splits there).

After a change here: ``tortoise -c gateway.store.migrate.MODELS makemigrations``.
"""

from tortoise import fields
from tortoise.models import Model

_NAME = 64
_TEXT = 255
_LANE = 512
"""An account, or a merchant and a host name."""
_OPTIONS = 1024
"""A terminal's options as JSON."""


class MerchantRow(Model):
    """A merchant, named by ``pos_merchant_id`` in field 42 of its terminals."""

    merchant_no = fields.CharField(max_length=_NAME, primary_key=True)
    name = fields.TextField()
    pos_merchant_id = fields.CharField(max_length=15, unique=True)
    created_at_ms = fields.BigIntField()
    disabled = fields.BooleanField()

    class Meta:
        table = "merchants"


class TerminalRow(Model):
    """A terminal and its sealed master key."""

    id = fields.BigIntField(primary_key=True, generated=True)
    merchant_no = fields.CharField(max_length=_NAME)
    terminal_id = fields.CharField(max_length=8)
    key_scheme = fields.CharField(max_length=16)
    mac = fields.CharField(max_length=16)
    allow_weak_pin = fields.BooleanField()
    tmk_sealed = fields.BinaryField()
    tmk_kcv = fields.CharField(max_length=16)
    created_at_ms = fields.BigIntField()
    disabled = fields.BooleanField()
    options_json = fields.CharField(max_length=_OPTIONS, db_default="{}")

    class Meta:
        table = "terminals"
        unique_together = (("merchant_no", "terminal_id"),)


class TerminalSessionRow(Model):
    """The sign-in state of a terminal, not of a connection."""

    id = fields.BigIntField(primary_key=True, generated=True)
    merchant_no = fields.CharField(max_length=_NAME)
    terminal_id = fields.CharField(max_length=8)
    version = fields.BigIntField()
    signed_in = fields.BooleanField()
    batch_no = fields.BigIntField()
    signed_in_at_ms = fields.BigIntField()
    keys_sealed = fields.BinaryField()
    previous_keys_sealed = fields.BinaryField()

    class Meta:
        table = "terminal_sessions"
        unique_together = (("merchant_no", "terminal_id"),)


class ApiKeyRow(Model):
    """An API key of a merchant."""

    key_id = fields.CharField(max_length=_NAME, primary_key=True)
    merchant_no = fields.CharField(max_length=_NAME)
    secret_sealed = fields.BinaryField()
    created_at_ms = fields.BigIntField()
    disabled = fields.BooleanField()

    class Meta:
        table = "api_keys"


class AccountRow(Model):
    """A channel account (an empty ``merchant_no`` serves every merchant)."""

    account_id = fields.CharField(max_length=_NAME, primary_key=True)
    channel = fields.CharField(max_length=_NAME)
    merchant_no = fields.CharField(max_length=_NAME)
    settings_json = fields.TextField()
    secrets_sealed = fields.BinaryField()
    created_at_ms = fields.BigIntField()
    disabled = fields.BooleanField()

    class Meta:
        table = "accounts"


class PaymentRow(Model):
    """An order (to ``till_deadline_ms``) and its standing (from ``status``)."""

    id = fields.CharField(max_length=_NAME, primary_key=True)
    merchant_no = fields.CharField(max_length=_NAME)
    door = fields.CharField(max_length=16)
    order_key = fields.CharField(max_length=_TEXT)
    fingerprint = fields.BinaryField()
    amount_fen = fields.BigIntField()
    currency = fields.CharField(max_length=3)
    subject = fields.TextField()
    method = fields.CharField(max_length=_NAME)
    channel = fields.CharField(max_length=_NAME)
    account_id = fields.CharField(max_length=_NAME)
    channel_order_no = fields.CharField(max_length=_NAME)
    terminal_id = fields.TextField()
    store_id = fields.TextField()
    notify_url = fields.TextField()
    pan_sealed = fields.BinaryField()
    pan_token = fields.BinaryField()
    metadata_json = fields.TextField()
    details_json = fields.TextField()
    created_at_ms = fields.BigIntField()
    till_deadline_ms = fields.BigIntField()
    status = fields.CharField(max_length=16)
    version = fields.BigIntField()
    channel_trade_no = fields.TextField()
    channel_reference = fields.TextField()
    paid_at_ms = fields.BigIntField()
    captured_fen = fields.BigIntField()
    returned_fen = fields.BigIntField()
    decline_reason = fields.CharField(max_length=32)
    decline_channel_code = fields.TextField()
    parked_reason = fields.TextField()
    refunding_fen = fields.BigIntField(db_default=0)
    notices = fields.BigIntField(db_default=0)
    card_organisation = fields.CharField(max_length=3, db_default="")

    class Meta:
        table = "payments"
        unique_together = (("merchant_no", "door", "order_key"),)


class AttemptRow(Model):
    """A try at a channel, under the number that the channel knows it by."""

    id = fields.BigIntField(primary_key=True, generated=True)
    payment_id = fields.CharField(max_length=_NAME)
    attempt_no = fields.BigIntField()
    channel = fields.CharField(max_length=_NAME)
    account_id = fields.CharField(max_length=_NAME)
    channel_order_no = fields.CharField(max_length=_NAME)

    class Meta:
        table = "attempts"
        unique_together = (("channel_order_no", "channel", "account_id"),)


class JobRow(Model):
    """Work that outlives a request, deleted once it is done.

    ``id`` is the kind and the subject (``settle:pay_…``), so that there is one job of a
    kind per subject. ``fence`` rises with every lease, so that a worker that slept
    through its lease can be told from the one that took over. ``lane`` is what it never
    waits beyond (``NO_LANE`` where none was given), ``tries`` counts the leases, and
    ``given_back`` says that nobody holds it until it is due.
    """

    id = fields.CharField(max_length=_TEXT, primary_key=True)
    kind = fields.CharField(max_length=16)
    subject = fields.CharField(max_length=_NAME)
    due_at_ms = fields.BigIntField()
    fence = fields.BigIntField()
    lane = fields.CharField(max_length=_LANE, db_default="-")
    tries = fields.BigIntField(db_default=0)
    given_back = fields.BooleanField(db_default=False)

    class Meta:
        table = "jobs"
        indexes = (("kind", "lane", "due_at_ms"),)


class PaymentEventRow(Model):
    """One line of a payment history, its ``sequence`` the version it made."""

    id = fields.BigIntField(primary_key=True, generated=True)
    payment_id = fields.CharField(max_length=_NAME)
    sequence = fields.BigIntField()
    event = fields.CharField(max_length=32)
    previous = fields.CharField(max_length=16)
    status = fields.CharField(max_length=16)
    at_ms = fields.BigIntField()

    class Meta:
        table = "payment_events"
        unique_together = (("payment_id", "sequence"),)


class PostingRow(Model):
    """One ledger line: the entry ``sequence`` of a payment, and ``line`` within it.

    ``payment_id`` is the entry's own id (``sequence`` 1) where it goes with no payment.
    ``entry`` is empty in a line of a release that did not write it.
    """

    id = fields.BigIntField(primary_key=True, generated=True)
    payment_id = fields.CharField(max_length=_NAME)
    sequence = fields.BigIntField()
    line = fields.BigIntField()
    account = fields.CharField(max_length=_TEXT)
    amount_fen = fields.BigIntField()
    currency = fields.CharField(max_length=3)
    at_ms = fields.BigIntField()
    entry = fields.CharField(max_length=16, db_default="")

    class Meta:
        table = "postings"
        unique_together = (("payment_id", "sequence", "line"),)


class LedgerEntryRow(Model):
    """Who posted an entry that goes with no payment, and why."""

    entry_id = fields.CharField(max_length=_NAME, primary_key=True)
    person = fields.TextField()
    why = fields.TextField()
    at_ms = fields.BigIntField()

    class Meta:
        table = "ledger_entries"


class RefundRow(Model):
    """A refund order (to ``created_at_ms``) and its standing (from ``status``)."""

    id = fields.CharField(max_length=_NAME, primary_key=True)
    payment_id = fields.CharField(max_length=_NAME)
    merchant_no = fields.CharField(max_length=_NAME)
    merchant_refund_no = fields.CharField(max_length=_NAME)
    fingerprint = fields.BinaryField()
    amount_fen = fields.BigIntField()
    currency = fields.CharField(max_length=3)
    reason = fields.TextField()
    channel = fields.CharField(max_length=_NAME)
    account_id = fields.CharField(max_length=_NAME)
    channel_refund_no = fields.CharField(max_length=_NAME)
    created_at_ms = fields.BigIntField()
    status = fields.CharField(max_length=16)
    version = fields.BigIntField()
    done_at_ms = fields.BigIntField()
    decline_reason = fields.CharField(max_length=32)
    decline_channel_code = fields.TextField()
    parked_reason = fields.TextField()

    class Meta:
        table = "refunds"
        unique_together = (
            ("merchant_no", "merchant_refund_no"),
            ("channel_refund_no", "channel", "account_id"),
        )
        indexes = (("payment_id",),)


class RefundEventRow(Model):
    """One line of a refund history, its ``sequence`` the version it made."""

    id = fields.BigIntField(primary_key=True, generated=True)
    refund_id = fields.CharField(max_length=_NAME)
    sequence = fields.BigIntField()
    event = fields.CharField(max_length=32)
    previous = fields.CharField(max_length=16)
    status = fields.CharField(max_length=16)
    at_ms = fields.BigIntField()

    class Meta:
        table = "refund_events"
        unique_together = (("refund_id", "sequence"),)


class CaseRow(Model):
    """A payment or a refund that waits, or waited, for a person."""

    case_id = fields.CharField(max_length=_NAME, primary_key=True)
    subject = fields.CharField(max_length=_NAME)
    merchant_no = fields.CharField(max_length=_NAME)
    reason = fields.TextField()
    opened_at_ms = fields.BigIntField()
    is_open = fields.BooleanField()

    class Meta:
        table = "cases"


class CaseDecisionRow(Model):
    """What a person decided about a case."""

    id = fields.BigIntField(primary_key=True, generated=True)
    case_id = fields.CharField(max_length=_NAME)
    number = fields.BigIntField()
    decision = fields.CharField(max_length=32)
    person = fields.TextField()
    why = fields.TextField()
    at_ms = fields.BigIntField()

    class Meta:
        table = "case_decisions"
        unique_together = (("case_id", "number"),)


class NoticeRow(Model):
    """A notification to a merchant, and what became of it (from ``state``)."""

    event_id = fields.CharField(max_length=_NAME, primary_key=True)
    merchant_no = fields.CharField(max_length=_NAME)
    payment_id = fields.CharField(max_length=_NAME)
    sequence = fields.BigIntField()
    type = fields.CharField(max_length=32)
    url = fields.TextField()
    endpoint = fields.CharField(max_length=_LANE)
    body = fields.BinaryField()
    created_at_ms = fields.BigIntField()
    state = fields.CharField(max_length=16)
    attempts = fields.BigIntField()
    last_error = fields.TextField()
    done_at_ms = fields.BigIntField()

    class Meta:
        table = "notices"
        unique_together = (("payment_id", "sequence"),)


class TerminalReplyRow(Model):
    """A reply as it went to a terminal, sealed, for identical repeats."""

    id = fields.BigIntField(primary_key=True, generated=True)
    merchant_no = fields.CharField(max_length=_NAME)
    key = fields.CharField(max_length=_TEXT)
    fingerprint = fields.BinaryField()
    reply_sealed = fields.BinaryField()
    created_at_ms = fields.BigIntField()

    class Meta:
        table = "terminal_replies"
        unique_together = (("merchant_no", "key"),)


class CompletionRow(Model):
    """Who took a hold: a completion, or the hold itself when it was released."""

    id = fields.BigIntField(primary_key=True, generated=True)
    hold_id = fields.CharField(max_length=_NAME)
    number = fields.BigIntField()
    payment_id = fields.CharField(max_length=_NAME)

    class Meta:
        table = "completions"
        unique_together = (("hold_id", "number"),)


class SequenceRow(Model):
    """The next free number of a named sequence."""

    name = fields.CharField(max_length=_TEXT, primary_key=True)
    next = fields.BigIntField()

    class Meta:
        table = "sequences"


class LinkKeysRow(Model):
    """A link's working keys, wrapped, and who fetches new ones."""

    name = fields.CharField(max_length=_TEXT, primary_key=True)
    version = fields.BigIntField()
    wrapped = fields.BinaryField()
    made_at_ms = fields.BigIntField()
    leased_until_ms = fields.BigIntField()
    leased_by = fields.CharField(max_length=64)

    class Meta:
        table = "link_keys"
