"""What a day came to, hour by hour and channel by channel, from what its nights left.

Rules: a night leaves ``report.parquet`` (its bill's volume) and ``outcomes.parquet`` (what
became of our own payments of that day); both are summed here whole columns at a time, so that
a night of many shops and terminals costs no more than its few sums. A night of a release that
left no outcomes adds none.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet

from channels.bills import BillKind
from reconciliation.entries import OurState

HOURS: Final = range(24)
REPORT_FILE: Final = "report.parquet"
OUTCOMES_FILE: Final = "outcomes.parquet"
_WORDS: Final = {
    OurState.DONE.value: "paid",
    OurState.UNDONE.value: "paid",
    OurState.NEVER.value: "unpaid",
}
"""What a state counts as; a payment that was taken back was paid. Any other is open."""


@dataclass(frozen=True, slots=True)
class NightFolder:
    """Where a night of a channel left its files."""

    channel: str
    folder: Path


@dataclass(slots=True)
class DayFigures:
    """Sums by channel and hour (in Beijing), by channel, and by hour and outcome."""

    payments: Counter[tuple[str, int]] = field(default_factory=Counter)
    payments_fen: Counter[tuple[str, int]] = field(default_factory=Counter)
    refunds: Counter[str] = field(default_factory=Counter)
    refunds_fen: Counter[str] = field(default_factory=Counter)
    fees_mfen: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[tuple[int, str]] = field(default_factory=Counter)
    channel_paid: Counter[str] = field(default_factory=Counter)
    channel_asked: Counter[str] = field(default_factory=Counter)
    channels: list[str] = field(default_factory=list)

    @property
    def paid(self) -> int:
        """How many payments the payer's money was taken for."""
        return self.channel_paid.total()

    @property
    def asked(self) -> int:
        """How many payments were asked for."""
        return self.channel_asked.total()


def day_figures(nights: Iterable[NightFolder]) -> DayFigures:
    """The sums of a day's nights."""
    figures = DayFigures()
    known: set[str] = set()
    for night in nights:
        known.add(night.channel)
        for row in _summed(night.folder / REPORT_FILE, ("hour", "kind"), _VOLUME):
            _add_volume(figures, night.channel, row)
        for row in _summed(night.folder / OUTCOMES_FILE, ("hour", "state"), _OUTCOME):
            word = _WORDS.get(row["state"], "open")
            figures.outcomes[row["hour"], word] += row["payments_sum"]
            figures.channel_asked[night.channel] += row["payments_sum"]
            if word == "paid":
                figures.channel_paid[night.channel] += row["payments_sum"]
    figures.channels = sorted(known)
    return figures


_VOLUME: Final = ("lines", "amount_fen", "fee_mfen")
_OUTCOME: Final = ("payments",)


def _summed(file: Path, by: tuple[str, ...], sums: tuple[str, ...]) -> Iterable[dict[str, Any]]:
    if not file.is_file():
        return []
    table = pyarrow.parquet.read_table(file, columns=[*by, *sums])
    rows: list[dict[str, Any]] = (
        table.group_by(list(by)).aggregate([(name, "sum") for name in sums]).to_pylist()
    )
    return rows


def _add_volume(figures: DayFigures, channel: str, row: dict[str, Any]) -> None:
    figures.fees_mfen[channel] += row["fee_mfen_sum"]
    if row["kind"] == BillKind.PAYMENT.value:
        figures.payments[channel, row["hour"]] += row["lines_sum"]
        figures.payments_fen[channel, row["hour"]] += row["amount_fen_sum"]
    else:
        figures.refunds[channel] += row["lines_sum"]
        figures.refunds_fen[channel] += row["amount_fen_sum"]
