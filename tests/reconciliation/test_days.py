"""Business days: Beijing's, by the channel's own hour, whatever the machine thinks."""

import time
from datetime import UTC, date, datetime

import pytest

from reconciliation.days import BusinessDay, business_day


def ms(text: str) -> int:
    """An instant with its offset as UTC ms."""
    return int(datetime.fromisoformat(text).astimezone(UTC).timestamp()) * 1000


@pytest.mark.parametrize(
    ("channel", "at", "day"),
    [
        ("alipay", "2026-01-01T00:00:00+08:00", date(2026, 1, 1)),
        ("alipay", "2025-12-31T23:59:59+08:00", date(2025, 12, 31)),
        ("wechat", "2025-12-31T16:00:00+00:00", date(2026, 1, 1)),
        ("unionpay_qr", "2025-12-31T22:59:59+08:00", date(2025, 12, 31)),
        ("unionpay_qr", "2025-12-31T23:00:00+08:00", date(2026, 1, 1)),
        ("unionpay_card", "2024-02-28T23:00:00+08:00", date(2024, 2, 29)),
        ("unionpay_card", "2024-02-29T23:00:00+08:00", date(2024, 3, 1)),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Auckland"])
def test_a_day_is_beijings(
    channel: str, at: str, day: date, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        kind = business_day(channel)
        assert kind.of(ms(at)) == day
        assert kind.of(kind.start_ms(day)) == day
        assert kind.of(kind.start_ms(day) - 1) != day
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("channel", "due"), [("alipay", "09:00"), ("wechat", "10:00"), ("unionpay_qr", "09:00")]
)
def test_a_bill_is_due_on_the_next_morning(channel: str, due: str) -> None:
    assert business_day(channel).due_ms(date(2026, 2, 28)) == ms(f"2026-03-01T{due}:00+08:00")


def test_a_channel_that_nobody_listed_has_plain_days() -> None:
    assert business_day("new") == BusinessDay(begins_h=0, due_h=10)
