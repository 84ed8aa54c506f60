"""The day at a glance: what it says is what the nights left, and it needs nobody else."""

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from reconciliation.day_figures import OUTCOMES_FILE, REPORT_FILE, NightFolder, day_figures
from reconciliation.day_page import day_page
from reconciliation.differences import DifferenceKind
from tests.store.test_nights import stored

DAY = date(2026, 3, 14)


def write_night(folder: Path, report: list[dict[str, Any]], outcomes: list[dict[str, Any]]) -> Path:
    """What a night leaves, written by hand."""
    folder.mkdir(parents=True)
    usual = {"merchant_no": "m1", "store_id": "", "fee_mfen": 0, "kind": "payment"}
    pyarrow.parquet.write_table(
        pa.Table.from_pylist([usual | row for row in report]), folder / REPORT_FILE
    )
    if outcomes:
        pyarrow.parquet.write_table(pa.Table.from_pylist(outcomes), folder / OUTCOMES_FILE)
    return folder


def the_day(place: Path) -> list[NightFolder]:
    """Two channels; the second night's outcomes were never written."""
    first = write_night(
        place / "a",
        [
            {"hour": 9, "lines": 2, "amount_fen": 1990, "fee_mfen": 12_500},
            {"hour": 9, "lines": 1, "amount_fen": 10, "store_id": "s2"},
            {"hour": 10, "lines": 1, "amount_fen": 500, "kind": "refund", "fee_mfen": -2_500},
        ],
        [
            {"hour": 9, "method": "auth_code", "state": "done", "payments": 2},
            {"hour": 9, "method": "auth_code", "state": "undone", "payments": 1},
            {"hour": 9, "method": "qr", "state": "never", "payments": 1},
            {"hour": 23, "method": "qr", "state": "open", "payments": 1},
        ],
    )
    second = write_night(place / "b", [{"hour": 23, "lines": 1, "amount_fen": 7}], [])
    return [NightFolder("wechat", second), NightFolder("alipay", first)]


def page_of(place: Path, *kinds: DifferenceKind, channel: str = "") -> str:
    """The page of the day, as text."""
    nights = the_day(place)
    if channel:
        nights = [NightFolder(channel, nights[1].folder)]
    found = [stored(f"A{number}", kind) for number, kind in enumerate(kinds)]
    return day_page(DAY, day_figures(nights), found).decode()


def data_of(page: str) -> dict[str, Any]:
    """What the charts draw."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_the_charts_draw_what_the_nights_left(tmp_path: Path) -> None:
    page = page_of(tmp_path, DifferenceKind.LATE, DifferenceKind.FEE, DifferenceKind.FEE)
    data = data_of(page)
    by_channel = {one["channel"]: one["fen"] for one in data["volume"]}
    assert list(by_channel) == ["alipay", "wechat"]
    assert (by_channel["alipay"][9], by_channel["alipay"][10], by_channel["wechat"][23]) == (
        2000, 0, 7,
    )  # fmt: skip
    assert [data["success"][word][9] for word in ("paid", "unpaid", "open", "rate")] == [
        3, 1, 0, 75.0,
    ]  # fmt: skip
    assert data["success"]["open"][23] == 1
    assert data["success"]["rate"][0] is None
    assert {one["channel"]: one["fee_mfen"] for one in data["fees"]} == {
        "alipay": 10_000, "wechat": 0,
    }  # fmt: skip
    assert [one["count"] for one in data["differences"]] == [2, 1]


def test_its_tables_and_figures_say_the_same_without_a_script(tmp_path: Path) -> None:
    page = page_of(tmp_path, DifferenceKind.LATE, DifferenceKind.FEE)
    head = page.partition('<div class="charts">')[0]
    for text in ("<b>4</b>", "<b>20.07</b>", "<b>5.00</b>", "<b>0.10000</b>", "<b>60.00 %</b>"):
        assert text in head
    assert "差异 Differences</small><b>1</b>" in head  # another day is no difference
    assert "<td>09:00</td><td>20.00</td><td>0.00</td><td>3</td><td>1</td>" in page
    assert "手续费不符 Fee differs" in page


def test_it_asks_nobody_for_anything(tmp_path: Path) -> None:
    """No address stands in it outside the library, and the browser is told to load nothing."""
    page = page_of(tmp_path)
    library = max(re.findall(r"<script>(.*?)</script>", page, re.DOTALL), key=len)
    rest = page.replace(library, "")
    assert "default-src 'none'" in rest
    assert not re.search(r"(src|href)=\"(?!reconciliation|differences|summary|manifest)", rest)
    assert "http" not in rest.replace("http-equiv", "")
    assert "Apache" in library[:2000]
    assert "echarts" in library


def test_the_same_day_is_the_same_bytes_and_text_stays_text(tmp_path: Path) -> None:
    assert page_of(tmp_path / "1") == page_of(tmp_path / "2")
    page = page_of(tmp_path / "3", channel="</script><b>&")
    assert "</script><b>&" not in page
    assert data_of(page)["volume"][0]["channel"] == "</script><b>&"


def test_a_day_of_nothing_has_a_page(tmp_path: Path) -> None:
    page = day_page(DAY, day_figures([NightFolder("alipay", tmp_path / "none")]), []).decode()
    assert "无差异 None" in page
    assert data_of(page)["success"]["rate"] == [None] * 24
