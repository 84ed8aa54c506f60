"""WeChat Pay's flow of funds of a day: what came into an account and what left it.

Rules (reference ``channels.md`` B3): a row is 收入 or 支出, its amount is never below zero.
业务类型 says what for: 交易 is a payment and 退款 a refund, under our number (业务凭证号);
fees are summed; whatever else moves the account (withdrawals …) is counted as a line and in
the sums at the end alone. Both counts and both sums are compared.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from channels.bill_archive import BillMember
from channels.bill_columns import Unfit, beijing_ms, demand, literal, named, total
from channels.bill_rows import BATCH_ROWS, BILL_SCHEMA
from channels.bill_sums import BillSums
from channels.bill_text import Block
from channels.bills import BillKind, BillTotals
from channels.wechat.bill_frame import Frame
from channels.wechat.bill_money import FEN, count_of, fen_of, sum_mfen
from domain.money import CNY

TIME: Final = "记账时间"
_THEIR_NO, _TYPE, _DIRECTION = "微信支付业务单号", "业务类型", "收支类型"
_AMOUNT, _OUR_NO = "收支金额(元)", "业务凭证号"
_NEEDED: Final = (TIME, _THEIR_NO, _TYPE, _DIRECTION, _AMOUNT, _OUR_NO)
_IN, _OUT = "收入", "支出"
_KINDS: Final = {"交易": (BillKind.PAYMENT, _IN), "退款": (BillKind.REFUND, _OUT)}
_FEE_WORD: Final = "手续费"
_COUNTS: Final = {"资金流水总笔数": (_IN, _OUT), "收入笔数": (_IN,), "支出笔数": (_OUT,)}
_SUMS: Final = {"收入金额": _IN, "支出金额": _OUT}


class FundFlowReader:
    """One file of an account's flow of funds."""

    def __init__(self, member: BillMember, day: date | None) -> None:
        """Raises :class:`BillRefused` where the header is not this file's."""
        self._frame = Frame(member, _NEEDED, ())
        self._day = f"{day:%Y-%m-%d}" if day else ""
        self._reset()

    def _reset(self) -> None:
        self._sums = BillSums()
        self._counts = {_IN: 0, _OUT: 0}
        self._fen = {_IN: 0, _OUT: 0}
        self._fee_fen = 0
        self._agrees = False

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Batches of payments and refunds; right only when they all came."""
        self._reset()
        for block in self._frame.rows():
            try:
                table = self._read(block)
            except Unfit as unfit:
                raise self._frame.refused(block.first_line + unfit.row, unfit.why) from None
            for batch in table.to_batches(max_chunksize=BATCH_ROWS):
                self._sums.add(batch)
                yield batch
        self._compare()

    def totals(self) -> BillTotals:
        """The sums of every row; ``lines`` counts those that are neither kind, too."""
        if not self._agrees:
            raise RuntimeError("the bill is not read to its end")
        found = self._sums.totals(footer_agrees=True)
        return BillTotals(
            lines=sum(self._counts.values()),
            payments=found.payments,
            payments_fen=found.payments_fen,
            refunds=found.refunds,
            refunds_fen=found.refunds_fen,
            fee_mfen=self._fee_fen * FEN,
            footer_agrees=True,
        )

    def _read(self, block: Block) -> pa.Table:
        texts = self._frame.columns(block)
        fen = fen_of(texts[_AMOUNT], _AMOUNT)
        demand(pc.greater_equal(fen, literal(0)), f"{_AMOUNT} is below zero")
        came = pc.equal(texts[_DIRECTION], literal(_IN))
        left = pc.equal(texts[_DIRECTION], literal(_OUT))
        demand(pc.or_(came, left), f"{_DIRECTION} is neither {_IN} nor {_OUT}")
        for word, mask in ((_IN, came), (_OUT, left)):
            self._counts[word] += total(pc.cast(mask, pa.int64()))
            self._fen[word] += total(pc.if_else(mask, fen, literal(0)))
        if self._day:
            demand(pc.starts_with(texts[TIME], self._day), f"it is not of {self._day}")
        is_fee = pc.match_substring(texts[_TYPE], _FEE_WORD)
        signed = pc.if_else(left, fen, pc.negate(fen))
        self._fee_fen += total(pc.if_else(is_fee, signed, literal(0)))
        tables = [
            self._of_kind(word, texts, fen, {_IN: came, _OUT: left}, block) for word in _KINDS
        ]
        return pa.concat_tables(tables).sort_by("line")

    def _of_kind(
        self,
        word: str,
        texts: Mapping[str, Any],
        fen: Any,
        directions: Mapping[str, Any],
        block: Block,
    ) -> pa.Table:
        kind, direction = _KINDS[word]
        mask = pc.equal(texts[_TYPE], literal(word))
        demand(
            pc.or_(pc.invert(mask), directions[direction]), f"{word} and {_DIRECTION} do not fit"
        )
        rows = pc.indices_nonzero(mask)
        none, count = pa.repeat(literal(""), len(rows)), len(rows)
        our_no = named(texts[_OUR_NO], _OUR_NO).take(rows)
        is_payment = kind is BillKind.PAYMENT
        return pa.table(
            [
                pa.repeat(literal(kind.value), count),
                our_no if is_payment else none,
                none if is_payment else our_no,
                named(texts[_THEIR_NO], _THEIR_NO).take(rows),
                none,
                fen.take(rows),
                pa.repeat(literal(0), count),
                pa.repeat(literal(CNY), count),
                beijing_ms(texts[TIME].take(rows), TIME),
                pc.add(pc.cast(rows, pa.int64()), literal(block.first_line)),
            ],
            schema=BILL_SCHEMA,
        )

    def _compare(self) -> None:
        line, sums = self._frame.sums()
        for name, directions in _COUNTS.items():
            if count_of(sums.get(name, "")) != sum(self._counts[one] for one in directions):
                raise self._frame.refused(line, f"{name} is not the count of the rows")
        for name, direction in _SUMS.items():
            if sum_mfen(sums.get(name, "")) != self._fen[direction] * FEN:
                raise self._frame.refused(line, f"{name} is not the sum of the rows")
        self._agrees = True
