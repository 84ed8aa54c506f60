"""The first schema, as Tortoise generated it from ``models.py``."""

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name="AccountRow",
            fields=[
                (
                    "account_id",
                    fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64),
                ),
                ("channel", fields.CharField(max_length=64)),
                ("merchant_no", fields.CharField(max_length=64)),
                ("settings_json", fields.TextField(unique=False)),
                ("secrets_sealed", fields.BinaryField()),
                ("created_at_ms", fields.BigIntField()),
                ("disabled", fields.BooleanField()),
            ],
            options={
                "table": "accounts",
                "app": "posgate",
                "pk_attr": "account_id",
                "table_description": "A channel account (an empty ``merchant_no`` serves every merchant).",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="ApiKeyRow",
            fields=[
                (
                    "key_id",
                    fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64),
                ),
                ("merchant_no", fields.CharField(max_length=64)),
                ("secret_sealed", fields.BinaryField()),
                ("created_at_ms", fields.BigIntField()),
                ("disabled", fields.BooleanField()),
            ],
            options={
                "table": "api_keys",
                "app": "posgate",
                "pk_attr": "key_id",
                "table_description": "An API key of a merchant.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="AttemptRow",
            fields=[
                (
                    "id",
                    fields.BigIntField(
                        generated=True, primary_key=True, unique=True, db_index=True
                    ),
                ),
                ("payment_id", fields.CharField(max_length=64)),
                ("attempt_no", fields.BigIntField()),
                ("channel", fields.CharField(max_length=64)),
                ("account_id", fields.CharField(max_length=64)),
                ("channel_order_no", fields.CharField(max_length=64)),
            ],
            options={
                "table": "attempts",
                "app": "posgate",
                "unique_together": (("channel_order_no", "channel", "account_id"),),
                "pk_attr": "id",
                "table_description": "A try at a channel, under the number that the channel knows it by.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="JobRow",
            fields=[
                (
                    "id",
                    fields.CharField(primary_key=True, unique=True, db_index=True, max_length=255),
                ),
                ("kind", fields.CharField(max_length=16)),
                ("subject", fields.CharField(max_length=64)),
                ("due_at_ms", fields.BigIntField()),
                ("fence", fields.BigIntField()),
            ],
            options={
                "table": "jobs",
                "app": "posgate",
                "indexes": [Index(fields=["kind", "due_at_ms"])],
                "pk_attr": "id",
                "table_description": "Work that outlives a request, deleted once it is done.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="MerchantRow",
            fields=[
                (
                    "merchant_no",
                    fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64),
                ),
                ("name", fields.TextField(unique=False)),
                ("pos_merchant_id", fields.CharField(unique=True, max_length=15)),
                ("created_at_ms", fields.BigIntField()),
                ("disabled", fields.BooleanField()),
            ],
            options={
                "table": "merchants",
                "app": "posgate",
                "pk_attr": "merchant_no",
                "table_description": "A merchant, named by ``pos_merchant_id`` in field 42 of its terminals.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="PaymentEventRow",
            fields=[
                (
                    "id",
                    fields.BigIntField(
                        generated=True, primary_key=True, unique=True, db_index=True
                    ),
                ),
                ("payment_id", fields.CharField(max_length=64)),
                ("sequence", fields.BigIntField()),
                ("event", fields.CharField(max_length=32)),
                ("previous", fields.CharField(max_length=16)),
                ("status", fields.CharField(max_length=16)),
                ("at_ms", fields.BigIntField()),
            ],
            options={
                "table": "payment_events",
                "app": "posgate",
                "unique_together": (("payment_id", "sequence"),),
                "pk_attr": "id",
                "table_description": "One line of a payment history, its ``sequence`` the version it made.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="PaymentRow",
            fields=[
                (
                    "id",
                    fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64),
                ),
                ("merchant_no", fields.CharField(max_length=64)),
                ("door", fields.CharField(max_length=16)),
                ("order_key", fields.CharField(max_length=255)),
                ("fingerprint", fields.BinaryField()),
                ("amount_fen", fields.BigIntField()),
                ("currency", fields.CharField(max_length=3)),
                ("subject", fields.TextField(unique=False)),
                ("method", fields.CharField(max_length=64)),
                ("channel", fields.CharField(max_length=64)),
                ("account_id", fields.CharField(max_length=64)),
                ("channel_order_no", fields.CharField(max_length=64)),
                ("terminal_id", fields.TextField(unique=False)),
                ("store_id", fields.TextField(unique=False)),
                ("notify_url", fields.TextField(unique=False)),
                ("pan_sealed", fields.BinaryField()),
                ("pan_token", fields.BinaryField()),
                ("metadata_json", fields.TextField(unique=False)),
                ("details_json", fields.TextField(unique=False)),
                ("created_at_ms", fields.BigIntField()),
                ("till_deadline_ms", fields.BigIntField()),
                ("status", fields.CharField(max_length=16)),
                ("version", fields.BigIntField()),
                ("channel_trade_no", fields.TextField(unique=False)),
                ("channel_reference", fields.TextField(unique=False)),
                ("paid_at_ms", fields.BigIntField()),
                ("captured_fen", fields.BigIntField()),
                ("returned_fen", fields.BigIntField()),
                ("decline_reason", fields.CharField(max_length=32)),
                ("decline_channel_code", fields.TextField(unique=False)),
                ("parked_reason", fields.TextField(unique=False)),
            ],
            options={
                "table": "payments",
                "app": "posgate",
                "unique_together": (("merchant_no", "door", "order_key"),),
                "pk_attr": "id",
                "table_description": "An order (to ``till_deadline_ms``) and its standing (from ``status``).",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="PostingRow",
            fields=[
                (
                    "id",
                    fields.BigIntField(
                        generated=True, primary_key=True, unique=True, db_index=True
                    ),
                ),
                ("payment_id", fields.CharField(max_length=64)),
                ("sequence", fields.BigIntField()),
                ("line", fields.BigIntField()),
                ("account", fields.CharField(max_length=255)),
                ("amount_fen", fields.BigIntField()),
                ("currency", fields.CharField(max_length=3)),
                ("at_ms", fields.BigIntField()),
            ],
            options={
                "table": "postings",
                "app": "posgate",
                "unique_together": (("payment_id", "sequence", "line"),),
                "pk_attr": "id",
                "table_description": "One ledger line: the entry ``sequence`` of a payment, and ``line`` within it.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="SequenceRow",
            fields=[
                (
                    "name",
                    fields.CharField(primary_key=True, unique=True, db_index=True, max_length=255),
                ),
                ("next", fields.BigIntField()),
            ],
            options={
                "table": "sequences",
                "app": "posgate",
                "pk_attr": "name",
                "table_description": "The next free number of a named sequence.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="TerminalReplyRow",
            fields=[
                (
                    "id",
                    fields.BigIntField(
                        generated=True, primary_key=True, unique=True, db_index=True
                    ),
                ),
                ("merchant_no", fields.CharField(max_length=64)),
                ("key", fields.CharField(max_length=255)),
                ("fingerprint", fields.BinaryField()),
                ("reply_sealed", fields.BinaryField()),
                ("created_at_ms", fields.BigIntField()),
            ],
            options={
                "table": "terminal_replies",
                "app": "posgate",
                "unique_together": (("merchant_no", "key"),),
                "pk_attr": "id",
                "table_description": "A reply as it went to a terminal, sealed, for identical repeats.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="TerminalRow",
            fields=[
                (
                    "id",
                    fields.BigIntField(
                        generated=True, primary_key=True, unique=True, db_index=True
                    ),
                ),
                ("merchant_no", fields.CharField(max_length=64)),
                ("terminal_id", fields.CharField(max_length=8)),
                ("key_scheme", fields.CharField(max_length=16)),
                ("mac", fields.CharField(max_length=16)),
                ("allow_weak_pin", fields.BooleanField()),
                ("tmk_sealed", fields.BinaryField()),
                ("tmk_kcv", fields.CharField(max_length=16)),
                ("created_at_ms", fields.BigIntField()),
                ("disabled", fields.BooleanField()),
            ],
            options={
                "table": "terminals",
                "app": "posgate",
                "unique_together": (("merchant_no", "terminal_id"),),
                "pk_attr": "id",
                "table_description": "A terminal and its sealed master key.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="TerminalSessionRow",
            fields=[
                (
                    "id",
                    fields.BigIntField(
                        generated=True, primary_key=True, unique=True, db_index=True
                    ),
                ),
                ("merchant_no", fields.CharField(max_length=64)),
                ("terminal_id", fields.CharField(max_length=8)),
                ("version", fields.BigIntField()),
                ("signed_in", fields.BooleanField()),
                ("batch_no", fields.BigIntField()),
                ("signed_in_at_ms", fields.BigIntField()),
                ("keys_sealed", fields.BinaryField()),
                ("previous_keys_sealed", fields.BinaryField()),
            ],
            options={
                "table": "terminal_sessions",
                "app": "posgate",
                "unique_together": (("merchant_no", "terminal_id"),),
                "pk_attr": "id",
                "table_description": "The sign-in state of a terminal, not of a connection.",
            },
            bases=["Model"],
        ),
    ]
