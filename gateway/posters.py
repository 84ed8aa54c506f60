"""The poster of a printed code: one PDF page with the shop's name, to be printed and hung up.

Rules: the code is drawn, not a picture, so it is sharp at any size; nothing on the page but
text and the code (wallets' signs are their owners'). The same code gives the same bytes.
Text that the font cannot write is refused, never left out: a shop would hang up a gap.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from fpdf import FPDF
from fpdf.fonts import TTFFont

from domain.errors import Unprocessable
from domain.money import format_yuan
from gateway.print_font import FAMILY, FONT_FILE
from gateway.qr_images import QUIET_MODULES, dark_runs
from gateway.store.shop_records import QrCode

SIZES_MM: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {"A4": (210.0, 297.0), "A5": (148.0, 210.0), "A6": (105.0, 148.0)}
)
_ACCENT: Final = (0, 92, 110)
_DARK: Final = (20, 24, 28)
_GREY: Final = (96, 104, 112)
_WHITE: Final = (255, 255, 255)
_POINTS_PER_MM: Final = 72 / 25.4
_SHORTEST_NAME_PT: Final = 0.55
"""How far a long name shrinks before it takes a second line, and then is cut."""
_ELLIPSIS: Final = "…"


@dataclass(frozen=True, slots=True)
class _Line:
    """A centred line: its text, its baseline and size as parts of the page's width."""

    text: str
    at: float
    size: float
    colour: tuple[int, int, int]


def poster_pdf(code: QrCode, url: str, size: str = "A5") -> bytes:
    """The poster of ``code``, whose picture holds ``url``.

    Raises:
        Unprocessable: the font lacks a character of the shop's name.
    """
    width_mm, height_mm = SIZES_MM[size]
    pdf = FPDF(unit="mm", format=(width_mm, height_mm))
    pdf.set_auto_page_break(False)
    pdf.set_margin(0)
    pdf.set_creation_date(datetime.fromtimestamp(code.created_at_ms // 1000, UTC))
    pdf.set_title(code.name)
    pdf.add_font(FAMILY, fname=FONT_FILE)
    _refuse_unwritable(pdf, code.name)
    pdf.add_page()
    pdf.set_fill_color(*_ACCENT)
    pdf.rect(0, 0, width_mm, width_mm * 0.24, style="F")
    _name(pdf, code.name)
    for line in _lines(code):
        _write(pdf, line)
    _draw(pdf, url, left_mm=width_mm * 0.16, top_mm=width_mm * 0.46, side_mm=width_mm * 0.68)
    return bytes(pdf.output())


def _lines(code: QrCode) -> list[_Line]:
    place = " · ".join(text for text in (code.store_id, code.terminal_id) if text)
    amount = f"¥ {format_yuan(code.amount_fen)}" if code.amount_fen else ""
    lines = [
        _Line("扫码支付", 0.115, 0.075, _WHITE),
        _Line("Scan to pay", 0.185, 0.042, _WHITE),
        _Line(amount, 0.485, 0.06, _ACCENT),
        _Line("微信支付 · 支付宝 · 云闪付", 1.18, 0.05, _DARK),
        _Line("WeChat Pay · Alipay · UnionPay", 1.25, 0.034, _GREY),
        _Line(place, 1.315, 0.028, _GREY),
        _Line(f"No. {code.code_id[:8]}", 1.37, 0.022, _GREY),
    ]
    return [line for line in lines if line.text]


def _name(pdf: FPDF, name: str) -> None:
    """The shop's name, as large as it fits on one line, else on two."""
    largest, room = 0.09, 0.86 * pdf.w
    size = largest
    while size > largest * _SHORTEST_NAME_PT and _width(pdf, name, size) > room:
        size *= 0.95
    first, second = name, ""
    if _width(pdf, name, size) > room:
        first, second = _broken(pdf, name, size, room)
    if second:
        _write(pdf, _Line(first, 0.325, size, _DARK))
        _write(pdf, _Line(second, 0.325 + size * 1.15, size, _DARK))
    else:
        _write(pdf, _Line(first, 0.37, size, _DARK))


def _broken(pdf: FPDF, name: str, size: float, room: float) -> tuple[str, str]:
    """A name on two lines, the second cut where it is too long."""
    end = len(name)
    while _width(pdf, name[:end], size) > room:
        end -= 1
    space = name.rfind(" ", end // 2, end + 1)
    end = space if space > 0 else end
    rest = name[end:].strip()
    if _width(pdf, rest, size) > room:
        while _width(pdf, rest + _ELLIPSIS, size) > room:
            rest = rest[:-1]
        rest += _ELLIPSIS
    return name[:end].strip(), rest


def _width(pdf: FPDF, text: str, size: float) -> float:
    pdf.set_font(FAMILY, size=size * pdf.w * _POINTS_PER_MM)
    return pdf.get_string_width(text)


def _write(pdf: FPDF, line: _Line) -> None:
    width_mm = _width(pdf, line.text, line.size)
    pdf.set_text_color(*line.colour)
    pdf.text((pdf.w - width_mm) / 2, line.at * pdf.w, line.text)


def _draw(pdf: FPDF, url: str, *, left_mm: float, top_mm: float, side_mm: float) -> None:
    """The code in a square of ``side_mm``, its quiet zone within."""
    modules, runs = dark_runs(url)
    module_mm = side_mm / (modules + 2 * QUIET_MODULES)
    left_mm += QUIET_MODULES * module_mm
    top_mm += QUIET_MODULES * module_mm
    pdf.set_fill_color(0, 0, 0)
    for run in runs:
        pdf.rect(
            left_mm + run.column * module_mm,
            top_mm + run.row * module_mm,
            run.length * module_mm,
            module_mm,
            style="F",
        )


def _refuse_unwritable(pdf: FPDF, name: str) -> None:
    font = pdf.fonts[FAMILY]
    if not isinstance(font, TTFFont):
        raise TypeError("the poster's font is not embedded")
    lacking = [sign for sign in name if ord(sign) not in font.cmap]
    if lacking:
        raise Unprocessable(
            "not_printable", f"the font has no {''.join(lacking)!r}: give the code another --name"
        )
