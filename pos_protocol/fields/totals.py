"""F48 of a settlement: what a batch came to, per currency and card class (reference §2, §6).

Two halves of 31 digits, domestic cards in RMB first, foreign cards second: debit amount
n12, debit count n3, credit amount n12, credit count n3, result n1. The request's result
is 0; the answer carries the host's own totals and says in it whether they agree.
"""

import enum
from dataclasses import dataclass, replace
from typing import Final

from pos_protocol.errors import CodecError
from pos_protocol.fields.digits import number_at, written

_AMOUNT: Final = 12
_COUNT: Final = 3
_HALF: Final = 31


class TotalsResult(enum.IntEnum):
    """The last digit of a half."""

    ASKED = 0
    EQUAL = 1
    """The terminal uploads the details of its chip transactions only."""
    DIFFERENT = 2
    """The terminal uploads everything."""
    ERROR = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassTotals:
    """Sums and counts of one card class; credits are voids, refunds and loads."""

    debit_fen: int = 0
    debit_count: int = 0
    credit_fen: int = 0
    credit_count: int = 0
    result: TotalsResult = TotalsResult.ASKED

    def plus(self, *, debit_fen: int = 0, credit_fen: int = 0) -> "ClassTotals":
        """One transaction more; an amount of 0 counts nothing."""
        return replace(
            self,
            debit_fen=self.debit_fen + debit_fen,
            debit_count=self.debit_count + bool(debit_fen),
            credit_fen=self.credit_fen + credit_fen,
            credit_count=self.credit_count + bool(credit_fen),
        )

    def says_the_same(self, other: "ClassTotals") -> bool:
        """Whether all four numbers agree, whatever the results are."""
        return replace(self, result=other.result) == other


@dataclass(frozen=True, slots=True)
class SettlementTotals:
    """Both halves."""

    domestic: ClassTotals = ClassTotals()
    foreign: ClassTotals = ClassTotals()

    def judged_by(self, host: "SettlementTotals") -> "SettlementTotals":
        """The answer to these totals: the host's, each half marked equal or different."""
        return SettlementTotals(
            _judged(self.domestic, host.domestic), _judged(self.foreign, host.foreign)
        )

    @property
    def are_equal(self) -> bool:
        """Of an answer: whether the host agrees in both halves."""
        halves = (self.domestic.result, self.foreign.result)
        return all(result is TotalsResult.EQUAL for result in halves)


def _judged(terminal: ClassTotals, host: ClassTotals) -> ClassTotals:
    agrees = terminal.says_the_same(host)
    return replace(host, result=TotalsResult.EQUAL if agrees else TotalsResult.DIFFERENT)


def parse_totals(field_48: str) -> SettlementTotals:
    """Both halves; raises :class:`CodecError` unless there are 62 digits."""
    if len(field_48) != 2 * _HALF:
        raise CodecError(48, -1, f"totals have {2 * _HALF} digits, here are {len(field_48)}")
    return SettlementTotals(_half(field_48[:_HALF]), _half(field_48[_HALF:]))


def _half(digits: str) -> ClassTotals:
    number_at(48, "totals", digits)
    result = int(digits[-1])
    if result > TotalsResult.ERROR:
        raise CodecError(48, -1, "the result is none of 0 to 3")
    return ClassTotals(
        debit_fen=int(digits[:12]),
        debit_count=int(digits[12:15]),
        credit_fen=int(digits[15:27]),
        credit_count=int(digits[27:30]),
        result=TotalsResult(result),
    )


def build_totals(totals: SettlementTotals) -> str:
    """62 digits; raises :class:`CodecError` for more than 999 transactions of one kind."""
    parts = []
    for half in (totals.domestic, totals.foreign):
        parts += [
            written(48, "the debit amount", half.debit_fen, _AMOUNT),
            written(48, "the debit count", half.debit_count, _COUNT),
            written(48, "the credit amount", half.credit_fen, _AMOUNT),
            written(48, "the credit count", half.credit_count, _COUNT),
            str(half.result.value),
        ]
    return "".join(parts)
