"""Alipay's detail file (业务明细): every payment and every refund of a day.

Rules (reference ``channels.md`` A6):

* Comments, a mark, the header, rows, the end mark, two lines of sums. A file without its
  end mark or one of the sums is cut; the sums' counts and amounts are compared.
* A payment's amounts are not below zero and a refund's not above: a sign that does not
  fit its 业务类型 is an altered row. What the service costs is billed with either sign;
  it costs us for a payment and comes back for a refund.
* 订单金额 is what our order asked for. The sums are of 商家实收, so the two are held
  together row by row: what they differ by is at most what the row says was given away.
* Rows are read a block at a time by Arrow; Python sees only comments and faults.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from channels.alipay.bill_summary import SummaryReader
from channels.alipay.bill_words import encoding_of, is_about
from channels.bill_archive import BillMember
from channels.bill_columns import (
    Unfit,
    beijing_ms,
    demand,
    literal,
    named,
    scaled,
    total,
    trimmed,
)
from channels.bill_rows import BATCH_ROWS, BILL_SCHEMA
from channels.bill_sums import BillSums
from channels.bill_table import Rows, TableShape, cells, read_rows, shape_of
from channels.bill_text import Block, blocks, decoded
from channels.bills import BillKind, BillRefused, BillTotals
from domain.money import CNY, MoneyError, parse_yuan

DETAIL_MARK: Final = "业务明细列表"
_END: Final = "业务明细列表结束"
_TRADE_NO, _ORDER_NO, _KIND, _DONE_AT = "支付宝交易号", "商户订单号", "业务类型", "完成时间"
_AMOUNT, _RECEIVED, _DISCOUNT = "订单金额(元)", "商家实收(元)", "商家优惠(元)"
_REFUND_NO, _FEE = "退款批次号/请求号", "服务费(元)"
_NEEDED: Final = (
    _TRADE_NO, _ORDER_NO, _KIND, _DONE_AT, _AMOUNT, _RECEIVED, _DISCOUNT, _REFUND_NO, _FEE,
)  # fmt: skip
_GIVEN: Final = tuple(
    f"{name}(元)"
    for name in (
        "支付宝红包",
        "集分宝",
        "支付宝优惠",
        "券核销金额",
        "商家红包消费金额",
        "卡消费金额",
    )
)
"""What, beside 商家优惠, may make 商家实收 less than 订单金额."""
_KINDS: Final = {"交易": BillKind.PAYMENT, "退款": BillKind.REFUND}
_SUMS_LINE: Final = re.compile(
    r"#\s*#?(交易|退款)合计[：:]\s*([0-9]{1,12})\s*笔[，,](.*)", re.ASCII
)
_SUM: Final = re.compile(r"([^，,：:]+?)共\s*(-?[0-9.]+)\s*元", re.ASCII)
_SUM_COLUMNS: Final = {"商家实收": _RECEIVED, "商家优惠": _DISCOUNT, "交易金额": _AMOUNT}
"""The words of the sums, without the 退款 that those of refunds have in them."""
_FEN_TO_MFEN: Final = 1000


class _Footer:
    """Counts and sums of the rows, by kind, as the file's own sums name them."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(_KINDS, 0)
        self._fen = {(word, name): 0 for word in _KINDS for name in _SUM_COLUMNS.values()}
        self.seen: set[str] = set()
        self.paid_fee_mfen = 0

    def add(self, masks: Mapping[str, Any], fen: Mapping[str, Any], fees_mfen: Any) -> None:
        self.paid_fee_mfen += total(pc.if_else(masks["交易"], fees_mfen, literal(0)))
        for word, mask in masks.items():
            self._counts[word] += total(pc.cast(mask, pa.int64()))
            for name, column in fen.items():
                self._fen[word, name] += total(pc.if_else(mask, column, literal(0)))

    def net_fen(self) -> int:
        """Payments less refunds."""
        return sum(self._fen[word, _AMOUNT] for word in _KINDS)

    def compare(self, line: str) -> str:
        """What is wrong with a line of sums; ``""``: nothing, or it is none."""
        found = _SUMS_LINE.match(line)
        if found is None:
            return ""
        word, count, rest = found.groups()
        if int(count) != self._counts[word]:
            return f"it counts {count} of {word}, the rows are {self._counts[word]}"
        sums = [(_SUM_COLUMNS.get(w.strip().replace("退款", "")), t) for w, t in _SUM.findall(rest)]
        known = [(name, text) for name, text in sums if name is not None]
        if not known:
            return f"it has no sum of {word} that we know"
        for name, text in known:
            try:
                agrees = parse_yuan(text) == self._fen[word, name]
            except MoneyError:
                agrees = False
            if not agrees:
                return f"its sum of {word}, {name}, is not that of the rows"
        self.seen.add(word)
        return ""


class DetailReader:
    """One detail file; where the summary lies beside it, it is compared at the end."""

    def __init__(
        self, member: BillMember, day: date | None, beside: SummaryReader | None = None
    ) -> None:
        self._member = member
        self._day = day
        self._beside = beside
        self._reset()

    def _reset(self) -> None:
        self._sums = BillSums()
        self._footer = _Footer()
        self._shape: TableShape | None = None
        self._begun = self._ended = self._agrees = False
        self._last_line = 0
        self._encoding = ""

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Batches of the rows; the file is whole and right only when they all came."""
        self._reset()
        self._encoding, mark_bytes = encoding_of(self._member)
        with self._member.opened() as source:
            source.skip(mark_bytes)
            for block in blocks(source):
                self._last_line = block.last_line
                yield from self._take(block)
        self._finish()

    def totals(self) -> BillTotals:
        """The sums of every row."""
        if not self._agrees:
            raise RuntimeError("the bill is not read to its end")
        return self._sums.totals(footer_agrees=True)

    def _take(self, block: Block) -> Iterator[pa.RecordBatch]:
        if self._shape is None and not self._ended:
            block = self._read_head(block)
        if self._shape is not None and not self._ended:
            end = _end_of_rows(block.data, _END.encode(self._encoding))
            self._ended = end >= 0
            rows, block = block.cut(end if self._ended else len(block.data))
            if rows.data:
                yield from self._rows(rows, self._shape)
        if self._ended:
            self._read_tail(block)

    def _read_head(self, block: Block) -> Block:
        """Go through comments and header; what is left begins with the first row or the end."""
        at = 0
        while at < len(block.data) and self._shape is None:
            end = block.data.find(b"\n", at) + 1 or len(block.data)
            line = block.first_line + block.data.count(b"\n", 0, at)
            raw = block.data[at:end]
            text = decoded(raw, self._encoding, self._member.name, line).strip()
            if text.startswith("#"):
                if _END in text:
                    self._ended = True
                    break
                self._read_comment(text, line)
            elif text:
                if not self._begun:
                    raise self._refused(line, "a row stands before the mark of the list")
                self._shape = self._read_header(text, line)
            at = end
        return block.cut(at)[1]

    def _read_comment(self, text: str, line: int) -> None:
        self._begun = self._begun or DETAIL_MARK in text
        if self._day is not None and is_about(text, self._day) is False:
            raise self._refused(line, f"it is not about {self._day}")

    def _read_header(self, text: str, line: int) -> TableShape:
        try:
            return shape_of(cells(text), _NEEDED, self._encoding, optional=_GIVEN)
        except Unfit as unfit:
            raise self._refused(line, unfit.why) from None

    def _rows(self, block: Block, shape: TableShape) -> Iterator[pa.RecordBatch]:
        try:
            batch = self._typed(read_rows(block, shape), block.first_line)
        except Unfit as unfit:
            raise self._refused(block.first_line + unfit.row, unfit.why) from None
        self._sums.add(batch)
        for start in range(0, batch.num_rows, BATCH_ROWS):
            yield batch.slice(start, BATCH_ROWS)

    def _typed(self, rows: Rows, first_line: int) -> pa.RecordBatch:
        texts = {name: trimmed(rows[name]) for name in _NEEDED}
        masks = {word: pc.equal(texts[_KIND], literal(word)) for word in _KINDS}
        paid, returned = masks["交易"], masks["退款"]
        demand(pc.or_(paid, returned), "its 业务类型 is neither 交易 nor 退款")
        demand(pc.not_equal(texts[_TRADE_NO], literal("")), f"{_TRADE_NO} is empty")
        fen = {name: scaled(texts[name], 2, name) for name in _SUM_COLUMNS.values()}
        zero = literal(0)
        for name in (_AMOUNT, _RECEIVED):
            is_above, is_below = pc.greater(fen[name], zero), pc.less(fen[name], zero)
            demand(
                pc.invert(pc.if_else(paid, is_below, is_above)),
                f"{name} has the sign of another 业务类型",
            )
        _hold_together(fen, rows)
        fees = pc.multiply(pc.abs(scaled(texts[_FEE], 2, _FEE)), literal(_FEN_TO_MFEN))
        self._footer.add(masks, fen, fees)
        count = len(paid)
        return pa.RecordBatch.from_arrays(
            [
                pc.if_else(paid, literal(BillKind.PAYMENT.value), literal(BillKind.REFUND.value)),
                named(texts[_ORDER_NO], _ORDER_NO),
                pc.if_else(paid, literal(""), named(texts[_REFUND_NO], _REFUND_NO)),
                named(texts[_TRADE_NO], _TRADE_NO),
                pa.repeat(literal(""), count),
                pc.abs(fen[_AMOUNT]),
                pc.if_else(paid, fees, pc.negate(fees)),
                pa.repeat(literal(CNY), count),
                beijing_ms(texts[_DONE_AT], _DONE_AT),
                pa.array(range(first_line, first_line + count), pa.int64()),
            ],
            schema=BILL_SCHEMA,
        )

    def _read_tail(self, block: Block) -> None:
        for line, text in block.texts(self._encoding, self._member.name):
            if text and not text.startswith("#"):
                raise self._refused(line, "a row stands after the end mark")
            wrong = self._footer.compare(text)
            if wrong:
                raise self._refused(line, wrong)

    def _finish(self) -> None:
        if not self._begun:
            raise self._refused(self._last_line, "the mark of the list is missing")
        if not self._ended:
            raise self._refused(self._last_line, "the end mark is missing: the file is cut")
        for word in _KINDS:
            if word not in self._footer.seen:
                raise self._refused(self._last_line, f"the sum of {word} is missing: it is cut")
        if self._beside is not None:
            self._compare(self._beside)
        self._agrees = True

    def _compare(self, beside: SummaryReader) -> None:
        """The summary's grand total against the rows; amount and fee: net, or of payments alone."""
        for _ in beside:
            pass
        sums, whole = self._sums.totals(footer_agrees=True), beside.totals()
        if (sums.payments, sums.refunds) != (whole.payments, whole.refunds):
            raise beside.refused_total("its counts are not those of the detail")
        if whole.payments_fen not in (self._footer.net_fen(), sums.payments_fen):
            raise beside.refused_total("its amount is not that of the detail")
        if whole.fee_mfen not in (abs(sums.fee_mfen), self._footer.paid_fee_mfen):
            raise beside.refused_total("its fee is not that of the detail")

    def _refused(self, line: int, why: str) -> BillRefused:
        return BillRefused(self._member.name, line, why)


def _hold_together(fen: Mapping[str, Any], rows: Rows) -> None:
    """Raise :class:`Unfit` where 商家实收 is not 订单金额 less what the row gives away."""
    missing = pc.subtract(pc.abs(fen[_AMOUNT]), pc.abs(fen[_RECEIVED]))
    differs = pc.not_equal(missing, literal(0))
    if not pc.any(differs).as_py():
        return
    places = pc.indices_nonzero(differs)
    missing, given = missing.take(places), pc.abs(fen[_DISCOUNT]).take(places)
    try:
        for name in (name for name in _GIVEN if name in rows):
            amounts = scaled(trimmed(rows[name].take(places)), 2, name)
            given = pc.add(given, pc.abs(amounts))
        fits = pc.and_(pc.greater(missing, literal(0)), pc.less_equal(missing, given))
        demand(fits, f"{_RECEIVED} does not go with {_AMOUNT}")
    except Unfit as unfit:
        raise Unfit(places[unfit.row].as_py(), unfit.why) from None


def _end_of_rows(data: bytes, mark: bytes) -> int:
    """Where the line with the end mark begins, -1 where it is not in these lines."""
    at = data.find(mark)
    while at >= 0:
        start = data.rfind(b"\n", 0, at) + 1
        if data.startswith(b"#", start):  # and not a product of that name
            return start
        at = data.find(mark, at + len(mark))
    return -1
