"""One file of UnionPay's, read to its end: rows as every bill has them, sums compared.

Rules (reference ``channels.md`` C2, C3):

* Merchant files: a row is a payment or a refund by its transaction type, else by the sign
  of what is settled; a fee marked D is what we pay. Fees are whole fen.
* Institution files: by message type and processing code. Holds and inquiries move nothing
  and are left out, and so are rows marked as reversed or cancelled, both of the pair:
  neither was cleared.
* A refund's payment is what our request carried along (商户自定义域), else UnionPay's
  original order number.
* Institution rows may name no order: then it is told by terminal and trace, as far as the row
  tells it, and a refund's payment by its original's trace. What stands between them in our
  numbers, the link's batch, is written ``?``; who matches fills it in from our books
  (``reconciliation/partial_numbers.py``).
"""

from collections.abc import Iterator
from datetime import date
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from channels.bill_archive import BillMember
from channels.bill_columns import Unfit, demand, literal, total
from channels.bill_rows import BATCH_ROWS, BILL_SCHEMA
from channels.bill_sums import BillSums
from channels.bill_text import Block, blocks
from channels.bills import BillKind, BillRefused, BillTotals
from channels.unionpay.file_layouts import INSTITUTION, Layout
from channels.unionpay.file_summary import DaySums
from channels.unionpay.file_times import trace_times_ms
from channels.unionpay.fixed_width import Records
from domain.money import CNY

_FEN_TO_MFEN: Final = 1000
_PAYMENT_TYPES: Final = pa.array(["01", "03", "11"])
_REFUND_TYPES: Final = pa.array(["04", "31", "33"])
_BALANCE: Final = "30"
_RETURNING: Final = "20"
_REVERSAL: Final = "0420"
_TERMINAL: Final = "^[A-Za-z0-9]{8}$"
_TRACE: Final = "^[0-9]*[1-9][0-9]*$"
"""Six digits by the layout; 000000 is no trace."""
_BATCH_UNKNOWN: Final = "??????"


class FileReader:
    """One member; ``stated`` is what a summary beside it says."""

    def __init__(
        self, member: BillMember, layout: Layout, day: date, stated: DaySums | None
    ) -> None:
        self._member = member
        self._layout = layout
        self._day = day
        self._stated = stated
        self._reset()

    def _reset(self) -> None:
        self._sums = BillSums()
        self._found = dict.fromkeys(DaySums.__dataclass_fields__, 0)
        self._is_read = False

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Batches of the rows; the file is whole and right only when they all came."""
        self._reset()
        stride, end = 0, b""
        with self._member.opened() as source:
            for block in blocks(source):
                if not stride:
                    stride, end = self._first_line(block)
                yield from self._take(block, stride, end)
        self._compare()
        self._is_read = True

    def totals(self) -> BillTotals:
        """The sums of every row."""
        if not self._is_read:
            raise RuntimeError("the bill is not read to its end")
        return self._sums.totals(footer_agrees=None if self._stated is None else True)

    def _first_line(self, block: Block) -> tuple[int, bytes]:
        """How long the records of this file are, and how they end."""
        line = block.data.split(b"\n", 1)[0]
        end = b"\r\n" if line.endswith(b"\r") else b"\n"
        length = len(line.removesuffix(b"\r"))
        layout = self._layout
        if not layout.least_bytes <= length <= layout.most_bytes:
            why = f"it has {length} bytes, a record of {layout.kind} has {layout.least_bytes}"
            raise BillRefused(self._member.name, block.first_line, why)
        return length + len(end), end

    def _take(self, block: Block, stride: int, end: bytes) -> Iterator[pa.RecordBatch]:
        try:
            records = Records(block, self._layout, stride, end)
            batch = self._rows(records, block.first_line)
        except Unfit as unfit:
            line = block.first_line + unfit.row
            raise BillRefused(self._member.name, line, unfit.why) from None
        self._sums.add(batch)
        for start in range(0, batch.num_rows, BATCH_ROWS):
            yield batch.slice(start, BATCH_ROWS)

    def _rows(self, records: Records, first_line: int) -> pa.RecordBatch:
        count = records.count
        amounts = records.number("amount")
        lines = pa.array(range(first_line, first_line + count), pa.int64())
        times = trace_times_ms(records.text("trace_time"), self._day)
        if self._layout.family == INSTITUTION:
            is_payment, is_kept = _institution_kinds(records)
            fees = _institution_fees(records)
            status = records.text("status")
            numbers = _told_or(records.text("order_id"), _by_trace(records, "trace"))
            originals = _told_or(_original(records), _by_trace(records, "original_trace"))
        else:
            is_payment, is_kept = _merchant_kinds(records), pa.repeat(literal(True), count)
            fees = pc.negate(records.signed("fee"))
            status = records.text("code")
            numbers, originals = records.text("order_id"), _original(records)
            self._count(records, is_payment, amounts, fees)
        batch = pa.RecordBatch.from_arrays(
            [
                pc.if_else(
                    is_payment, literal(BillKind.PAYMENT.value), literal(BillKind.REFUND.value)
                ),
                pc.if_else(is_payment, numbers, originals),
                pc.if_else(is_payment, literal(""), numbers),
                records.text("trade_no"),
                status,
                amounts,
                pc.multiply(fees, literal(_FEN_TO_MFEN)),
                pa.repeat(literal(CNY), count),
                times,
                lines,
            ],
            schema=BILL_SCHEMA,
        )
        return batch.filter(is_kept)

    def _count(self, records: Records, is_payment: Any, amounts: Any, fees: Any) -> None:
        zero, found = literal(0), self._found
        found["count"] += records.count
        found["amount_credit"] += total(pc.if_else(is_payment, amounts, zero))
        found["amount_debit"] += total(pc.if_else(is_payment, zero, amounts))
        found["fee_debit"] += total(pc.max_element_wise(fees, zero))
        found["fee_credit"] += total(pc.negate(pc.min_element_wise(fees, zero)))
        found["net"] += total(records.signed("net"))

    def _compare(self) -> None:
        if self._stated is None:
            return
        for name, found in self._found.items():
            stated = getattr(self._stated, name)
            if found != stated:
                why = f"the rows' {name} is {found}, the summary says {stated}"
                raise BillRefused(self._member.name, 0, why)


def _original(records: Records) -> Any:
    """The payment that a refund names."""
    return _told_or(records.own_number("reserved"), records.own_number("original_order_id"))


def _told_or(told: Any, other: Any) -> Any:
    """The one where it says something, else the other."""
    return pc.if_else(pc.not_equal(told, literal("")), told, other)


def _by_trace(records: Records, trace: str) -> Any:
    """Terminal and trace of a card order, its batch unknown; ``""`` where they are not there."""
    terminals, traces = records.own_number("terminal"), records.own_number(trace)
    is_told = pc.and_(
        pc.match_substring_regex(terminals, _TERMINAL), pc.match_substring_regex(traces, _TRACE)
    )
    made = pc.binary_join_element_wise(terminals, literal(_BATCH_UNKNOWN), traces, literal(""))
    return pc.if_else(is_told, made, literal(""))


def _merchant_kinds(records: Records) -> Any:
    """Whether each row is a payment."""
    types = records.text("txn_type")
    by_sign = pc.greater_equal(records.signed("net"), literal(0))
    is_payment = pc.is_in(types, value_set=_PAYMENT_TYPES)
    is_refund = pc.is_in(types, value_set=_REFUND_TYPES)
    return pc.or_(is_payment, pc.and_(pc.invert(is_refund), by_sign))


def _institution_kinds(records: Records) -> tuple[Any, Any]:
    """Whether each row is a payment, and whether it stays at all."""
    mti, processing = records.text("mti"), records.text("processing")
    demand(pc.match_substring_regex(mti, "^0[1248][0-9]{2}$"), "the message type is not one")
    demand(pc.match_substring_regex(processing, "^[0-9]{6}$"), "the processing code is not one")
    # by the processing code alone: an offline sale is an advice (0220), as a refund is
    is_returning = pc.starts_with(processing, _RETURNING)
    # a reversal moves the money of what it reverses the other way
    is_payment = pc.equal(is_returning, pc.equal(mti, literal(_REVERSAL)))
    moves_nothing = pc.or_(pc.starts_with(mti, "01"), pc.starts_with(processing, _BALANCE))
    is_out = pc.or_(
        pc.equal(records.text("reversed"), literal("R")),
        pc.equal(records.text("cancelled"), literal("C")),
    )
    return is_payment, pc.invert(pc.or_(moves_nothing, is_out))


def _institution_fees(records: Records) -> Any:
    """What the row costs us, in fen: interchange paid less received, and the switch's fee."""
    zero = pa.repeat(literal(0), records.count)
    paid = records.number("payable") if records.has("payable") else zero
    received = records.number("receivable") if records.has("receivable") else zero
    return pc.subtract(pc.subtract(paid, received), records.signed("transfer_fee"))
