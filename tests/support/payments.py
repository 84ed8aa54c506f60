"""Invented payments and the changes that move them, for tests of the store and above."""

from domain.ledger import Posting, capture, channel_receivable, merchant_payable
from domain.payment import Event, Order, Standing, Status
from gateway.store.port import Advance, Claim, Notice, TerminalReply

MERCHANT = "m1"


def sample_order(number: int, **changes: object) -> Order:
    """The order number ``number``; equal numbers share key, id and channel number."""
    values: dict[str, object] = {
        "id": f"PAY{number:029d}",
        "merchant_no": MERCHANT,
        "door": "pos",
        "order_key": f"T1/1/{number}",
        "fingerprint": b"\x00\xff" * 16,
        "amount_fen": 1990,
        "currency": "CNY",
        "subject": '奶茶 "large" \\ {1,2} NULL',
        "method": "card",
        "channel": "unionpay_card",
        "account_id": "a1",
        "channel_order_no": f"CH{number:030d}",
        "terminal_id": "T0000001",
        "store_id": "",
        "notify_url": "",
        "pan_sealed": b"sealed\x00",
        "pan_token": b"",
        "metadata_json": '{"table": "7"}',
        "details_json": "{}",
        "created_at_ms": 1_000,
        "till_deadline_ms": 46_000,
    }
    return Order(**(values | changes))  # type: ignore[arg-type]


def sample_claim(
    number: int,
    *,
    due_at_ms: int | None = 5_000,
    reply: TerminalReply | None = None,
    **order: object,
) -> Claim:
    """A claim that submits order ``number``."""
    return Claim(
        order=sample_order(number, **order),
        standing=Standing(status=Status.SUBMITTED, version=1),
        event=Event.SUBMIT,
        due_at_ms=due_at_ms,
        reply=reply,
    )


def sample_shop_claim(number: int, **order: object) -> Claim:
    """A claim that submits order ``number``, made through the API for the store ``S1``."""
    values: dict[str, object] = {"door": "api", "store_id": "S1", "terminal_id": "", **order}
    return Claim(
        order=sample_order(number, **values),
        standing=Standing(status=Status.SUBMITTED, version=1),
        event=Event.SUBMIT,
        due_at_ms=5_000,
    )


def sample_postings(amount_fen: int = 1990) -> tuple[Posting, ...]:
    """The capture of a sample payment."""
    receivable = channel_receivable("unionpay_card", "a1")
    return capture(receivable, merchant_payable(MERCHANT), amount_fen, "CNY")


def sample_advance(
    number: int,
    *,
    version: int = 2,
    due_at_ms: int | None = None,
    reply: TerminalReply | None = None,
    trade_no: str = "",
    notice: Notice | None = None,
    is_told: bool = True,
) -> Advance:
    """The approval of order ``number``, with its capture; plain only where it is not told of."""
    return Advance(
        payment_id=f"PAY{number:029d}",
        merchant_no=MERCHANT,
        previous=Status.SUBMITTED,
        event=Event.PAID,
        standing=Standing(
            status=Status.SUCCEEDED,
            version=version,
            channel_trade_no=trade_no,
            paid_at_ms=2_000,
            captured_fen=1990,
        ),
        at_ms=2_500,
        due_at_ms=due_at_ms,
        account_id="a1",
        postings=sample_postings(),
        reply=reply,
        notice=notice,
        is_told=is_told,
    )


def sample_notice(number: int, *, sequence: int = 1, **changes: object) -> Notice:
    """What merchant ``m1`` is told about payment ``number``."""
    values: dict[str, object] = {
        "event_id": f"evt_{number:024d}{sequence:04d}",
        "merchant_no": MERCHANT,
        "payment_id": f"PAY{number:029d}",
        "sequence": sequence,
        "type": "payment.succeeded",
        "url": "https://shop.example/notify",
        "endpoint": "m1 shop.example",
        "body": b'{"type":"payment.succeeded"}',
        "created_at_ms": 2_500,
    }
    return Notice(**(values | changes))  # type: ignore[arg-type]


def sample_parking(number: int, *, version: int = 2, reason: str = "amount_mismatch") -> Advance:
    """Payment ``number`` set aside for a person."""
    return Advance(
        payment_id=f"PAY{number:029d}",
        merchant_no=MERCHANT,
        previous=Status.SUBMITTED,
        event=Event.PAID,
        standing=Standing(status=Status.UNKNOWN, version=version, parked_reason=reason),
        at_ms=2_500,
        due_at_ms=None,
        account_id="a1",
    )


def sample_reply(key: str) -> TerminalReply:
    """A kept reply."""
    return TerminalReply(
        merchant_no=MERCHANT,
        key=key,
        fingerprint=b"f" * 32,
        reply_sealed=b"\x00sealed reply\xff" * 100,
        created_at_ms=2_600,
    )
