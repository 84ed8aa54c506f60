"""A merchant's settled day as a PDF, for the merchant and the file.

Rules: a statement never changes, so neither do its bytes: the document carries the time at
which the statement was made and no other, and numbers are text made from integers. Of the font
only the glyphs of the day's statements are read again and again
(:func:`statement_pdfs`): opening all of a Chinese font for each of a thousand merchants would take
the night.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from fpdf import FPDF

from domain.clock import beijing
from domain.money import format_yuan
from reconciliation.exports import grouped
from reconciliation.night_records import StoredStatement
from reconciliation.settlement import Late

_FAMILY: Final = "statement"
_LABEL_MM: Final = 120.0
_LINE_MM: Final = 9.0
_TITLE: Final = "商户结算单 Settlement statement"
_HEAD: Final = ("商户号 Merchant", "商户名称 Name", "结算日 Day", "币种 Currency", "制单 Made")
_LINES: Final = (
    ("交易金额 Gross", "gross_fen"),
    ("退款金额 Refunds", "refunds_fen"),
    ("渠道手续费 Channel fee", "channel_fee_fen"),
    ("服务费 Our fee", "our_fee_fen"),
    ("当日净额 Net of the day", "net_fen"),
    ("上日结转 Carried in", "carried_in_fen"),
    ("应付金额 Payable", "payable_fen"),
    ("结转下日 Carried out", "carried_out_fen"),
)
_COUNTS: Final = (("支付笔数 Payments", "payments"), ("退款笔数 Refunds", "refunds"))
_BORNE: Final = {
    True: "渠道手续费由商户承担。 The channel's fee is the merchant's to bear.",
    False: "渠道手续费已含在服务费内。 The channel's fee is covered by ours.",
}
_NOTES: Final = (
    "金额单位：元。服务费逐笔四舍六入五成双至分，渠道手续费按日汇总后取整一次。",
    "Amounts in yuan. Our fee is rounded to the fen for each payment, half to even; the "
    "channel's fee is summed and rounded once.",
    "应付为负时不付款，余额结转下日。 What is owed to us is carried until it is made up for.",
)


def file_name(kept: StoredStatement) -> str:
    """The file of a statement; whatever is no letter, digit or dash is written as its number."""
    merchant = "".join(
        sign if sign.isascii() and (sign.isalnum() or sign in "_-") else f"%{ord(sign):x}"
        for sign in kept.merchant_no
    )
    return f"statement-{merchant}-{kept.currency}.pdf"


def statement_pdfs(
    statements: Sequence[StoredStatement], names: Mapping[str, str], font: Path, work: Path
) -> Iterator[tuple[str, bytes]]:
    """A file name and its bytes for each statement; ``work`` holds the day's small font."""
    texts = [_texts(kept, names.get(kept.merchant_no, "")) for kept in statements]
    small = work / "statement.ttf"
    _narrow(font, (text for lines in texts for line in lines for text in line), small)
    for kept, lines in zip(statements, texts, strict=True):
        yield file_name(kept), _document(kept, lines, small)


def _narrow(font: Path, texts: Iterable[str], target: Path) -> None:
    """The font with no other glyphs than those of ``texts``."""
    whole = TTFont(font, recalcTimestamp=False, lazy=True)
    options = Options()
    options.layout_features = []
    options.hinting = False
    options.notdef_outline = True
    subsetter = Subsetter(options)
    subsetter.populate(text="".join(sorted({sign for text in texts for sign in text})))
    subsetter.subset(whole)
    whole.save(target)
    whole.close()


_Lines = Sequence[tuple[str, str]]


def _texts(kept: StoredStatement, name: str) -> _Lines:
    """Everything that is printed, as labels and values; a note has no value."""
    one = kept.statement
    made = f"{beijing(kept.created_at_ms):%Y-%m-%d %H:%M:%S}"
    head = (kept.merchant_no, name, kept.day.isoformat(), kept.currency, made)
    return [
        (_TITLE, ""),
        *zip(_HEAD, head, strict=True),
        *((label, f"{getattr(one, field):,}") for label, field in _COUNTS),
        *((label, grouped(format_yuan(getattr(one, field)))) for label, field in _LINES),
        (_BORNE[one.bears_channel_fee], ""),
        *((_late(late), "") for late in one.late),
        *((note, "") for note in _NOTES),
    ]


def _late(late: Late) -> str:
    amount = grouped(format_yuan(late.gross_fen - late.refunds_fen))
    return f"含 {late.day} 结算后补记 {amount}。 Of which posted after {late.day} was settled: {amount}."


def _document(kept: StoredStatement, lines: _Lines, font: Path) -> bytes:
    page = FPDF(format="A4")
    page.set_creation_date(datetime.fromtimestamp(kept.created_at_ms / 1000, UTC))
    page.set_title(f"{_TITLE} {kept.merchant_no} {kept.day.isoformat()}")
    page.set_creator("Posgate")
    page.add_font(_FAMILY, fname=font)
    page.set_auto_page_break(False)
    page.set_margins(20, 22)
    page.add_page()
    page.set_font(_FAMILY, size=18)
    page.cell(0, 12, lines[0][0], new_x="LMARGIN", new_y="NEXT")
    page.ln(4)
    page.set_font(_FAMILY, size=11)
    begins = len(_HEAD) + 1
    ends = begins + len(_COUNTS) + len(_LINES)
    for label, value in lines[1:begins]:
        page.cell(55, 7, label)
        page.multi_cell(0, 7, value or "-", new_x="LMARGIN", new_y="NEXT")
    page.ln(4)
    for label, value in lines[begins:ends]:
        _row(page, label, value, is_payable=label == _LINES[6][0])
    page.ln(5)
    page.set_font(_FAMILY, size=9)
    for note, _ in lines[ends:]:
        page.multi_cell(0, 5, note, new_x="LMARGIN", new_y="NEXT")
    return bytes(page.output())


def _row(page: FPDF, label: str, value: str, *, is_payable: bool) -> None:
    page.set_fill_color(230, 240, 250)
    page.set_font(_FAMILY, size=13 if is_payable else 11)
    page.cell(_LABEL_MM, _LINE_MM, label, border="B", fill=is_payable)
    page.cell(
        0, _LINE_MM, value, border="B", align="R", fill=is_payable, new_x="LMARGIN", new_y="NEXT"
    )
