"""UnionPay's files: cut by bytes, added up, held against the summary, believed whole or not."""

import gzip
import json
import subprocess
import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.bill_formats import bill_format
from channels.bill_rows import BILL_SCHEMA
from channels.bills import BillRefused, BillTotals
from channels.unionpay.file_layouts import OWN_FILE, load_layouts
from channels.unionpay.files import BILLS, UnionPayBills
from channels.unionpay.lzw import unpacked
from domain.errors import ConfigurationError
from tests.channels.unionpay_files import (
    ACOM_LINE,
    compressed,
    lines,
    rd,
    record,
    zipped,
    zm_row,
)
from tests.conftest import samples_folder

ZM_NAME, RD_NAME = "INN15090688ZM_802310048993424", "RD201015090601_802310048993424"
DAY = date(2015, 9, 6)


def written(tmp_path: Path, content: bytes, name: str = ZM_NAME) -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def read(
    path: Path, kind: str = "zm", day: date | None = None
) -> tuple[list[dict[str, object]], BillTotals]:
    reader = BILLS.open(kind, path, day)
    rows: list[dict[str, object]] = []
    for batch in reader:
        assert batch.schema == BILL_SCHEMA
        rows += batch.to_pylist()
    return rows, reader.totals()


def refused(path: Path, kind: str = "zm", day: date | None = None) -> BillRefused:
    with pytest.raises(BillRefused) as fault:
        read(path, kind, day)
    return fault.value


@pytest.mark.samples
def test_the_vendors_sample_adds_up_to_its_own_summary() -> None:
    """1322700 less 7936 is 1314764 fen, and the RD beside it says the same."""
    path = samples_folder() / "unionpay" / "bills" / "802310048993424_20150905.zip"
    assert BILLS.kind_of(path) == "zm"
    rows, totals = read(path)
    assert (totals.lines, totals.payments, totals.refunds) == (8, 8, 0)
    assert (totals.payments_fen, totals.fee_mfen) == (1_322_700, 7_936_000)
    assert totals.payments_fen - totals.fee_mfen // 1000 == 1_314_764
    assert totals.footer_agrees is True
    first = rows[0]
    assert (first["amount_fen"], first["fee_mfen"], first["trade_no"]) == (
        476_800,
        2_861_000,
        "201509061122031906248",
    )
    paid_at = datetime(2015, 9, 6, 3, 22, 3, tzinfo=UTC)
    assert first["at_ms"] == int(paid_at.timestamp() * 1000)


def test_a_merchants_day_row_by_row(tmp_path: Path) -> None:
    """A payment, and a refund that names it by what our request carried along."""
    rows = [
        zm_row("ORDERA", 1990, 12),
        zm_row("REFUNDA", 500, 3, refund_of="ORDERA"),
        zm_row(
            "REFUNDB", 100, 0, refund_of="", txn_type="31", original="ORDERA", net="D000000000100"
        ),
    ]
    files = {ZM_NAME: lines(rows), RD_NAME: rd(3, 1990, 600, 12, 3)}
    found, totals = read(written(tmp_path, zipped(files), "day.zip"))
    assert [(row["kind"], row["order_no"], row["refund_no"]) for row in found] == [
        ("payment", "ORDERA", ""),
        ("refund", "ORDERA", "REFUNDA"),
        ("refund", "ORDERA", "REFUNDB"),
    ]
    assert [row["fee_mfen"] for row in found] == [12_000, -3_000, 0]
    assert (totals.payments_fen, totals.refunds_fen, totals.footer_agrees) == (1990, 600, True)


@pytest.mark.parametrize(
    "stated",
    [
        rd(2, 1990, 0, 12, 0),
        rd(1, 1991, 0, 12, 0),
        rd(1, 1990, 1, 12, 0),
        rd(1, 1990, 0, 13, 0),
        rd(1, 1990, 0, 12, 1),
        rd(1, 1990, 0, 12, 0, day="20150907"),
        b"\xff\xff",
        "没有总计".encode("gbk"),
        "总计 1 x 0.00 0.00 0.00 0.00 0.00".encode("gbk"),
    ],
    ids=range(9),
)
def test_a_summary_that_says_otherwise_refuses_the_day(tmp_path: Path, stated: bytes) -> None:
    files = {ZM_NAME: lines([zm_row("ORDERA", 1990, 12)]), RD_NAME: stated}
    refused(written(tmp_path, zipped(files), "day.zip"))
    files[RD_NAME] = rd(1, 1990, 0, 12, 0)
    assert read(written(tmp_path, zipped(files), "day.zip"))[1].footer_agrees is True


def test_totals_wait_for_the_last_row(tmp_path: Path) -> None:
    reader = BILLS.open("zm", written(tmp_path, lines([zm_row("ORDERA", 1990, 12)])))
    with pytest.raises(RuntimeError):
        reader.totals()
    assert len(list(reader)) == 1
    assert reader.totals().footer_agrees is None


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (lambda row: row[:-1], 2),
        (lambda row: row + b" ", 2),
        (lambda row: row[:3] + b"X" + row[4:], 2),
        (lambda row: row[:66] + b"00000000199x" + row[78:], 2),
        (lambda row: row[:66] + b"-00000000199" + row[78:], 2),
        (lambda row: row[:166] + b"X000000000012" + row[179:], 2),
        (lambda row: row[:180] + b"C00000000 012" + row[193:], 2),
        (lambda row: row[:35] + b"0931112203" + row[45:], 2),
        (lambda row: row[:35] + b"09 6112203" + row[45:], 2),
        (lambda row: row[:112] + b"\xd6\xd0" + row[114:], 2),
        (lambda row: b"", 2),
        (lambda row: row[:300] + b"\n" + row[301:], 2),
    ],
)
def test_the_first_record_that_is_none_is_named_by_its_line(
    tmp_path: Path, wrong: object, line: int
) -> None:
    good = zm_row("ORDERA", 1990, 12)
    rows = [good, wrong(good), good]  # type: ignore[operator]  # a function of one record
    fault = refused(written(tmp_path, lines(rows)))
    assert fault.line == line
    assert "ORDERA" not in str(fault)


def test_a_chinese_name_moves_nothing_behind_it(tmp_path: Path) -> None:
    """Bytes are cut before they are decoded: 16 characters of a name are 32 bytes."""
    row = zm_row("ORDERA", 1990, 12, name="街" * 16, reserved="尾")
    refund = zm_row("REFUNDA", 5, 0, refund_of="原订单")
    rows, _ = read(written(tmp_path, lines([row, refund], b"\n")))
    assert rows[1]["order_no"] == ""
    assert rows[0]["order_no"] == "ORDERA"
    assert rows[0]["amount_fen"] == 1990


@pytest.mark.parametrize(
    ("trace_time", "day", "year"),
    [
        ("1231235959", date(2026, 1, 1), 2025),
        ("0101000001", date(2025, 12, 31), 2026),
        ("0101000001", date(2026, 1, 1), 2026),
        ("0229120000", date(2028, 2, 29), 2028),
        ("0701120000", date(2026, 1, 15), 2026),
    ],
)
def test_the_missing_year_is_the_one_next_to_the_files_day(
    tmp_path: Path, trace_time: str, day: date, year: int
) -> None:
    """New Year: the last night of December lies in January's first file."""
    row = zm_row("ORDERA", 1990, 12, trace_time=trace_time)
    rows, _ = read(written(tmp_path, lines([row]), f"INN{day:%y%m%d}88ZM_1"))
    at_ms = rows[0]["at_ms"]
    assert isinstance(at_ms, int)
    told = datetime.fromtimestamp(at_ms / 1000, UTC) + timedelta(hours=8)
    assert f"{told:%Y%m%d%H%M%S}" == f"{year}{trace_time}"


def test_29_february_of_a_year_that_has_none_is_refused(tmp_path: Path) -> None:
    row = zm_row("ORDERA", 1990, 12, trace_time="0229120000")
    assert refused(written(tmp_path, lines([row]), "INN27022888ZM_1")).line == 1


def test_a_file_without_a_day_needs_one_and_two_days_refuse(tmp_path: Path) -> None:
    path = written(tmp_path, lines([zm_row("ORDERA", 1990, 12)]), "renamed.txt")
    assert "day" in refused(path).why
    assert read(path, day=DAY)[1].payments == 1
    named = written(tmp_path, lines([zm_row("ORDERA", 1990, 12)]))
    assert "one day" in refused(named, day=date(2015, 9, 5)).why


def test_a_line_of_an_institutions_file_as_published(tmp_path: Path) -> None:
    """Fields by the reference: amount, interchange, the switch's fee, the order's number."""
    line = ACOM_LINE.encode() + b"\n"
    rows, totals = read(written(tmp_path, line, "IND18080301ACOMN"), "acomn")
    (row,) = rows
    assert (row["kind"], row["amount_fen"], row["trade_no"], row["status"]) == (
        "payment",
        100,
        "215228025551",
        "00",
    )
    assert row["order_no"] == "SZUP032018080316215228025551"
    assert str(row["order_no"]).endswith(str(row["trade_no"]))
    assert totals.fee_mfen == 4_000  # 7 fen paid less 3 received by the switch


def institution(mti: str, processing: str, **flags: str) -> bytes:
    line = bytearray(ACOM_LINE.encode().ljust(719))
    line[101:105], line[106:112] = mti.encode(), processing.encode()
    for place in (311, 323, 325, 327, 332, 335):
        line[place] = 0x20
    line[324:325] = flags.get("reversed", " ").encode()
    line[326:327] = flags.get("cancelled", " ").encode()
    return bytes(line)


def test_holds_inquiries_and_undone_pairs_are_left_out(tmp_path: Path) -> None:
    rows = [
        institution("0200", "000000"),
        institution("0200", "000000", reversed="R"),
        institution("0420", "000000", reversed="R"),
        institution("0200", "000000", cancelled="C"),
        institution("0200", "200000", cancelled="C"),
        institution("0100", "030000"),
        institution("0200", "300000"),
        institution("0220", "200000"),
        institution("0420", "200000"),
    ]
    path = written(tmp_path, lines(rows, b"\n"), "INN18080301COMA")
    found, _ = read(path, "coma")
    assert [(row["kind"], row["line"]) for row in found] == [
        ("payment", 1),
        ("refund", 8),
        ("payment", 9),
    ]


def test_a_row_that_names_no_order_tells_its_terminal_and_traces(tmp_path: Path) -> None:
    """What stands between them in our numbers is not in the file; 000000 is no trace."""
    line = bytearray(institution("0220", "200000"))
    line[178:184] = b"747301"
    bare = bytes(line[:299])
    rows, _ = read(written(tmp_path, bare + b"\n", "IND18080301ACOM"), "acom")
    assert (rows[0]["order_no"], rows[0]["refund_no"]) == (
        "01080209??????747301",
        "01080209??????747302",
    )
    line[178:184], line[118:126] = b"000000", b"0108 209"
    rows, _ = read(written(tmp_path, bytes(line[:299]) + b"\n", "IND18080301ACOM"), "acom")
    assert (rows[0]["order_no"], rows[0]["refund_no"]) == ("", "")


def test_an_offline_sale_is_a_payment_though_it_is_an_advice(tmp_path: Path) -> None:
    line = institution("0220", "000000") + b"\n"
    rows, _ = read(written(tmp_path, line, "INN18080301COMA"), "coma")
    assert [row["kind"] for row in rows] == ["payment"]


def test_an_agents_errors_have_the_orders_number_too(tmp_path: Path) -> None:
    """Offsets as a public program has them: 81 fields, the order's number the 52nd."""
    places = {
        "code": (0, 3), "time": (35, 10), "amount": (66, 12), "mti": (79, 4),
        "processing": (84, 6), "terminal": (96, 8), "reference": (105, 12), "trace": (28, 6),
        "original": (152, 6), "status": (159, 2), "receivable": (166, 12),
        "payable": (179, 12), "switch": (205, 12), "order": (499, 40),
    }  # fmt: skip
    row = record(
        1010, places, code="E32", time="0803162152", amount="000000000100", mti="0220",
        processing="200000", terminal="01080209", reference="215228025551", trace="900001",
        original="747302", status="00", receivable="000000000007", payable="000000000000",
        switch="C00000000001", order="RETURN1",
    )  # fmt: skip
    rows, totals = read(written(tmp_path, lines([row]), "INN18080301AERRA"), "aerra")
    (found,) = rows
    assert (found["kind"], found["order_no"], found["refund_no"], found["trade_no"]) == (
        "refund", "01080209??????747302", "RETURN1", "215228025551",
    )  # fmt: skip
    assert totals.fee_mfen == -8_000


def test_a_file_is_read_as_what_its_name_says_or_refused(tmp_path: Path) -> None:
    """A night asks for an ACOM: an ACOMN does as well, a COMA or the errors would lie to it."""
    line = ACOM_LINE.encode() + b"\n"
    rows, _ = read(written(tmp_path, line, "IND18080301ACOMN"), "acom")
    assert rows[0]["order_no"] == "SZUP032018080316215228025551"
    renamed, _ = read(written(tmp_path, line, "laid-by-hand"), "acom", date(2018, 8, 3))
    assert renamed[0]["order_no"] == "01080209??????747302"
    for name in ("INN18080301COMA", "INN18080301AERR", "INN18080388ZM_1"):
        fault = refused(written(tmp_path, institution("0200", "000000") + b"\n", name), "acom")
        assert "kind" in fault.why


def test_an_institutions_layout_is_data(tmp_path: Path) -> None:
    """An agent that puts twelve characters before each record is a file of numbers."""
    raw = json.loads(OWN_FILE.read_text())
    own = raw["acom"]
    own["fields"] = {name: [at + 12, length] for name, (at, length) in own["fields"].items()}
    own["separators"] = [at + 12 for at in own["separators"]]
    own["bytes"] = [311, 1024]
    layouts = tmp_path / "own.json"
    layouts.write_text(json.dumps({"acom": own}))
    bills = UnionPayBills(load_layouts(layouts))
    line = b"LOCAL0000001" + ACOM_LINE.encode() + b"\n"
    path = written(tmp_path, line, "IND18080301ACOM")
    (batch,) = bills.open("acom", path)
    assert batch.to_pylist()[0]["amount_fen"] == 100
    for broken in ("{}", "[]", '{"acom": {}}', "{"):
        layouts.write_text(broken)
        with pytest.raises(ConfigurationError):
            load_layouts(layouts)


def test_every_kind_is_known_by_its_name_and_errors_are_read_too(tmp_path: Path) -> None:
    assert bill_format("unionpay").kinds == (
        "zm", "zme", "acom", "acomn", "coma", "aerr", "aerra",
    )  # fmt: skip
    for name, kind in (
        ("INN18080301ACOM", "acom"),
        ("IND18080301ACOMN.Z", "acomn"),
        ("INN18080301COMA", "coma"),
        ("INN18080301ACOMA", "coma"),
        ("INN18080301AERR", "aerr"),
        ("INN18080301AERRA", "aerra"),
        ("INN18080388ZME_1", "zme"),
        ("INN18080388ZM_1", "zm"),
    ):
        assert BILLS.kind_of(written(tmp_path, b"x", name)) == kind
    with pytest.raises(BillRefused):
        BILLS.kind_of(written(tmp_path, b"x", "holiday.jpg"))
    zme = {"code": (0, 3), "time": (35, 10), "amount": (66, 12), "fee": (126, 13), "net": (140, 13)}
    row = record(
        339, zme, code="E74", time="0803162152", amount="000000000100",
        fee="D000000000000", net="D000000000100",
    )  # fmt: skip
    rows, _ = read(written(tmp_path, lines([row]), "INN18080388ZME_1"), "zme")
    assert (rows[0]["kind"], rows[0]["amount_fen"], rows[0]["status"]) == ("refund", 100, "E74")


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=3000) | st.binary(max_size=12).map(lambda some: some * 400))
def test_what_compress_packed_comes_out_again(data: bytes) -> None:
    assert b"".join(unpacked(compressed(data))) == data


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 255))
def test_no_z_file_makes_anything_but_bytes_or_an_error(tail: bytes, flags: int) -> None:
    try:
        out = b"".join(unpacked(b"\x1f\x9d" + bytes([flags]) + tail))
    except OSError:
        return
    assert len(out) <= (len(tail) * 8 // 9 + 1) * 400


def test_compress_agrees_with_the_machines_own_gzip(tmp_path: Path) -> None:
    """The other tool reads what our test packs, so that both are not wrong alike."""
    data = lines([zm_row(f"ORDER{number:06}", number + 1, 0) for number in range(400)])
    packed = written(tmp_path, compressed(data), "a.Z")
    found = subprocess.run(["gzip", "-dc", packed], capture_output=True, check=True)
    assert found.stdout == data
    assert b"".join(unpacked(packed.read_bytes())) == data


@pytest.mark.parametrize(
    ("pack", "suffix"), [(compressed, ".Z"), (gzip.compress, ".gz"), (bytes, "")]
)
def test_the_same_rows_come_out_of_every_packing(
    tmp_path: Path, pack: Callable[[bytes], bytes], suffix: str
) -> None:
    rows = [zm_row(f"ORDER{number:06}", number + 1, 0) for number in range(3000)]
    path = written(tmp_path, pack(lines(rows)), ZM_NAME + suffix)
    _, totals = read(path)
    assert (totals.lines, totals.payments_fen) == (3000, 3000 * 3001 // 2)


def test_a_cut_z_file_and_one_that_grows_without_bound_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = compressed(lines([zm_row("ORDERA", 1990, 12)] * 50))
    refused(written(tmp_path, whole[: len(whole) // 2], ZM_NAME + ".Z"))
    refused(written(tmp_path, b"\x1f\x9d\x90\xff\xff\xff", ZM_NAME + ".Z"))
    monkeypatch.setattr("channels.unionpay.lzw.MAX_TABLE_BYTES", 10_000)
    with pytest.raises(OSError, match="repeats"):
        list(unpacked(compressed(bytes(100_000))))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=2000))
def test_hostile_bytes_are_refused_or_read_and_nothing_else(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / ZM_NAME
        path.write_bytes(data)
        try:
            _, totals = read(path)
        except BillRefused:
            return
        assert totals.lines == 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 10**11), st.integers(0, 10**9), st.booleans()),
        min_size=1,
        max_size=40,
    )
)
def test_any_day_adds_up_to_the_fen(day: list[tuple[int, int, bool]]) -> None:
    rows, sums = [], [0, 0, 0, 0]
    for number, (amount_fen, cost_fen, is_refund) in enumerate(day):
        fee_fen = min(cost_fen, amount_fen)
        refund_of = "ORDERX" if is_refund else ""
        rows.append(zm_row(f"ORDER{number}", amount_fen, fee_fen, refund_of=refund_of))
        sums[is_refund] += amount_fen
        sums[2 + is_refund] += fee_fen
    files = {ZM_NAME: lines(rows), RD_NAME: rd(len(day), sums[0], sums[1], sums[2], sums[3])}
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "day.zip"
        path.write_bytes(zipped(files))
        _, totals = read(path)
    assert (totals.payments_fen, totals.refunds_fen) == (sums[0], sums[1])
    assert totals.fee_mfen == (sums[2] - sums[3]) * 1000
