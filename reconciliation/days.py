"""Business days of the channels: when one begins, and when its bill may be asked for.

Rules: a day is a Beijing day, whatever the machine's time zone, from a channel's own hour
to the same hour a day later; UnionPay's clearing day begins at 23:00 the evening before.
The table is data; an account's setting may move its hour. Source: reference ``channels.md``
A6, B3, C1, C2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Final

from domain.clock import BEIJING


@dataclass(frozen=True, slots=True)
class BusinessDay:
    """``begins_h`` hours after midnight (below zero: the evening before); bill ``due_h`` after."""

    begins_h: int
    due_h: int

    def start_ms(self, day: date) -> int:
        """The first ms of ``day``."""
        midnight = datetime(day.year, day.month, day.day, tzinfo=BEIJING)
        return int((midnight + timedelta(hours=self.begins_h)).timestamp()) * 1000

    def of(self, at_ms: int) -> date:
        """The day that ``at_ms`` belongs to."""
        local = datetime.fromtimestamp(at_ms // 1000, BEIJING)
        return (local - timedelta(hours=self.begins_h)).date()

    def due_ms(self, day: date) -> int:
        """From when on the day's bill may be asked for: on the day after, at ``due_h``."""
        after = day + timedelta(days=1)
        midnight = datetime(after.year, after.month, after.day, tzinfo=BEIJING)
        return int((midnight + timedelta(hours=self.due_h)).timestamp()) * 1000


DAYS: Final[Mapping[str, BusinessDay]] = MappingProxyType(
    {
        "alipay": BusinessDay(begins_h=0, due_h=9),
        "wechat": BusinessDay(begins_h=0, due_h=10),
        "unionpay_qr": BusinessDay(begins_h=-1, due_h=9),
        "unionpay_card": BusinessDay(begins_h=-1, due_h=9),
    }
)


def business_day(channel: str) -> BusinessDay:
    """The day of ``channel``; a channel that the table does not name has plain Beijing days."""
    return DAYS.get(channel, BusinessDay(begins_h=0, due_h=10))
