"""Alipay's bill of a day: which file of the delivered zip is which, and who reads it.

Rules: a file is known by its own words (``业务明细列表``, ``业务汇总列表``), never by its
name; a delivery has the detail once, and where the summary lies beside it, the two must
agree. The summary alone has no payments, and is not taken for the bill.

Reference ``channels.md`` A6.
"""

from datetime import date
from pathlib import Path
from typing import Final

from channels.alipay.bill_detail import DETAIL_MARK, DetailReader
from channels.alipay.bill_summary import SUMMARY_MARK, SummaryReader
from channels.alipay.bill_words import encoding_of, head_of
from channels.bill_archive import BillMember, members_of
from channels.bill_rows import BillFormat, BillReader
from channels.bills import BillRefused

TRADE: Final = "trade"
SUMMARY: Final = "summary"


class AlipayBills:
    """How Alipay's files are read."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The bill itself, and the summary by store that lies beside it."""
        return (TRADE, SUMMARY)

    def kind_of(self, path: Path) -> str:
        """By the marks in it; a zip with both is the bill."""
        details, summaries = _sorted_out(path)
        if not details and not summaries:
            raise BillRefused(path.name, 0, "it is no bill of Alipay's")
        return TRADE if details else SUMMARY

    def open(self, kind: str, path: Path, day: date | None = None) -> BillReader:
        """The reader of ``kind``; a ``day`` must be one that the file is about."""
        details, summaries = _sorted_out(path)
        if kind == SUMMARY:
            return SummaryReader(_only(summaries, path, "summary (业务汇总)"), day)
        if kind != TRADE:
            raise BillRefused(path.name, 0, f"Alipay has no bill of the kind {kind!r}")
        beside = _only(summaries, path, "summary (业务汇总)") if summaries else None
        detail = _only(details, path, "detail (业务明细)")
        return DetailReader(detail, day, SummaryReader(beside, day) if beside else None)


def _sorted_out(path: Path) -> tuple[list[BillMember], list[BillMember]]:
    """The details and the summaries in what was delivered; anything else is not looked at."""
    details, summaries = [], []
    for member in members_of(path):
        head, (encoding, _) = head_of(member), encoding_of(member)
        if DETAIL_MARK.encode(encoding) in head:
            details.append(member)
        elif SUMMARY_MARK.encode(encoding) in head:
            summaries.append(member)
    return details, summaries


def _only(found: list[BillMember], path: Path, what: str) -> BillMember:
    if len(found) == 1:
        return found[0]
    raise BillRefused(
        path.name, 0, f"it has more than one {what}" if found else f"it has no {what}"
    )


BILLS: Final[BillFormat] = AlipayBills()
