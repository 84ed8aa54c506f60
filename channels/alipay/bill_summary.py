"""Alipay's summary file (业务汇总): a row for each store and one for all.

Rules (reference ``channels.md`` A6; not confirmed on a live file, point H5): the last row,
``合计``, must be the sum of the others, column by column; it carries the counts of payments
and refunds, and an amount that nets them. It yields no rows of a bill: it names no payment.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Final

import pyarrow as pa

from channels.alipay.bill_words import encoding_of, is_about
from channels.bill_archive import BillMember
from channels.bill_columns import Unfit
from channels.bill_table import cells, shape_of
from channels.bill_text import blocks
from channels.bills import BillRefused, BillTotals
from domain.money import MoneyError, parse_yuan

SUMMARY_MARK: Final = "业务汇总列表"
_END: Final = "业务汇总列表结束"
_ALL: Final = "合计"
_STORE, _PAYMENTS, _REFUNDS = "门店编号", "交易订单总笔数", "退款订单总笔数"
_AMOUNT, _FEE = "订单金额(元)", "服务费(元)"
_NEEDED: Final = (_STORE, _PAYMENTS, _REFUNDS, _AMOUNT, _FEE)
_TEXTS: Final = frozenset((_STORE, "门店名称"))
_FEN_TO_MFEN: Final = 1000


class SummaryReader:
    """One summary file: iterate it to its end, then ask for its totals."""

    def __init__(self, member: BillMember, day: date | None) -> None:
        self._member = member
        self._day = day
        self._reset()

    def _reset(self) -> None:
        self._names: tuple[str, ...] = ()
        self._sums: dict[str, int] = {}
        self._stores = 0
        self._total_line = 0
        self._begun = self._ended = self._read = False
        self._line = 0
        self._encoding = ""

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Nothing: a summary names no payment. Raises :class:`BillRefused`."""
        self._reset()
        self._encoding, mark_bytes = encoding_of(self._member)
        with self._member.opened() as source:
            source.skip(mark_bytes)
            for block in blocks(source):
                for line, text in block.texts(self._encoding, source.name):
                    if text:
                        self._line = line
                        self._take(text)
        if not self._ended:
            raise self._refused("the end mark is missing: the file is cut")
        if not self._total_line and self._stores:
            raise self._refused(f"the row {_ALL} is missing")
        self._read = True
        yield from ()

    def totals(self) -> BillTotals:
        """The sums of all stores; ``payments_fen`` is 订单金额 as the file nets it."""
        if not self._read:
            raise RuntimeError("the bill is not read to its end")
        found = self._sums.get
        return BillTotals(
            lines=self._stores,
            payments=found(_PAYMENTS, 0),
            payments_fen=found(_AMOUNT, 0),
            refunds=found(_REFUNDS, 0),
            refunds_fen=0,
            fee_mfen=abs(found(_FEE, 0)) * _FEN_TO_MFEN,
            footer_agrees=True,
        )

    def refused_total(self, why: str) -> BillRefused:
        """To refuse the row of all stores."""
        return BillRefused(self._member.name, self._total_line, why)

    def _take(self, text: str) -> None:
        if text.startswith("#"):
            self._begun = self._begun or SUMMARY_MARK in text
            self._ended = self._ended or _END in text
            if self._day is not None and is_about(text, self._day) is False:
                raise self._refused(f"it is not about {self._day}")
        elif self._ended or not self._begun or self._total_line:
            raise self._refused("a row stands outside of the list")
        elif not self._names:
            try:
                self._names = shape_of(cells(text), _NEEDED, self._encoding).names
            except Unfit as unfit:
                raise self._refused(unfit.why) from None
        else:
            self._take_row(text)

    def _take_row(self, text: str) -> None:
        try:
            values = [value.strip() for value in cells(text)]
        except Unfit as unfit:
            raise self._refused(unfit.why) from None
        if len(values) != len(self._names):
            raise self._refused(f"it has {len(values)} columns, the header has {len(self._names)}")
        row = dict(zip(self._names, values, strict=True))
        numbers = self._numbers(row)
        if _ALL in (row[_STORE], values[0]):
            self._total_line = self._line
            for name, number in numbers.items():
                if number != self._sums.get(name, 0):
                    raise self._refused(f"{name} is not the sum of the rows")
            return
        self._stores += 1
        for name, number in numbers.items():
            self._sums[name] = self._sums.get(name, 0) + number

    def _numbers(self, row: Mapping[str, str]) -> dict[str, int]:
        """Counts as they are, amounts in fen."""
        numbers = {}
        for name, text in row.items():
            if name in _TEXTS:
                continue
            try:
                is_count = name.endswith("笔数")
                numbers[name] = int(text) if is_count and text.isdecimal() else parse_yuan(text)
            except MoneyError:
                raise self._refused(f"{name} is not a number") from None
        return numbers

    def _refused(self, why: str) -> BillRefused:
        return BillRefused(self._member.name, self._line, why)
