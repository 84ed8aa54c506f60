"""A batch as its terminal uploaded it, held line by line against what the host holds.

Rules:

* A line and an entry of the same trace are the same transaction; amounts are compared as
  they are, and cards only where both sides know one (a code is no card).
* A tip or an adjustment is a part of the sale that it adds to, under whichever of the two
  traces its terminal uploads the whole.
* An attempt that the terminal says has failed is no transaction.
* That the terminal did *not* name a transaction says something only after it uploaded
  everything: where the totals agreed, it uploads its chip transactions alone.
* The lines are held in memory, the entries pass by: a batch may have many more of them.

Pure.
"""

from collections.abc import Iterable
from typing import Final

from gateway.pos.batch_totals import standing_fen
from gateway.store.batch_records import (
    Batch,
    BatchDifference,
    BatchEntry,
    BatchLine,
    DifferenceKind,
)

DIFFERENCES_MAX: Final = 10_000
"""So many of one settlement are kept; whoever has that many has another problem."""
_WHOLE_BATCH: Final = ""
_NOTICE: Final = "000"
"""60.3 of an advice that came once more: it names no card class."""
_K = DifferenceKind


class Comparison:
    """Of one settlement of ``batch``; ``is_whole`` says that every line was uploaded."""

    def __init__(
        self, batch: Batch, lines: Iterable[BatchLine], *, is_whole: bool, at_ms: int
    ) -> None:
        self._batch = batch
        self._open = {line.trace: line for line in lines if not line.has_failed}
        self._is_whole = is_whole
        self._at_ms = at_ms
        self._without_money: dict[str, str] = {}
        self._added_fen: dict[str, int] = {}
        self.differences: list[BatchDifference] = []

    def add(self, entry: BatchEntry) -> None:
        """Put what adds to a sale to it; of every entry, before the first is taken."""
        sale, added_fen = entry.adds_to, standing_fen(entry)
        if not sale or not added_fen:
            return
        self._added_fen[sale] = self._added_fen.get(sale, 0) + added_fen
        if sale not in self._open and entry.trace in self._open:
            self._open[sale] = self._open.pop(entry.trace)

    def take(self, entry: BatchEntry) -> None:
        """Hold one entry against its line."""
        host_fen, trace = standing_fen(entry), entry.trace
        if entry.adds_to and host_fen:
            return
        if host_fen and not entry.refund_id:
            host_fen += self._added_fen.get(trace, 0)
        if not host_fen:
            if trace in self._open:
                self._without_money[trace] = entry.payment_id
            return
        line = self._open.pop(trace, None)
        if line is None:
            if self._is_whole:
                self._note(_K.ONLY_HOST, trace, 0, host_fen, entry.payment_id)
            return
        said_fen = line.amount_fen
        if said_fen != host_fen:
            self._note(_K.AMOUNT_DIFFERS, trace, said_fen, host_fen, entry.payment_id)
        if line.pan_token and entry.pan_token and line.pan_token != entry.pan_token:
            self._note(_K.CARD_DIFFERS, trace, said_fen, host_fen, entry.payment_id)
        if line.management != _NOTICE and line.is_foreign is not entry.is_foreign:
            self._note(_K.CLASS_DIFFERS, trace, said_fen, host_fen, entry.payment_id)

    def finish(self, expected: int, uploaded: int) -> list[BatchDifference]:
        """Everything found; ``expected`` lines are what the terminal counted."""
        for trace, line in self._open.items():
            payment_id = self._without_money.get(trace, "")
            self._note(_K.ONLY_TERMINAL, trace, line.amount_fen, 0, payment_id)
        if expected != uploaded:
            self._note(_K.COUNT_DIFFERS, _WHOLE_BATCH, 0, 0, "")
        return self.differences

    def _note(
        self, kind: DifferenceKind, trace: str, terminal_fen: int, host_fen: int, payment_id: str
    ) -> None:
        if len(self.differences) < DIFFERENCES_MAX:
            self.differences.append(
                BatchDifference(
                    key=self._batch.key,
                    settlement_no=self._batch.settlement_no,
                    trace=trace,
                    kind=kind,
                    terminal_fen=terminal_fen,
                    host_fen=host_fen,
                    payment_id=payment_id,
                    at_ms=self._at_ms,
                )
            )


def totals_difference(batch: Batch) -> list[BatchDifference]:
    """That both sides' totals differ, if they do; the amounts are their net."""
    if batch.totals_agree:
        return []
    return [
        BatchDifference(
            key=batch.key,
            settlement_no=batch.settlement_no,
            trace=_WHOLE_BATCH,
            kind=_K.TOTALS_DIFFER,
            terminal_fen=batch.terminal.net_fen,
            host_fen=batch.host.net_fen,
            payment_id="",
            at_ms=batch.settled_at_ms,
        )
    ]
