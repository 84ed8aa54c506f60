"""What a batch came to: from its entries, from the wire, and back to the wire.

Rules:

* A debit is a payment whose money was captured and stands; one that was reversed, that
  nobody knows the end of or that waits for a person is none. A credit is a void or refund
  that has not failed: the gateway finishes it, also where its terminal heard nothing yet.
* A tip or an adjustment adds to the amount of its sale, and is no transaction to count: its
  terminal has one, of the new whole.
* The channel says whose card it was (63.1), and the terminal is told the same: CUP, and a code,
  is domestic, everything else foreign. Each class is compared by itself.
* The wire counts to 999 and to twelve digits of fen. Totals beyond that are compared as
  they are and told as the most that fits; they never agree with what a terminal can say.

Pure. Sources: reference ``pos_protocol.md`` §2 (F48) and §6.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from domain.payment import Status
from domain.refund import RefundStatus
from gateway.store.batch_records import Batch, BatchEntry, BatchTotals, Sums
from pos_protocol.fields.totals import ClassTotals, SettlementTotals, TotalsResult

_MOST_FEN: Final = 10**12 - 1
_MOST_COUNT: Final = 999


def standing_fen(entry: BatchEntry) -> int:
    """The amount that stands behind an entry, 0 where none does."""
    if entry.refund_id:
        return 0 if entry.status is RefundStatus.FAILED else entry.amount_fen
    return entry.captured_fen if entry.status is Status.SUCCEEDED else 0


def with_entries(totals: BatchTotals, entries: Iterable[BatchEntry]) -> BatchTotals:
    """``totals`` and what these entries add to them."""
    domestic, foreign = totals.domestic, totals.foreign
    for entry in entries:
        sums = foreign if entry.is_foreign else domestic
        amount_fen = standing_fen(entry)
        if not amount_fen:
            continue
        if entry.refund_id:
            sums = replace(
                sums,
                credit_fen=sums.credit_fen + amount_fen,
                credit_count=sums.credit_count + 1,
            )
        else:
            sums = replace(
                sums,
                debit_fen=sums.debit_fen + amount_fen,
                debit_count=sums.debit_count + (0 if entry.adds_to else 1),
            )
        if entry.is_foreign:
            foreign = sums
        else:
            domestic = sums
    return BatchTotals(domestic, foreign)


def said_totals(totals: SettlementTotals) -> BatchTotals:
    """A terminal's F48 without its results."""
    return BatchTotals(_sums(totals.domestic), _sums(totals.foreign))


def judgement(batch: Batch) -> SettlementTotals:
    """F48 of the answer: the host's totals, each half marked equal or different."""
    said, host = batch.terminal, batch.host
    return SettlementTotals(
        _judged(said.domestic, host.domestic), _judged(said.foreign, host.foreign)
    )


def _sums(totals: ClassTotals) -> Sums:
    return Sums(
        debit_fen=totals.debit_fen,
        debit_count=totals.debit_count,
        credit_fen=totals.credit_fen,
        credit_count=totals.credit_count,
    )


def _judged(said: Sums, host: Sums) -> ClassTotals:
    return ClassTotals(
        debit_fen=min(host.debit_fen, _MOST_FEN),
        debit_count=min(host.debit_count, _MOST_COUNT),
        credit_fen=min(host.credit_fen, _MOST_FEN),
        credit_count=min(host.credit_count, _MOST_COUNT),
        result=TotalsResult.EQUAL if said == host else TotalsResult.DIFFERENT,
    )
