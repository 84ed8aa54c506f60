"""WeChat Pay's bills: the published files, every shape of column, and what refuses a file."""

import gzip
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.bill_formats import bill_format
from channels.bills import BillRefused, BillTotals
from channels.wechat.bill import BILLS
from channels.wechat.bill_money import count_of, sum_mfen
from tests.conftest import samples_folder

ALL = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,"
    "付款银行,货币种类,应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,"
    "退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注"
)
SUCCESS = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,"
    "付款银行,货币种类,应结订单金额,代金券金额,商品名称,商户数据包,手续费,费率,订单金额,费率备注"
)
OLD = (
    "交易时间,公众账号ID,商户号,子商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,"
    "付款银行,货币种类,总金额,代金券或立减优惠金额,微信退款单号,商户退款单号,退款金额,"
    "代金券或立减优惠退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率"
)
SUMS = (
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
)
FLOW = (
    "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),"
    "资金变更提交申请人,备注,业务凭证号"
)
FLOW_SUMS = "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额"
DAY = date(2026, 11, 22)


def row(header: str, **given_: str) -> str:
    """A row of a header's columns; what is not given is empty."""
    usual = {
        "交易时间": "2026-11-22 15:15:37",
        "微信订单号": "4200000925",
        "商户订单号": "NUMBER0001",
        "交易状态": "SUCCESS",
        "货币种类": "CNY",
        "应结订单金额": "19.90",
        "订单金额": "19.90",
        "总金额": "19.90",
        "退款金额": "0.00",
        "充值券退款金额": "0.00",
        "申请退款金额": "0.00",
        "商户退款单号": "0",
        "手续费": "0.12000",
    }
    return ",".join(f"`{(usual | given_).get(name, '')}" for name in header.split(","))


PAID = row(ALL)
BACK = row(
    ALL,
    交易状态="REFUND",
    应结订单金额="0.00",
    订单金额="0.00",
    商户退款单号="REFUND0001",
    退款状态="SUCCESS",
    退款金额="5.00",
    申请退款金额="5.00",
    手续费="-0.03000",
)
GOOD = [ALL, PAID, BACK, SUMS, "`2,`19.90,`5.00,`0.00,`0.09000,`19.90,`5.00"]


def written(folder: Path, lines: list[str], **how: Any) -> Path:
    newline, mark = how.get("newline", "\n"), how.get("mark", b"")
    raw = mark + (newline.join(lines) + newline).encode(how.get("encoding", "utf-8"))
    path = folder / "bill.csv"
    path.write_bytes(gzip.compress(raw) if how.get("packed") else raw)
    return path


def rows_of(path: Path, kind: str = "trade", day: date | None = None) -> list[dict[str, Any]]:
    return [one for batch in BILLS.open(kind, path, day) for one in batch.to_pylist()]


def totals_of(path: Path, kind: str = "trade") -> BillTotals:
    reader = BILLS.open(kind, path)
    for _ in reader:
        pass
    return reader.totals()


def refusal(path: Path, kind: str = "trade", day: date | None = None) -> BillRefused:
    with pytest.raises(BillRefused) as caught:
        rows_of(path, kind, day)
    return caught.value


def test_it_is_installed() -> None:
    assert bill_format("wechat") is BILLS
    assert BILLS.kinds == ("trade", "fundflow")


@pytest.mark.samples
def test_the_published_bills_add_up() -> None:
    """APIv2's with a byte-order mark and CRLF, APIv3's packed: each agrees with its own sums."""
    folder = samples_folder() / "wechat" / "bills"
    second = folder / "v2_bill_ALL_php_fixture.csv"
    assert BILLS.kind_of(second) == "trade"
    found = totals_of(second)
    assert (found.lines, found.payments, found.refunds) == (45, 31, 14)
    assert (found.payments_fen, found.refunds_fen, found.fee_mfen) == (47, 14, 8000)
    third = folder / "v3_tradebill_ALL_20210128.csv.gz"
    found = totals_of(third)
    assert (found.payments, found.payments_fen, found.footer_agrees) == (3, 3, True)
    assert rows_of(third, day=date(2021, 1, 28))[0]["order_no"] == "S20210128170702357723"


@pytest.mark.samples
def test_the_published_flow_of_funds_was_trimmed_and_is_refused() -> None:
    """Its sums count a row that its publisher took out."""
    path = samples_folder() / "wechat" / "bills" / "v3_fundflow_20210201.csv.gz"
    assert BILLS.kind_of(path) == "fundflow"
    assert refusal(path, "fundflow").line == 5


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"newline": "\r\n"},
        {"mark": b"\xef\xbb\xbf"},
        {"mark": b"\xef\xbb\xbf", "newline": "\r\n", "packed": True},
        {"packed": True},
    ],
)
def test_every_way_to_write_it(tmp_path: Path, how: dict[str, Any]) -> None:
    path = written(tmp_path, GOOD, **how)
    assert BILLS.kind_of(path) == "trade"
    paid, back = rows_of(path, day=DAY)
    assert paid == {
        "kind": "payment",
        "order_no": "NUMBER0001",
        "refund_no": "",
        "trade_no": "4200000925",
        "status": "SUCCESS",
        "amount_fen": 1990,
        "fee_mfen": 12000,
        "currency": "CNY",
        "at_ms": 1_795_331_737_000,
        "line": 2,
    }
    assert (back["kind"], back["refund_no"], back["amount_fen"]) == ("refund", "REFUND0001", 500)
    assert (back["fee_mfen"], back["line"]) == (-3000, 3)


def test_the_bill_of_successes_has_twenty_columns(tmp_path: Path) -> None:
    sums = "总交易单数,应结订单总金额,手续费总金额,订单总金额"
    path = written(tmp_path, [SUCCESS, row(SUCCESS), sums, "`1,`19.90,`0.12000,`19.90"])
    assert SUCCESS.count(",") == 19
    assert rows_of(path)[0]["amount_fen"] == 1990


@pytest.mark.parametrize("more", ["", "退款申请时间,退款成功时间,"], ids=["27", "29"])
def test_the_bill_of_refunds(tmp_path: Path, more: str) -> None:
    """As ALL has it, or with when it was asked for and done before the refund's own columns."""
    header = ALL.replace("微信退款单号,", f"{more}微信退款单号,")
    assert header.count(",") == (28 if more else 26)
    back = row(
        header,
        交易状态="REFUND",
        应结订单金额="0.00",
        订单金额="0.00",
        商户退款单号="REFUND0001",
        退款状态="PROCESSING",
        退款金额="5.00",
        申请退款金额="5.00",
        手续费="-0.03000",
    )
    revoked = row(header, 交易状态="REVOKED", 退款金额="19.90", 申请退款金额="19.90")
    sums = "`2,`19.90,`24.90,`0.00,`0.09000,`19.90,`24.90"
    path = written(tmp_path, [header, back, revoked, SUMS, sums])
    assert BILLS.kind_of(path) == "trade"
    found = [(one["kind"], one["refund_no"], one["amount_fen"]) for one in rows_of(path, day=DAY)]
    assert found == [("refund", "REFUND0001", 500), ("refund", "", 1990)]


def test_old_files_have_twenty_four_columns_and_another_name(tmp_path: Path) -> None:
    """Hole 14: by name, so that a shifted column is no other amount."""
    sums = "总交易单数,总交易额,总退款金额,总代金券或立减优惠退款金额,手续费总金额"
    back = row(OLD, 交易状态="REFUND", 总金额="0.00", 退款金额="5.00", 商户退款单号="R1")
    path = written(tmp_path, [OLD, row(OLD), back, sums, "`2,`19.90,`5.00,`0.00,`0.24000"])
    assert OLD.count(",") == 23
    assert [(one["kind"], one["amount_fen"]) for one in rows_of(path)] == [
        ("payment", 1990),
        ("refund", 500),
    ]


def test_columns_in_another_order_are_the_same(tmp_path: Path) -> None:
    names = ALL.split(",")
    turned = ",".join(reversed(names))
    lines = [turned, row(turned), SUMS, "`1,`19.90,`0.00,`0.00,`0.12000,`19.90,`0.00"]
    assert rows_of(written(tmp_path, lines))[0]["amount_fen"] == 1990


@given(st.text("商品,`\"' =+-@;", max_size=20).filter(lambda text: ",`" not in text))
def test_what_a_shop_writes_moves_no_column(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    """Commas, quotes and backticks in a name; cells that a spreadsheet would execute."""
    folder = tmp_path_factory.mktemp("bill")
    name = f"x{text}x"
    paid = row(ALL, 商品名称=name, 商户数据包=name)
    lines = [ALL, paid, SUMS, "`1,`19.90,`0.00,`0.00,`0.12000,`19.90,`0.00"]
    assert rows_of(written(folder, lines))[0]["amount_fen"] == 1990


def test_amounts_with_five_decimals_are_whole_fen_or_refused(tmp_path: Path) -> None:
    paid = row(ALL, 订单金额="19.90000", 应结订单金额="19.9", 手续费="0.11940")
    lines = [ALL, paid, SUMS, "`1,`19.90,`0.00,`0.00,`0.12,`19.90,`0.00"]
    (found,) = rows_of(written(tmp_path, lines))
    assert (found["amount_fen"], found["fee_mfen"]) == (1990, 11940)
    lines[1] = row(ALL, 订单金额="19.90010")
    assert "parts of a fen" in refusal(written(tmp_path, lines)).why


REVOKED = row(ALL, 交易状态="REVOKED", 退款金额="19.90", 申请退款金额="19.90", 手续费="0.00000")


def test_a_reversed_code_is_a_refund_without_a_number(tmp_path: Path) -> None:
    lines = [ALL, PAID, REVOKED, SUMS, "`2,`39.80,`19.90,`0.00,`0.12000,`39.80,`19.90"]
    paid, back = rows_of(written(tmp_path, lines))
    assert (back["kind"], back["refund_no"], back["amount_fen"]) == ("refund", "", 1990)
    assert back["order_no"] == paid["order_no"]


def changed(line: int, text: str) -> list[str]:
    return [*GOOD[:line], text, *GOOD[line + 1 :]]


REFUSED: dict[str, tuple[list[str], int, str]] = {
    "no sums": (GOOD[:3], 0, "cut"),
    "half of the sums": (GOOD[:4], 4, "cut"),
    "nothing but a header": (GOOD[:1], 0, "cut"),
    "a row after the sums": ([*GOOD, PAID], 6, "neither"),
    "sums twice": ([*GOOD, *GOOD[3:]], 6, "neither"),
    "another count": (changed(4, GOOD[4].replace("`2,", "`3,")), 5, "counts 3"),
    "another sum": (changed(4, GOOD[4].replace("19.90,`5", "19.91,`5")), 5, "订单总金额"),
    "another sum of refunds": (changed(4, GOOD[4][:-4] + "5.01"), 5, "申请退款总金额"),
    "another sum of fees": (changed(4, GOOD[4].replace("0.09000", "0.09001")), 5, "手续费总金额"),
    "a sum that is none": (changed(4, GOOD[4].replace("0.09000", "x")), 5, "手续费总金额"),
    "a state we do not know": (changed(2, row(ALL, 交易状态="NEW")), 3, "交易状态"),
    "an amount that is none": (changed(2, row(ALL, 订单金额="1e3")), 3, "订单金额"),
    "below zero": (changed(2, row(ALL, 订单金额="-1.00")), 3, "below zero"),
    "a time that is none": (changed(2, row(ALL, 交易时间="2026-02-30 00:00:00")), 3, "交易时间"),
    "a column more": (changed(2, PAID + ",`x"), 3, "28 columns"),
    "a column less": (changed(1, PAID.rsplit(",`", 1)[0]), 2, "26 columns"),
    "a value that is two": (changed(1, row(ALL, 商品名称="a,`b")), 2, "28 columns"),
    "a control character": (changed(2, row(ALL, 商品名称="a\x1f,b")), 3, "control"),
    "a line without backticks": (changed(1, PAID.replace("`", "")), 4, "neither"),
    "an empty line among rows": ([*GOOD[:2], "", *GOOD[2:]], 4, "neither"),
    "no needed column": (changed(0, ALL.replace("交易状态", "状态")), 1, "交易状态"),
    "a column twice": (changed(0, ALL.replace("商户数据包", "商品名称")), 1, "twice"),
    "no amount at all": (
        changed(0, ALL.replace("订单金额", "某金额").replace("应结某", "应结")),
        1,
        "amount",
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_a_file_is_believed_whole_or_not_at_all(
    tmp_path: Path, case: tuple[list[str], int, str]
) -> None:
    """The first line that is wrong is named, and no value of it."""
    lines, line, why = case
    found = refusal(written(tmp_path, lines))
    assert (found.line, why in found.why) == (line, True), found


def test_another_day_is_refused(tmp_path: Path) -> None:
    assert refusal(written(tmp_path, GOOD), day=date(2026, 11, 21)).line == 2


@pytest.mark.parametrize("encoding", ["big5hkscs", "utf-16", "euc-kr"])
def test_another_encoding_than_a_spreadsheets_is_refused(tmp_path: Path, encoding: str) -> None:
    raw = "\n".join(GOOD).encode(encoding, "replace")
    path = tmp_path / "bill.csv"
    path.write_bytes(raw)
    with pytest.raises(BillRefused):
        BILLS.kind_of(path)


@pytest.mark.parametrize("message", ["No Bill Exist", "Bill Creating", "系统错误"])
def test_a_refusal_of_apiv2_is_no_bill(tmp_path: Path, message: str) -> None:
    """It comes with HTTP 200 where the file would be, packed or not."""
    text = (
        "<xml><return_code><![CDATA[FAIL]]></return_code>"
        f"<return_msg><![CDATA[{message}]]></return_msg></xml>"
    )
    for packed in (False, True):
        path = written(tmp_path, [text], packed=packed)
        with pytest.raises(BillRefused, match="refusal"):
            BILLS.kind_of(path)


def test_a_reader_starts_anew_and_tells_no_sums_before_its_end(tmp_path: Path) -> None:
    reader = BILLS.open("trade", written(tmp_path, GOOD))
    with pytest.raises(RuntimeError):
        reader.totals()
    first = [batch.to_pylist() for batch in reader]
    assert [batch.to_pylist() for batch in reader] == first
    assert reader.totals().lines == 2


def test_a_long_file_comes_in_blocks(tmp_path: Path) -> None:
    """The header, the rows and the sums in different blocks, in bounded batches."""
    count = 20_000
    amount = f"{1990 * count // 100}.{1990 * count % 100:02}"
    fee = f"{12 * count // 100}.{12 * count % 100:02}000"
    sums = f"`{count},`{amount},`0.00,`0.00,`{fee},`{amount},`0.00"
    path = written(tmp_path, [ALL, *[PAID] * count, SUMS, sums])
    assert path.stat().st_size > 2 * 1024 * 1024
    reader = BILLS.open("trade", path, DAY)
    batches = list(reader)
    assert len(batches) > 1
    assert max(batch.num_rows for batch in batches) <= 65_536
    assert batches[-1].column("line")[-1].as_py() == count + 1
    assert reader.totals().payments_fen == 1990 * count


def flow(**given_: str) -> str:
    usual = {
        "记账时间": "2026-11-22 15:15:37",
        "微信支付业务单号": "5030",
        "业务类型": "交易",
        "收支类型": "收入",
        "收支金额(元)": "19.90",
        "业务凭证号": "NUMBER0001",
        "备注": "a,b",
    }
    return ",".join(f"`{(usual | given_).get(name, '')}" for name in FLOW.split(","))


FLOW_ROWS = [
    flow(),
    flow(业务类型="扣除交易手续费", 收支类型="支出", **{"收支金额(元)": "0.12"}),
    flow(业务类型="退款", 收支类型="支出", 业务凭证号="REFUND0001", **{"收支金额(元)": "5.00"}),
    flow(业务类型="提现", 收支类型="支出", 业务凭证号="", **{"收支金额(元)": "10.00"}),
]
FLOW_GOOD = [FLOW, *FLOW_ROWS, FLOW_SUMS, "`4,`1,`19.90,`3,`15.12"]


def test_the_flow_of_funds(tmp_path: Path) -> None:
    path = written(tmp_path, FLOW_GOOD)
    assert BILLS.kind_of(path) == "fundflow"
    paid, back = rows_of(path, "fundflow", DAY)
    assert (paid["kind"], paid["order_no"], paid["amount_fen"]) == ("payment", "NUMBER0001", 1990)
    assert (back["kind"], back["refund_no"], back["line"]) == ("refund", "REFUND0001", 4)
    found = totals_of(path, "fundflow")
    assert (found.lines, found.payments, found.refunds, found.fee_mfen) == (4, 1, 1, 12_000)


@pytest.mark.parametrize(
    "lines",
    [
        [*FLOW_GOOD[:-1], "`5,`1,`19.90,`3,`15.12"],
        [*FLOW_GOOD[:-1], "`4,`2,`19.90,`3,`15.12"],
        [*FLOW_GOOD[:-1], "`4,`1,`19.91,`3,`15.12"],
        [*FLOW_GOOD[:-1], "`4,`1,`19.90,`3,`15.11"],
        [*FLOW_GOOD[:-1], "`4,`1,`19.90,`3"],
        FLOW_GOOD[:-2],
        [FLOW, flow(收支类型="退"), *FLOW_GOOD[2:]],
        [FLOW, flow(收支类型="支出"), *FLOW_GOOD[2:]],
        [FLOW, flow(**{"收支金额(元)": "-19.90"}), *FLOW_GOOD[2:]],
    ],
)
def test_a_flow_of_funds_that_does_not_add_up_is_refused(tmp_path: Path, lines: list[str]) -> None:
    refusal(written(tmp_path, lines), "fundflow")


def test_what_is_no_file_of_theirs(tmp_path: Path) -> None:
    with pytest.raises(BillRefused):
        BILLS.kind_of(written(tmp_path, ["a,b,c"]))
    with pytest.raises(BillRefused):
        BILLS.open("zm", written(tmp_path, GOOD))
    with pytest.raises(BillRefused):
        BILLS.open("fundflow", written(tmp_path, GOOD))


def test_sums_and_counts_as_they_are_written() -> None:
    """Hole 5: by digits, whatever a float would make of them."""
    assert [sum_mfen(text) for text in ("19.9", "0.0", "-0.03000", "5", "9.80")] == [
        1_990_000, 0, -3000, 500_000, 980_000,
    ]  # fmt: skip
    assert [count_of(text) for text in ("45.0", "45", "45.5", "-1", "")] == [
        45,
        45,
        None,
        None,
        None,
    ]
