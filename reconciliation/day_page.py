"""The day at a glance: one HTML page with charts that opens without a network.

Rules: everything is in the page itself (the chart library too), and it may load nothing: its
Content-Security-Policy says so to the browser. Every chart's numbers stand in a table as well,
for whoever prints it or reads it aloud. Text is escaped, money is summed in integers and
formatted by them; the charts only draw it. The same day makes the same bytes.

The charts are drawn by Apache ECharts (Apache-2.0, its licence and notice lie beside it in
``assets``).
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, Final

from domain.money import format_yuan
from reconciliation.day_figures import HOURS, DayFigures
from reconciliation.differences import MEANINGS, DifferenceKind
from reconciliation.exports import amount_text, grouped
from reconciliation.night_records import StoredDifference

PAGE_NAME: Final = "day.html"
_HERE: Final = Path(__file__).parent
_LIBRARY: Final = _HERE / "assets" / "echarts.common.min.js"
_NOTE: Final = (
    "交易额和手续费来自渠道账单，成功率来自本方订单，按北京时间。 Volume and fees are the channels' "
    "bills, the success rate is our own orders'; hours are Beijing's."
)


def day_page(day: date, figures: DayFigures, differences: Sequence[StoredDifference]) -> bytes:
    """The page of a day, whole."""
    counts = Counter(one.found.kind for one in differences)
    found = [(kind, counts[kind]) for kind in DifferenceKind if counts[kind]]
    filled = {
        "day": day.isoformat(),
        "note": escape(_NOTE),
        "figures": _headline(figures, found),
        "tables": "".join(
            (_channel_table(figures), _difference_table(found), _hour_table(figures))
        ),
        "data": _embedded(_chart_data(figures, found)),
        "library": _library(),
    }
    parts = _template().split("{{")
    page = [parts[0]]
    for part in parts[1:]:
        name, _, rest = part.partition("}}")
        page += (filled[name], rest)
    return "".join(page).encode()


@cache
def _template() -> str:
    return (_HERE / "day_page.html").read_text(encoding="utf-8")


@cache
def _library() -> str:
    return _LIBRARY.read_text(encoding="utf-8")


def _embedded(data: Mapping[str, Any]) -> str:
    """JSON that no text in it can end the element of."""
    text = json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("&", "\\u0026")


def _chart_data(
    figures: DayFigures, found: Sequence[tuple[DifferenceKind, int]]
) -> Mapping[str, Any]:
    paid, unpaid, still_open = (
        [figures.outcomes[hour, word] for hour in HOURS] for word in ("paid", "unpaid", "open")
    )
    rates = [
        None if not any(asked) else round(100 * asked[0] / sum(asked), 2)
        for asked in zip(paid, unpaid, still_open, strict=True)
    ]
    return {
        "hours": list(HOURS),
        "volume": [
            {
                "channel": name,
                "fen": [figures.payments_fen[name, hour] for hour in HOURS],
            }
            for name in figures.channels
        ],
        "success": {"paid": paid, "unpaid": unpaid, "open": still_open, "rate": rates},
        "differences": [
            {
                "title": f"{MEANINGS[kind].title_zh} {MEANINGS[kind].title_en}",
                "count": count,
                "owed": kind is not DifferenceKind.LATE,
            }
            for kind, count in found
        ],
        "fees": [
            {"channel": name, "fee_mfen": figures.fees_mfen[name]} for name in figures.channels
        ],
    }


def _headline(figures: DayFigures, found: Sequence[tuple[DifferenceKind, int]]) -> str:
    open_count = sum(count for kind, count in found if kind is not DifferenceKind.LATE)
    cards = (
        ("支付 Payments", f"{figures.payments.total():,}"),
        ("支付金额 Paid (yuan)", _yuan(figures.payments_fen.total())),
        ("退款金额 Refunded (yuan)", _yuan(figures.refunds_fen.total())),
        ("手续费 Fees (yuan)", grouped(amount_text(figures.fees_mfen.total(), "mfen"))),
        ("成功率 Success rate", _share(figures.paid, figures.asked)),
        ("差异 Differences", f"{open_count:,}"),
    )
    return "\n".join(
        f"<li><small>{escape(name)}</small><b>{escape(text)}</b></li>" for name, text in cards
    )


def _yuan(fen: int) -> str:
    return grouped(format_yuan(fen))


def _share(part: int, whole: int) -> str:
    """A share in per cent with two decimals, made from integers, rounded down."""
    if not whole:
        return "–"
    hundredths = 10_000 * part // whole
    return f"{hundredths // 100}.{hundredths % 100:02d} %"


def _channel_table(figures: DayFigures) -> str:
    rows = []
    for name in figures.channels:
        rows.append(
            (
                name,
                f"{sum(figures.payments[name, hour] for hour in HOURS):,}",
                _yuan(sum(figures.payments_fen[name, hour] for hour in HOURS)),
                f"{figures.refunds[name]:,}",
                _yuan(figures.refunds_fen[name]),
                grouped(amount_text(figures.fees_mfen[name], "mfen")),
                _share(figures.channel_paid[name], figures.channel_asked[name]),
            )
        )
    heads = (
        "渠道 channel", "支付笔数 payments", "支付金额 paid_yuan", "退款笔数 refunds",
        "退款金额 refunded_yuan", "手续费 fees_yuan", "成功率 success",
    )  # fmt: skip
    return _table("渠道 · Channels", heads, rows)


def _difference_table(found: Sequence[tuple[DifferenceKind, int]]) -> str:
    rows = [
        (
            f"{MEANINGS[kind].title_zh} {MEANINGS[kind].title_en}",
            f"{count:,}",
            f"{MEANINGS[kind].sentence_zh} {MEANINGS[kind].sentence_en}",
        )
        for kind, count in found
    ]
    if not rows:
        rows = [("无差异 None", "0", "")]
    return _table("差异 · Differences", ("类型 type", "笔数 count", "说明 meaning"), rows, "words")


def _hour_table(figures: DayFigures) -> str:
    rows = []
    for hour in HOURS:
        asked = [figures.outcomes[hour, word] for word in ("paid", "unpaid", "open")]
        volume = [figures.payments_fen[name, hour] for name in figures.channels]
        if any(asked) or any(volume):
            rows.append(
                (
                    f"{hour:02d}:00",
                    *(_yuan(fen) for fen in volume),
                    *(f"{count:,}" for count in asked),
                    _share(asked[0], sum(asked)),
                )
            )
    heads = (
        "小时 hour", *(f"{name} (yuan)" for name in figures.channels), "成功 paid",
        "未支付 not paid", "未决 open", "成功率 success",
    )  # fmt: skip
    return _table("每小时 · Per hour", heads, rows)


def _table(
    title: str, heads: Iterable[str], rows: Iterable[Sequence[str]], form: str = "numbers"
) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "\n".join(
        f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in rows
    )
    return (
        f"<section><h2>{escape(title)}</h2><table class='{form}'><thead><tr>{head}</tr></thead>"
        f"<tbody>\n{body}\n</tbody></table></section>\n"
    )
