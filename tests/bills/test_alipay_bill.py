"""Alipay's bill: every way it may truly look is read alike, every altered one is refused."""

import random
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.alipay.bill import BILLS
from channels.bill_rows import BATCH_ROWS, BILL_SCHEMA
from channels.bills import BillRefused, BillTotals
from domain.money import format_yuan
from tests.bills.alipay_files import HEADER, Bill, Row, summary, zipped
from tests.conftest import samples_folder

PAID = Row("order0001", 1990, fee_fen=12, trade_no="2026091622001400000000000001")
PAID_TWO = Row("order0002", 5, subject='一箱,"大"苹果', done_at="2026-09-16 00:00:00")
RETURNED = Row("order0001", 990, refund_no="refund0001", fee_fen=6)
BILL = Bill((PAID, PAID_TWO, RETURNED))
DAY = date(2026, 9, 16)


def read(path: Path, day: date | None = None) -> tuple[pa.Table, BillTotals]:
    reader = BILLS.open("trade", path, day)
    batches = list(reader)
    return pa.Table.from_batches(batches, BILL_SCHEMA), reader.totals()


def refused(path: Path, day: date | None = None, kind: str = "trade") -> BillRefused:
    with pytest.raises(BillRefused) as caught:
        for _ in BILLS.open(kind, path, day):
            pass
    return caught.value


def test_payments_and_refunds_become_typed_rows(tmp_path: Path) -> None:
    table, totals = read(BILL.write(tmp_path), DAY)
    assert table.schema == BILL_SCHEMA
    assert table.to_pylist()[2] == {
        "kind": "refund",
        "order_no": "order0001",
        "refund_no": "refund0001",
        "trade_no": "2026091622001400000000000001",
        "status": "",
        "amount_fen": 990,
        "fee_mfen": -6000,
        "currency": "CNY",
        "at_ms": 1789527323000,
        "line": 8,
    }
    assert table["kind"].to_pylist() == ["payment", "payment", "refund"]
    assert table["amount_fen"].to_pylist() == [1990, 5, 990]
    assert table["fee_mfen"].to_pylist() == [12000, 0, -6000]
    assert table["refund_no"].to_pylist() == ["", "", "refund0001"]
    assert table["line"].to_pylist() == [6, 7, 8]
    assert totals == BillTotals(
        lines=3,
        payments=2,
        payments_fen=1995,
        refunds=1,
        refunds_fen=990,
        fee_mfen=6000,
        footer_agrees=True,
    )


ALIKE = {
    "CRLF": replace(BILL, newline="\r\n"),
    "UTF-8 with its mark": replace(BILL, encoding="utf-8", bom=b"\xef\xbb\xbf"),
    "UTF-8 without its mark": replace(BILL, encoding="utf-8"),
    "GBK behind a mark": replace(BILL, bom=b"\xef\xbb\xbf"),
    "columns the other way round": replace(BILL, header=tuple(reversed(HEADER))),
    "two more columns": replace(BILL, header=("备注", *HEADER[:-1])),
    "blank lines at the end": replace(BILL, sums=(*BILL.sum_lines(), "", "")),
    "older words in the sums": replace(
        BILL,
        sums=(
            "#交易合计：2笔，交易金额共19.95元，优惠金额共0.00元",
            "#退款合计：1笔，交易退款金额共-9.90元，优惠退款金额共0.00元",
        ),
    ),
}


@pytest.mark.parametrize("bill", ALIKE.values(), ids=ALIKE)
def test_all_of_these_say_the_same(bill: Bill, tmp_path: Path) -> None:
    (table, totals), (plain, plain_totals) = read(bill.write(tmp_path)), read(BILL.write(tmp_path))
    assert totals == plain_totals
    assert table == plain


def test_the_zip_is_read_where_it_lies(tmp_path: Path) -> None:
    path = zipped(tmp_path / "bill.zip", ("2088_20260916_业务明细.csv", BILL.data))
    assert read(path, DAY)[1].payments_fen == 1995
    assert list(tmp_path.iterdir()) == [path]


def test_a_payment_has_no_refunds_number_whatever_its_row_says(tmp_path: Path) -> None:
    """Of a payment that column is empty, or something else's."""
    path = tmp_path / "bill.csv"
    path.write_bytes(changed(6, ",0.00,\t,-0.12,", ",0.00,something\t,-0.12,"))
    table, _ = read(path)
    assert table["refund_no"].to_pylist() == ["", "", "refund0001"]


def test_a_discount_is_in_the_sums_and_not_in_the_amount(tmp_path: Path) -> None:
    """The order asked for 19.90; the merchant gave 1.00 of it away."""
    _, totals = read(Bill((replace(PAID, discount_fen=100),)).write(tmp_path))
    assert totals.payments_fen == 1990


def test_a_day_without_trade_is_a_whole_bill(tmp_path: Path) -> None:
    table, totals = read(Bill().write(tmp_path))
    assert (table.num_rows, totals.lines, totals.footer_agrees) == (0, 0, True)


def test_a_product_cut_in_the_middle_of_a_character_spoils_nothing(tmp_path: Path) -> None:
    path = BILL.write(tmp_path)
    path.write_bytes(BILL.data.replace("苹果".encode("gbk"), "苹果".encode("gbk")[:3], 1))
    assert read(path)[1].lines == 3


def test_it_can_be_read_again(tmp_path: Path) -> None:
    reader = BILLS.open("trade", BILL.write(tmp_path))
    first, second = list(reader), list(reader)
    assert first == second
    assert reader.totals().lines == 3


def test_totals_wait_for_the_end(tmp_path: Path) -> None:
    reader = BILLS.open("trade", BILL.write(tmp_path))
    with pytest.raises(RuntimeError):
        reader.totals()


def test_many_rows_come_in_bounded_batches(tmp_path: Path) -> None:
    """More than a block and more than a batch; lines go on counting."""
    many = Bill(tuple(replace(PAID, amount_fen=n % 7 + 1) for n in range(BATCH_ROWS + 10)))
    batches = list(BILLS.open("trade", many.write(tmp_path)))
    assert all(0 < batch.num_rows <= BATCH_ROWS for batch in batches)
    lines = pa.Table.from_batches(batches)["line"].to_pylist()
    assert lines == list(range(6, 6 + BATCH_ROWS + 10))


# What is not believed, and where.


def spoiled(line: int, text: str | None) -> bytes:
    """The bill with one line replaced, or left out."""
    lines = BILL.lines
    lines[line - 1 : line] = [] if text is None else [text]
    return ("\n".join(lines) + "\n").encode("gb18030")


def changed(line: int, old: str, new: str) -> bytes:
    text = BILL.lines[line - 1]
    assert old in text
    return spoiled(line, text.replace(old, new, 1))


SPOILED = {
    "cut in a row": (BILL.data[: BILL.data.index(b"order0002") + 12], 7, "columns"),
    "cut after a row": (("\n".join(BILL.lines[:7]) + "\n").encode("gbk"), 7, "end mark"),
    "cut after the end mark": (("\n".join(BILL.lines[:9]) + "\n").encode("gbk"), 9, "交易"),
    "cut before the second sum": (("\n".join(BILL.lines[:10]) + "\n").encode("gbk"), 10, "退款"),
    "an amount altered": (changed(6, "19.90", "19.91"), 6, "go with"),
    "a receipt altered": (changed(6, "19.90,19.90", "19.90,19.80"), 6, "go with"),
    "more received than asked": (changed(6, "19.90,19.90", "19.90,29.90"), 6, "go with"),
    "all of a row's amounts altered": (
        spoiled(6, BILL.lines[5].replace("19.90", "18.90")),
        10,
        "sum of 交易",
    ),
    "a refund altered": (spoiled(8, BILL.lines[7].replace("-9.90", "-9.80")), 11, "sum of 退款"),
    "a row left out": (spoiled(7, None), 9, "counts 2"),
    "a row twice": (spoiled(6, BILL.lines[5] + "\n" + BILL.lines[5]), 11, "counts 2"),
    "a refund with a payment's sign": (changed(8, "-9.90", "9.90"), 8, "sign"),
    "a payment below zero": (changed(6, "19.90", "-19.90"), 6, "sign"),
    "three decimals": (changed(6, "19.90", "19.901"), 6, "amount"),
    "an exponent": (changed(6, "19.90", "1e3"), 6, "amount"),
    "hexadecimal": (changed(6, "19.90", "0x1.00"), 6, "amount"),
    "a plus sign": (changed(6, "19.90", "+19.90"), 6, "amount"),
    "full-width digits": (changed(6, "19.90", "１９.90"), 6, "amount"),
    "no amount": (changed(6, "19.90", ""), 6, "amount"),
    "no time": (changed(7, "2026-09-16 00:00:00", "yesterday"), 7, "time"),
    "an impossible time": (changed(7, "2026-09-16 00:00:00", "2026-02-30 00:00:00"), 7, "time"),
    "another kind": (changed(7, "交易", "转账"), 7, "业务类型"),
    "no trade number": (changed(6, PAID.trade_no, ""), 6, "支付宝交易号"),
    "a column more": (changed(7, "order0002", "order,0002"), 7, "26 columns"),
    "a blank line among the rows": (spoiled(7, "\n" + BILL.lines[6]), 7, "业务类型"),
    "a quote that is not closed": (changed(6, ",苹果,", ',"苹果,'), 6, "quotes"),
    "a header without a column": (changed(5, "订单金额（元）", "金额"), 5, "订单金额(元)"),
    "a header with a column twice": (changed(5, "商品名称", "备注"), 5, "twice"),
    "no header": (spoiled(5, None), 5, "no column"),
    "no mark": (spoiled(4, "#"), 5, "before the mark"),
    "a row after the end": (spoiled(9, BILL.lines[8] + "\n" + BILL.lines[5]), 10, "after the end"),
    "a sum that is no amount": (changed(10, "19.95", "1.9.9.5"), 10, "sum of 交易"),
    "sums of unknown things": (changed(10, "商家实收共19.95元，商家优惠共", "券共"), 10, "know"),
    "GBK below a line of UTF-8": (BILL.lines[0].encode() + b"\n" + BILL.data, 0, "no detail"),
}
"""Each with the line that is named, and a word of the reason."""


@pytest.mark.parametrize(("data", "line", "reason"), SPOILED.values(), ids=SPOILED)
def test_a_spoiled_bill_is_refused_at_its_line(
    data: bytes, line: int, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "bill.csv"
    path.write_bytes(data)
    fault = refused(path)
    assert (fault.line, reason in fault.why) == (line, True), fault


def test_bytes_that_are_no_text_are_refused_in_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bill.csv"
    path.write_bytes(BILL.data.replace(b"order0002", b"order\xff\xff02"))
    assert refused(path).line == 7


def test_another_day_is_refused(tmp_path: Path) -> None:
    path = BILL.write(tmp_path)
    assert refused(path, date(2026, 9, 18)).line == 3
    assert refused(path, date(2026, 9, 15)).line == 3


def test_no_value_of_a_row_is_in_a_message(tmp_path: Path) -> None:
    path = tmp_path / "bill.csv"
    for data, _, _ in SPOILED.values():
        path.write_bytes(data)
        try:
            text = str(refused(path))
        except pytest.fail.Exception:
            continue
        assert "138****" not in text
        assert "order000" not in text


@pytest.mark.parametrize("at", range(0, len(BILL.data), 7))
def test_cut_anywhere_it_is_refused(at: int, tmp_path: Path) -> None:
    """Up to the last of what is compared."""
    path = tmp_path / "bill.csv"
    path.write_bytes(BILL.data[:at])
    needed = BILL.data.index("#导出时间".encode("gbk")) - len(
        "，商家优惠退款共0.00元\n".encode("gbk")
    )
    if at < needed:
        refused(path)


def test_one_changed_byte_never_makes_other_sums(tmp_path: Path) -> None:
    path = tmp_path / "bill.csv"
    _, true = read(BILL.write(tmp_path))
    chance = random.Random(7)
    begin = BILL.data.index(PAID.trade_no.encode())
    for _ in range(400):
        data = bytearray(BILL.data)
        data[chance.randrange(begin, len(data))] = chance.randrange(256)
        path.write_bytes(data)
        try:
            _, found = read(path)
        except BillRefused:
            continue
        assert replace(found, fee_mfen=true.fee_mfen) == true


rows = st.builds(
    Row,
    st.text("ABCabc019_", min_size=1, max_size=32),
    st.integers(0, 10**11),
    refund_no=st.one_of(st.just(""), st.text("Rr09-", min_size=1, max_size=20)),
    fee_fen=st.integers(0, 10**6),
    subject=st.text(
        st.characters(codec="gb18030", exclude_categories=("Cc", "Cs")), max_size=20
    ).filter(lambda text: "\u2028" not in text),
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(rows, max_size=12),
    st.permutations(HEADER),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, made: list[Row], header: list[str], newline: str
) -> None:
    bill = Bill(tuple(made), header=tuple(header), newline=newline)
    table, totals = read(bill.write(tmp_path_factory.mktemp("bills")))
    got = table.select(["order_no", "refund_no", "amount_fen"]).to_pylist()
    assert got == [
        {"order_no": r.order_no, "refund_no": r.refund_no, "amount_fen": r.amount_fen} for r in made
    ]
    assert totals.fee_mfen == sum(row.sign * row.fee_fen * 1000 for row in made)
    assert totals.payments_fen == sum(r.amount_fen for r in made if not r.refund_no)


# The summary.


def test_a_fee_altered_in_a_row_is_refused_by_the_summary(tmp_path: Path) -> None:
    """The detail's own sums are not of fees."""
    row = BILL.lines[5]
    altered = spoiled(6, row.replace(format_yuan(-PAID.fee_fen), "-0.99"))
    assert altered != BILL.data
    path = zipped(tmp_path / "b.zip", ("汇总.csv", summary(*STORES)), ("明细.csv", altered))
    fault = refused(path)
    assert (fault.file, fault.line, "fee" in fault.why) == ("汇总.csv", 8, True)


STORES = (("S1\t", 1, 1, 1000, 6), ("S2\t", 1, 0, 5, 0))


def test_the_summary_beside_the_detail_agrees(tmp_path: Path) -> None:
    path = zipped(
        tmp_path / "bill.zip",
        ("2088_20260916_业务明细(汇总).csv", summary(*STORES)),
        ("2088_20260916_业务明细.csv", BILL.data),
    )
    assert BILLS.kind_of(path) == "trade"
    assert read(path)[1].lines == 3


@pytest.mark.parametrize(
    "stores",
    [
        (("S1", 1, 1, 1000, 6), ("S2", 2, 0, 5, 0)),
        (("S1", 1, 0, 1000, 6), ("S2", 1, 0, 5, 0)),
        (("S1", 1, 1, 1001, 6), ("S2", 1, 0, 5, 0)),
        (("S1", 1, 1, 1000, 7), ("S2", 1, 0, 5, 0)),
    ],
    ids=["payments", "refunds", "amount", "fee"],
)
def test_a_summary_of_something_else_refuses_the_bill(
    stores: tuple[tuple[str, int, int, int, int], ...], tmp_path: Path
) -> None:
    path = zipped(tmp_path / "b.zip", ("汇总.csv", summary(*stores)), ("明细.csv", BILL.data))
    fault = refused(path)
    assert (fault.file, fault.line) == ("汇总.csv", 8)


def test_the_summary_alone_is_no_bill_but_can_be_inspected(tmp_path: Path) -> None:
    path = tmp_path / "summary.csv"
    path.write_bytes(summary(*STORES))
    assert BILLS.kind_of(path) == "summary"
    assert "no detail" in refused(path).why
    reader = BILLS.open("summary", path, DAY)
    assert list(reader) == []
    totals = reader.totals()
    assert (totals.lines, totals.payments, totals.refunds, totals.payments_fen) == (2, 2, 1, 1005)
    assert totals.fee_mfen == 6000


@pytest.mark.parametrize(
    ("data", "line", "reason"),
    [
        (
            summary(*STORES).replace("合计\t,\t,2".encode("gbk"), "合计\t,\t,3".encode("gbk")),
            8,
            "笔数",
        ),
        (summary(*STORES).replace(b"10.05,10.05", b"10.05,10.06"), 8, "商家实收"),
        (summary(*STORES, total=False), 9, "合计"),
        (summary(*STORES)[:-120], 9, "end mark"),
        (summary(*STORES).replace(b"1,1,10.00", b"1,1,ten"), 6, "订单金额"),
    ],
)
def test_a_spoiled_summary_is_refused(data: bytes, line: int, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "summary.csv"
    path.write_bytes(data)
    fault = refused(path, kind="summary")
    assert reason in fault.why
    assert fault.line == line


def test_other_kinds_and_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"a,b\n1,2\n")
    with pytest.raises(BillRefused, match="no bill"):
        BILLS.kind_of(path)
    assert "kind" in refused(BILL.write(tmp_path), kind="fundflow").why
    twice = zipped(tmp_path / "b.zip", ("a.csv", BILL.data), ("b.csv", BILL.data))
    assert "more than one" in refused(twice).why


@pytest.mark.samples
def test_the_published_bill() -> None:
    """A real one, and a zip around it."""
    folder = samples_folder() / "alipay" / "bills"
    for path in folder.iterdir():
        table, totals = read(path, date(2019, 9, 16))
        assert (totals.payments, totals.payments_fen) == (6, 6)
        assert (totals.refunds, totals.refunds_fen) == (4, 4)
        assert table["at_ms"][0].as_py() == 1568602523000
        assert format_yuan(totals.refunds_fen) == "0.04"
