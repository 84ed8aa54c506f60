"""Columns of text to integers: what is read is read exactly, and nothing else is."""

import re
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.bill_archive import BillSource
from channels.bill_columns import Unfit, beijing_ms, counted, scaled, trimmed
from channels.bill_table import read_rows, shape_of
from channels.bill_text import MAX_LINE_BYTES, Block, blocks
from channels.bills import BillRefused
from domain.money import MoneyError, parse_yuan

AMOUNT = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,5})?", re.ASCII)
NEARLY = st.text("-+.0123456789eExX \t٣", max_size=9)


def column(*texts: str) -> pa.StringArray:
    return pa.array(texts, pa.string())


@given(st.lists(st.one_of(NEARLY, st.integers(-(10**13), 10**13).map(str)), min_size=1, max_size=8))
def test_yuan_become_fen_as_the_domain_reads_them(texts: list[str]) -> None:
    wanted = []
    for row, text in enumerate(texts):
        try:
            wanted.append(parse_yuan(text))
        except MoneyError:
            with pytest.raises(Unfit) as caught:
                scaled(column(*texts), 2, "amount")
            assert caught.value.row == row
            return
    assert scaled(column(*texts), 2, "amount").to_pylist() == wanted


@given(st.lists(st.from_regex(AMOUNT, fullmatch=True), max_size=8))
def test_five_places_become_thousandths_of_a_fen(texts: list[str]) -> None:
    def exact(text: str) -> int:
        whole, _, decimals = text.removeprefix("-").partition(".")
        value = int(whole) * 10**5 + int(decimals.ljust(5, "0"))
        return -value if text.startswith("-") else value

    assert scaled(column(*texts), 5, "fee").to_pylist() == [exact(text) for text in texts]


@settings(deadline=None)
@given(st.integers(0, 7 * 10**9))
def test_beijing_time_becomes_utc(utc_s: int) -> None:
    local = datetime.fromtimestamp(utc_s, UTC) + timedelta(hours=8)
    text = f"{local:%Y-%m-%d %H:%M:%S}"
    assert beijing_ms(column(text), "t").to_pylist() == [utc_s * 1000]


def test_no_time_is_zero_and_no_other_text_is_a_time() -> None:
    assert beijing_ms(column("", "1970-01-01 08:00:01"), "t").to_pylist() == [0, 1000]
    for wrong in (
        "2026-02-30 00:00:00",
        "2026-01-01T00:00:00",
        "2026-01-01",
        "2026-01-01 24:00:00",
    ):
        with pytest.raises(Unfit) as caught:
            beijing_ms(column("2026-01-01 00:00:00", wrong), "t")
        assert caught.value.row == 1


def test_counts_and_blanks() -> None:
    assert counted(column("0", "007"), "n").to_pylist() == [0, 7]
    with pytest.raises(Unfit):
        counted(column("0", "-1"), "n")
    assert trimmed(column("\t a \t", "")).to_pylist() == ["a", ""]


@given(
    st.lists(st.text("ab,\n", max_size=6).map(str.encode), max_size=8).map(b"\n".join),
    st.integers(1, 7),
)
def test_blocks_are_whole_lines_counted_from_one(data: bytes, size: int) -> None:
    class Given(BillSource):
        def __init__(self) -> None:
            self.name, self.rest = "bill", data

        def read(self, size: int) -> bytes:
            piece, self.rest = self.rest[:size], self.rest[size:]
            return piece

    made = list(blocks(Given(), size))
    assert b"".join(block.data for block in made) == data
    line = 1
    for block in made:
        assert block.first_line == line
        assert block.data.endswith(b"\n") or block is made[-1]
        line += block.lines
    texts = [pair for block in made for pair in block.texts("utf-8", "bill")]
    expected = data.decode().removesuffix("\n").split("\n") if data else []
    assert texts == list(enumerate((text.strip() for text in expected), 1))


def test_a_line_without_end_is_refused() -> None:
    class Endless(BillSource):
        def __init__(self) -> None:
            self.name = "bill"

        def read(self, size: int) -> bytes:
            return b"x" * size

    with pytest.raises(BillRefused, match="longer"):
        list(blocks(Endless(), MAX_LINE_BYTES))


def rows_of(text: str, *needed: str) -> dict[str, list[str | None]]:
    header, _, rest = text.partition("\n")
    shape = shape_of(header.split(","), needed, "gb18030")
    block = Block(rest.encode("gb18030"), 2, rest.count("\n"))
    return {name: found.to_pylist() for name, found in read_rows(block, shape).items()}


def test_columns_are_found_by_name_and_decoded() -> None:
    text = '商品（件）, a\t,b\n苹果,1,"x,y"\n梨,2,\n'
    assert rows_of(text, "b", "商品(件)") == {"b": ["x,y", ""], "商品(件)": ["苹果", "梨"]}


def test_a_quote_in_the_middle_of_a_value_is_a_letter() -> None:
    assert rows_of('a,b\n2" pipe,1\n', "a") == {"a": ['2" pipe']}


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("a,b\n1,2\n1,2,3\n", 1),
        ("a,b\n1,2\n1\n", 1),
        ('a,b\n1,2\n1,2\n1,"2\n', 2),
        ('a,b\n1,"2\n"\n', 0),
        ("a,b\n1,2\n1\r1,2\n", 1),
        ('a,b\n1,2\n1,"2"\n1,2"\n1,"2\n', 3),
    ],
)
def test_the_first_wrong_row_is_named(text: str, row: int) -> None:
    with pytest.raises(Unfit) as caught:
        rows_of(text, "a")
    assert caught.value.row == row
