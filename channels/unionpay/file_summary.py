"""UnionPay's summary of a merchant's day (RD): what the detail beside it must add up to. Pure.

Rules (reference ``channels.md`` C2): GBK text; the first 总计 line has the count, then debit
and credit of amounts, fees and what is settled, in yuan. Debit is what we pay.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from channels.bill_archive import BillMember
from channels.bills import BillRefused
from domain.money import MoneyError, parse_yuan

_MAX_BYTES: Final = 1024 * 1024
_DAY: Final = re.compile(r"清算日期\s*[:：]\s*([0-9]{8})", re.ASCII)
_TOTAL: Final = "总计"
_COLUMNS: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class DaySums:
    """What a whole day adds up to, in fen; ``net`` is credit less debit."""

    count: int
    amount_debit: int
    amount_credit: int
    fee_debit: int
    fee_credit: int
    net: int


@dataclass(frozen=True, slots=True)
class DaySummary:
    """A summary as it was read."""

    day: date | None
    sums: DaySums


def read_summary(member: BillMember) -> DaySummary:
    """The totals that ``member`` states; raises :class:`BillRefused`."""
    with member.opened() as source:
        raw = source.read(_MAX_BYTES + 1)
    if len(raw) > _MAX_BYTES:
        raise BillRefused(member.name, 0, "the summary is too long")
    try:
        text = raw.decode("gb18030")
    except UnicodeDecodeError:
        raise BillRefused(member.name, 0, "the summary is not text in GBK") from None
    for line, words in _totals(text):
        try:
            fen = [parse_yuan(word.replace(",", "")) for word in words[2:]]
            count = int(words[1])
        except (MoneyError, ValueError):
            raise BillRefused(member.name, line, "its totals are not numbers") from None
        return DaySummary(_day(text), _sums(count, fen))
    raise BillRefused(member.name, 0, "the summary has no totals (总计)")


def _totals(text: str) -> Iterator[tuple[int, list[str]]]:
    for line, content in enumerate(text.splitlines(), 1):
        words = content.split()
        if words[:1] == [_TOTAL] and len(words) == _COLUMNS + 1:
            yield line, words


def _sums(count: int, fen: list[int]) -> DaySums:
    amount_debit, amount_credit, fee_debit, fee_credit, net_debit, net_credit = fen
    return DaySums(
        count=count,
        amount_debit=amount_debit,
        amount_credit=amount_credit,
        fee_debit=fee_debit,
        fee_credit=fee_credit,
        net=net_credit - net_debit,
    )


def _day(text: str) -> date | None:
    found = _DAY.search(text)
    if found is None:
        return None
    try:
        return datetime.strptime(found[1], "%Y%m%d").date()  # noqa: DTZ007  a date has no zone
    except ValueError:
        return None
