"""Statements on paper: read back by a reader that is not their writer."""

import io
from datetime import date
from pathlib import Path
from typing import Any

import pypdf

from gateway.print_font import FONT_FILE
from reconciliation.night_records import StoredStatement
from reconciliation.settlement import Late, Statement
from reconciliation.statement_pdf import file_name, statement_pdfs

NAMES = {"m1": "老王豆浆铺（龘）", "m/2": "Tea & Co"}


def kept(merchant_no: str, **changes: Any) -> StoredStatement:
    """A settled day."""
    values: dict[str, Any] = {
        "payments": 1200, "refunds": 1, "gross_fen": 123_456_78, "refunds_fen": 500,
        "channel_fee_fen": 700, "our_fee_fen": 900, "carried_in_fen": -100,
    }  # fmt: skip
    statement = Statement(**(values | changes), bears_channel_fee=False)
    return StoredStatement(
        merchant_no=merchant_no, day=date(2026, 3, 14), currency="CNY", statement=statement,
        created_at_ms=1_773_500_000_000,
    )  # fmt: skip


def printed(work: Path, *statements: StoredStatement) -> dict[str, bytes]:
    """The files of a day."""
    work.mkdir()
    return dict(statement_pdfs(statements, NAMES, FONT_FILE, work))


def text_of(data: bytes) -> str:
    """What a reader sees on the one page."""
    (page,) = pypdf.PdfReader(io.BytesIO(data)).pages
    return page.extract_text()


def test_it_says_all_that_the_statement_says_in_both_languages(tmp_path: Path) -> None:
    files = printed(tmp_path / "w", kept("m1"))
    text = text_of(files["statement-m1-CNY.pdf"])
    for words in (
        "商户结算单", "老王豆浆铺（龘）", "2026-03-14", "1,200", "123,456.78", "5.00", "7.00", "9.00",
        "-1.00", "123,442.78", "应付金额 Payable", "123,441.78", "四舍六入五成双",
    ):  # fmt: skip
        assert words in text, words


def test_it_names_the_days_of_what_is_late(tmp_path: Path) -> None:
    late = Late(
        day=date(2026, 3, 13), payments=1, refunds=1, gross_fen=1990, refunds_fen=90, our_fee_fen=1
    )
    (data,) = printed(tmp_path / "w", kept("m1", late=(late,))).values()
    assert "含 2026-03-13 结算后补记 19.00" in text_of(data)


def test_the_same_statements_are_the_same_bytes(tmp_path: Path) -> None:
    both = kept("m1"), kept("m/2", gross_fen=0)
    first = printed(tmp_path / "1", *both)
    assert first == printed(tmp_path / "2", *both)
    assert len(first) == 2
    assert all(len(data) < 100_000 for data in first.values())


def test_a_merchants_number_is_no_path(tmp_path: Path) -> None:
    assert file_name(kept("../m 2")) == "statement-%2e%2e%2fm%202-CNY.pdf"
    assert file_name(kept("a%2fb")) != file_name(kept("a/b"))


def test_nobody_settled_is_no_file(tmp_path: Path) -> None:
    assert printed(tmp_path / "w") == {}


def test_the_font_has_every_sign_of_gbk() -> None:
    """Merchants' names are printed, not boxes."""
    from fontTools.ttLib import TTFont  # noqa: PLC0415 - only this test opens the font itself

    font = TTFont(FONT_FILE, lazy=True)
    known = font.getBestCmap()
    signs = [
        bytes((high, low)).decode("gb2312", "ignore")
        for high in range(0xB0, 0xF8)
        for low in range(0xA1, 0xFF)
    ]
    missing = [sign for sign in signs if sign and ord(sign) not in known]
    assert missing == []
    assert all(code in known for code in range(0x20, 0x7F))
