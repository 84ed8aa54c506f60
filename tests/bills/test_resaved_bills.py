"""Bills as merchants really hand them in: opened in a spreadsheet, saved, joined, cut, mailed.

Each is read right, or refused with file, line and reason; never with another number.
"""

import csv
import gzip
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.bill_formats import bill_format
from channels.bills import BillRefused, BillTotals
from tests.bills.alipay_files import Bill
from tests.bills.test_alipay_bill import PAID, PAID_TWO, RETURNED
from tests.channels.test_wechat_bill import GOOD
from tests.channels.unionpay_files import zipped, zm_row

Change = Callable[[str], str]
DAYS = {
    "alipay": date(2026, 9, 16), "wechat": date(2026, 11, 22), "unionpay": date(2015, 9, 6),
}  # fmt: skip
KINDS = {"alipay": "trade", "wechat": "trade", "unionpay": "zm"}
NAMES = {"alipay": "bill.csv", "wechat": "bill.csv", "unionpay": "INN15090688ZM_990000000000077"}
TEXTS = {
    "alipay": "\n".join(Bill((PAID, replace(PAID_TWO, subject="苹果"), RETURNED)).lines) + "\n",
    "wechat": "\r\n".join(GOOD) + "\r\n",
    "unionpay": "".join(
        row.decode("gbk") + "\r\n"
        for row in (zm_row("ORDER1", 1990, 12), zm_row("BACK1", 500, 3, refund_of="ORDER1"))
    ),
}
ENCODINGS = {"alipay": "gb18030", "wechat": "utf-8", "unionpay": "gb18030"}
CSV = ("alipay", "wechat")


def read(channel: str, data: bytes, folder: Path, name: str = "") -> tuple[Any, BillTotals]:
    """The rows without their places, and the totals."""
    path = folder / (name or NAMES[channel])
    path.write_bytes(data)
    reader = bill_format(channel).open(KINDS[channel], path, DAYS[channel])
    rows = [row for batch in reader for row in batch.to_pylist()]
    return [{**row, "line": 0} for row in rows], reader.totals()


def good(channel: str, folder: Path) -> tuple[Any, BillTotals]:
    return read(channel, TEXTS[channel].encode(ENCODINGS[channel]), folder)


def padded(text: str) -> str:
    """As a spreadsheet saves a sheet whose lines are of different widths."""
    lines = text.splitlines()
    widest = max(line.count(",") for line in lines)
    return "".join(f"{line}{',' * (widest - line.count(','))}\r\n" for line in lines)


def quoted(text: str) -> str:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows(csv.reader(io.StringIO(text)))
    return out.getvalue()


def each_line(change: Callable[[list[str]], list[str]]) -> Change:
    return lambda text: "\r\n".join(change(text.splitlines())) + "\r\n"


def with_header_again(lines: list[str]) -> list[str]:
    header = next(line for line in lines if "商户订单号" in line)
    return [*lines[:-4], header, *lines[-4:]]


def with_one_more_column(lines: list[str]) -> list[str]:
    more = {"支": ",新列", "交": ",新列", "`": ",`x", "2": ",x"}
    is_sum = [line.startswith(("#", "总")) for line in lines]
    is_sum[-1] = True
    return [
        line if summed else line + more.get(line[:1], "")
        for line, summed in zip(lines, is_sum, strict=True)
    ]


def swapped(old: str, new: str) -> Change:
    return lambda text: text.replace(old, new)


ALIKE: Mapping[str, Change] = {
    "padded": padded,
    "LF": lambda text: "\n".join(text.splitlines()) + "\n",
    "CRLF": lambda text: "\r\n".join(text.splitlines()) + "\r\n",
    "no newline at the end": str.rstrip,
    "blank lines at the end": lambda text: text + "\r\n\r\n",
    "an unknown column": each_line(with_one_more_column),
    "one decimal": swapped("19.90", "19.9"),
}
REFUSED: Mapping[str, tuple[Change, str]] = {
    "every cell quoted": (quoted, "no column|before the mark"),
    "CR alone": (lambda text: "\r".join(text.splitlines()), "twice|mark"),
    "CR CR LF": (lambda text: "\r\r\n".join(text.splitlines()), "cannot be read"),
    "blank lines between": (
        lambda text: "\r\n\r\n".join(text.splitlines()), "neither|业务类型|columns",
    ),
    "thousands separators": (swapped("19.90", '"1,990.00"'), "is not an amount|columns"),
    "a plus": (swapped("19.90", "+19.90"), "is not an amount"),
    "a minus behind": (swapped("19.90", "19.90-"), "is not an amount"),
    "full-width digits": (swapped("19.90", "１９．９０"), "is not an amount"),
    "an exponent": (swapped("19.90", "1.99E+01"), "is not an amount"),
    "a sign of money": (swapped("19.90", "¥19.90"), "is not an amount"),
    "a unit": (swapped("19.90", "19.90元"), "is not an amount"),
    "a hard space": (swapped("19.90", "\u00a019.90"), "is not an amount"),
    "dates with strokes": (
        lambda text: re.sub(r"2026-(\d\d)-(\d\d) (?=1)", r"2026/\1/\2 ", text),
        "is not a time|is not of",
    ),
    "times without seconds": (
        lambda text: re.sub(r"(\d\d:\d\d):\d\d(?=,)", r"\1", text), "is not a time",
    ),
    "a channel's number rounded": (
        lambda text: re.sub(r"20260916220014\d+|4200000925", "2.02609E+27", text), "spreadsheet",
    ),
    "an order's number rounded": (
        lambda text: re.sub("order0001|NUMBER0001", "1.2e+31", text), "spreadsheet",
    ),
    "a refund's number rounded": (
        lambda text: re.sub("refund0001|REFUND0001", "1E+31", text), "spreadsheet",
    ),
    "a control character in a number": (
        lambda text: re.sub("order0001|NUMBER0001", "NUMBER\0001", text), "control",
    ),
    "the header again": (each_line(with_header_again), "业务类型|neither"),
    "the sums before the rows": (
        each_line(lambda lines: lines[-3:] + lines[:-3]), "no column|missing|mark",
    ),
    "the file twice": (lambda text: text + text, "neither|after the end"),
    "rows twice": (
        each_line(
            lambda lines: [
                line for one in lines for line in [one] * (2 if one[:3] in ("202", "`20") else 1)
            ]
        ),
        "counts",
    ),
    "semicolons": (swapped(",", ";"), "no column"),
    "tabs for commas": (swapped(",", "\t"), "no column"),
    "a quote that stays open": (
        lambda text: text.replace("19.90", '"19.90', 1), "quotes|is not an amount",
    ),
    "an end of DOS": (lambda text: text + "\x1a", "after the end|neither"),
}  # fmt: skip
SAVED_ANEW = {
    "GBK": ("gb18030", b""),
    "UTF-8": ("utf-8", b""),
    "marked": ("utf-8", b"\xef\xbb\xbf"),
}


@pytest.mark.parametrize("channel", CSV)
@pytest.mark.parametrize("change", ALIKE.values(), ids=ALIKE)
@pytest.mark.parametrize("saved", SAVED_ANEW.values(), ids=SAVED_ANEW)
def test_what_a_spreadsheet_saves_says_the_same(
    channel: str, change: Change, saved: tuple[str, bytes], tmp_path: Path
) -> None:
    encoding, mark = saved
    data = mark + change(TEXTS[channel]).encode(encoding)
    assert read(channel, data, tmp_path) == good(channel, tmp_path)


@pytest.mark.parametrize("channel", CSV)
@pytest.mark.parametrize(("change", "why"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_believed_is_refused_with_its_reason(
    channel: str, change: Change, why: str, tmp_path: Path
) -> None:
    data = change(TEXTS[channel])
    assert data != TEXTS[channel]
    with pytest.raises(BillRefused, match=why) as caught:
        read(channel, data.encode(ENCODINGS[channel]), tmp_path)
    assert (caught.value.file, caught.value.line > 0) == ("bill.csv", True)


@pytest.mark.parametrize("channel", NAMES)
@pytest.mark.parametrize(
    "data", [b"<html><body>log in</body></html>", b"\n", "空".encode("utf-16"), b"\0" * 999]
)
def test_what_is_no_bill_at_all_is_refused(channel: str, data: bytes, tmp_path: Path) -> None:
    with pytest.raises(BillRefused):
        read(channel, data, tmp_path)


@pytest.mark.parametrize("channel", NAMES)
def test_however_it_is_packed_it_is_one_bill_or_refused(channel: str, tmp_path: Path) -> None:
    data, name = TEXTS[channel].encode(ENCODINGS[channel]), NAMES[channel]
    plain = good(channel, tmp_path)
    assert read(channel, gzip.compress(data), tmp_path, f"{name}.gz") == plain
    assert read(channel, zipped({"day/": b"", f"day/{name}": data}), tmp_path, "a.zip") == plain
    for broken, packed in {
        "b.zip": zipped({name: data, f"2{name}": data}),
        "c.zip": zipped({name: data})[:-9],
        f"{name}.cut.gz": gzip.compress(data)[:-5],
        "d.xlsx": zipped({"[Content_Types].xml": b"<x/>", "xl/workbook.xml": b"<x/>"}),
    }.items():
        with pytest.raises(BillRefused):
            read(channel, packed, tmp_path, broken)


@pytest.mark.parametrize("channel", CSV)
def test_an_empty_file_is_no_empty_day(channel: str, tmp_path: Path) -> None:
    """A day without trade has a header and sums of nothing."""
    with pytest.raises(BillRefused):
        read(channel, b"", tmp_path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bills")


@given(channel=st.sampled_from(CSV), data=st.data())
def test_a_byte_that_changed_never_makes_another_sum(
    folder: Path, channel: str, data: st.DataObject
) -> None:
    raw = TEXTS[channel].encode(ENCODINGS[channel])
    place = data.draw(st.integers(0, len(raw) - 1))
    changed = raw[:place] + bytes([data.draw(st.integers(0, 255))]) + raw[place + 1 :]
    _, plain = good(channel, folder)
    try:
        _, totals = read(channel, changed, folder)
    except BillRefused:
        return
    figures = (totals.lines, totals.payments_fen, totals.refunds_fen)
    assert figures == (plain.lines, plain.payments_fen, plain.refunds_fen)
