"""Printed codes: a reader that is not ours reads them back, whatever the shop is called."""

import io

import numpy
import pytest
import zxingcpp
from PIL import Image

from domain.errors import Unprocessable
from gateway.posters import SIZES_MM, poster_pdf
from gateway.qr_images import QUIET_MODULES, dark_runs, qr_png, qr_svg
from gateway.store.shop_records import QrCode

URL = "https://pay.shop.example/q/" + "abcdefghijklmnopqrstuvwxyz"


def code(name: str = "奶茶店", **changes: object) -> QrCode:
    values: dict[str, object] = {
        "code_id": "abcdefghijklmnopqrstuvwxyz",
        "merchant_no": "M1",
        "store_id": "S1",
        "terminal_id": "",
        "name": name,
        "amount_fen": 0,
        "created_at_ms": 1_790_000_000_000,
    }
    return QrCode(**(values | changes))  # type: ignore[arg-type]


def read(picture: Image.Image) -> list[str]:
    """What a scanner sees."""
    found = zxingcpp.read_barcodes(numpy.asarray(picture.convert("L")))
    return [one.text for one in found]


@pytest.mark.parametrize("url", [URL, "http://127.0.0.1:8443/q/" + "z" * 26])
def test_a_png_is_read_back(url: str) -> None:
    assert read(Image.open(io.BytesIO(qr_png(url)))) == [url]


def test_a_code_with_a_hole_in_it_is_read_back() -> None:
    """A scratched poster: a tenth of it is gone."""
    picture = Image.open(io.BytesIO(qr_png(URL))).convert("L")
    side = picture.width
    hole = side * 3 // 10
    picture.paste(255, (side // 2, side // 2, side // 2 + hole, side // 2 + hole))
    assert read(picture) == [URL]


def test_what_a_poster_draws_is_what_a_scanner_reads() -> None:
    """The runs, painted here, with the quiet zone around them."""
    modules, runs = dark_runs(URL)
    side = modules + 2 * QUIET_MODULES
    pixels = numpy.full((side, side), 255, dtype=numpy.uint8)
    for run in runs:
        left, row = QUIET_MODULES + run.column, QUIET_MODULES + run.row
        pixels[row, left : left + run.length] = 0
    assert read(Image.fromarray(pixels).resize((side * 8, side * 8), Image.Resampling.NEAREST)) == [
        URL
    ]


def test_an_svg_is_a_picture_by_itself() -> None:
    """It may stand in a page: no script, no outside address, scaled by its box."""
    svg = qr_svg(URL)
    assert svg.startswith(b"<svg ")
    assert b"viewBox" in svg
    assert b"script" not in svg
    assert svg.count(b"http") == 1  # its own name space


@pytest.mark.parametrize(
    ("size", "name"),
    [*zip(
        SIZES_MM,
        ["店", "北京市朝阳区某某商业街第一百二十八号老字号糕点有限责任公司总店",
         "The Very Long Named Corner Shop of the Old Railway Station, Second Floor" * 2],
        strict=True,
    )],
)  # fmt: skip
def test_a_poster_is_one_page_and_always_the_same(size: str, name: str) -> None:
    first = poster_pdf(code(name, amount_fen=1990), URL, size)
    assert first == poster_pdf(code(name, amount_fen=1990), URL, size)
    assert first.startswith(b"%PDF-")
    assert first.count(b"/Type /Page\n") == 1
    assert len(first) < 100_000


def test_a_name_that_the_font_cannot_write_is_refused() -> None:
    """Never left out: it would hang on the wall."""
    with pytest.raises(Unprocessable) as told:
        poster_pdf(code("奶茶🧋店"), URL)
    assert "🧋" in told.value.message
