"""WeChat Pay's bill of a day's trades: ALL, SUCCESS or REFUND, of any year's columns.

Rules (reference ``channels.md`` B3, hole 14):

* Columns by name: 27 of ALL, 20 of SUCCESS (no refunds), 24 of old files (总金额).
* A row says what it is by 交易状态: SUCCESS a payment; REFUND a refund; REVOKED a code's
  payment that was taken back, which is a refund without a number of ours. Anything else
  refuses the file.
* The order's amount is 订单金额, the refund's 申请退款金额: what was asked for, before
  vouchers. Old files have 总金额 and 退款金额 alone.
* Every sum at the end whose column we know is compared, and the count of rows.
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
from channels.wechat.bill_money import FEN, count_of, fen_of, mfen_of, sum_mfen

TIME: Final = "交易时间"
_TRADE_NO, _ORDER_NO, _STATE, _CURRENCY = "微信订单号", "商户订单号", "交易状态", "货币种类"
_FEE, _REFUND_NO, _REFUND_STATE = "手续费", "商户退款单号", "退款状态"
_ORDER, _SETTLED, _OLD_ORDER = "订单金额", "应结订单金额", "总金额"
_ASKED_BACK, _BACK, _COUPON_BACK = "申请退款金额", "退款金额", "充值券退款金额"
_NEEDED: Final = (TIME, _TRADE_NO, _ORDER_NO, _STATE, _CURRENCY, _FEE)
_OPTIONAL: Final = (
    _ORDER, _SETTLED, _OLD_ORDER, _ASKED_BACK, _BACK, _COUPON_BACK, _REFUND_NO, _REFUND_STATE,
)  # fmt: skip
_KINDS: Final = {
    "SUCCESS": BillKind.PAYMENT,
    "REFUND": BillKind.REFUND,
    "REVOKED": BillKind.REFUND,
}
_STATES: Final = pa.array(list(_KINDS))
_COUNT: Final = "总交易单数"
_SUMS: Final[Mapping[str, str]] = {
    "应结订单总金额": _SETTLED,
    "总交易额": _OLD_ORDER,
    "退款总金额": _BACK,
    "总退款金额": _BACK,
    "充值券退款总金额": _COUPON_BACK,
    "手续费总金额": _FEE,
    "订单总金额": _ORDER,
    "申请退款总金额": _ASKED_BACK,
}
_NONE: Final = "0"
"""What a payment's row has where a refund's number would be."""


class TradeReader:
    """One file of trades."""

    def __init__(self, member: BillMember, day: date | None) -> None:
        """Raises :class:`BillRefused` where the header is none of these bills'."""
        self._frame = Frame(member, _NEEDED, _OPTIONAL)
        kept = self._frame.shape.needed
        self._order = next((name for name in (_ORDER, _OLD_ORDER, _SETTLED) if name in kept), "")
        self._back = next((name for name in (_ASKED_BACK, _BACK) if name in kept), "")
        if not self._order:
            raise self._frame.refused(1, "the header has no amount of the order")
        self._day = f"{day:%Y-%m-%d}" if day else ""
        self._reset()

    def _reset(self) -> None:
        self._sums = BillSums()
        self._lines = 0
        self._mfen = dict.fromkeys(_SUMS.values(), 0)
        self._agrees = False

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Batches of the rows; the file is whole and right only when they all came."""
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
        """The sums of every row."""
        if not self._agrees:
            raise RuntimeError("the bill is not read to its end")
        return self._sums.totals(footer_agrees=True)

    def _read(self, block: Block) -> pa.Table:
        texts = self._frame.columns(block)
        rows = len(texts[_STATE])
        known = pc.is_in(texts[_STATE], value_set=_STATES)
        demand(known, f"{_STATE} is one we do not know")
        is_payment = pc.equal(texts[_STATE], literal("SUCCESS"))
        fen = _amounts(texts)
        fee = mfen_of(texts[_FEE], _FEE)
        amount = pc.if_else(is_payment, fen[self._order], fen.get(self._back, literal(0)))
        demand(pc.greater_equal(amount, literal(0)), "its amount is below zero")
        self._check_day(texts[TIME], is_payment)
        self._lines += rows
        for name, column in fen.items():
            self._mfen[name] += total(column) * FEN
        self._mfen[_FEE] += total(fee)
        refund_no = texts.get(_REFUND_NO)
        ours = pc.if_else(is_payment, literal(""), literal("") if refund_no is None else refund_no)
        ours = pc.if_else(pc.equal(ours, literal(_NONE)), literal(""), ours)
        trade_no = named(texts[_TRADE_NO], _TRADE_NO)
        return pa.table(
            [
                pc.if_else(
                    is_payment, literal(BillKind.PAYMENT.value), literal(BillKind.REFUND.value)
                ),
                named(texts[_ORDER_NO], _ORDER_NO),
                named(ours, _REFUND_NO),
                trade_no,
                _states(texts, is_payment),
                amount,
                fee,
                texts[_CURRENCY],
                beijing_ms(texts[TIME], TIME),
                pa.array(range(block.first_line, block.first_line + rows), pa.int64()),
            ],
            schema=BILL_SCHEMA,
        )

    def _check_day(self, times: Any, is_payment: Any) -> None:
        """A payment is billed on its day; a refund may be told by its payment's time."""
        if self._day:
            on_the_day = pc.starts_with(times, self._day)
            demand(pc.or_(on_the_day, pc.invert(is_payment)), f"it is not of {self._day}")

    def _compare(self) -> None:
        """Raise ``BillRefused`` unless the sums at the end are those of the rows."""
        line, sums = self._frame.sums()
        count = count_of(sums.get(_COUNT, ""))
        if count is None:
            raise self._frame.refused(line, f"there is no {_COUNT}")
        if count != self._lines:
            raise self._frame.refused(line, f"it counts {count} rows, there are {self._lines}")
        for name, text in sums.items():
            column = _SUMS.get(name)
            if column is None or column not in self._frame.shape.needed:
                continue
            if not _is_sum(text, self._mfen[column]):
                raise self._frame.refused(line, f"{name} is not the sum of the rows")
        self._agrees = True


_AMOUNTS: Final = frozenset(_SUMS.values()) - {_FEE}
_TWINS: Final = {_ORDER: _SETTLED, _SETTLED: _ORDER, _ASKED_BACK: _BACK, _BACK: _ASKED_BACK}
"""What differs where there was a voucher, and is the same text elsewhere."""


def _amounts(texts: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of amounts in fen; two that are written alike are read once."""
    fen: dict[str, Any] = {}
    for name in _AMOUNTS & texts.keys():
        twin = _TWINS.get(name, "")
        if twin in fen and pc.all(pc.equal(texts[name], texts[twin])).as_py():
            fen[name] = fen[twin]
        else:
            fen[name] = fen_of(texts[name], name)
    return fen


def _is_sum(text: str, mfen: int) -> bool:
    """Whether a sum is ours, rounded to as many decimals as it is written with."""
    told = sum_mfen(text)
    if told is None:
        return False
    _, _, decimals = text.strip().partition(".")
    unit = 10 ** (5 - min(len(decimals), 5))
    return abs(told - mfen) * 2 <= unit if unit > 1 else told == mfen


def _states(texts: Mapping[str, Any], is_payment: Any) -> Any:
    """A payment's state, or a refund's own where the file tells it."""
    refund_state = texts.get(_REFUND_STATE)
    if refund_state is None:
        return texts[_STATE]
    own = pc.if_else(pc.equal(refund_state, literal("")), texts[_STATE], refund_state)
    return pc.if_else(is_payment, texts[_STATE], own)
