"""What a code of Alipay's means, and the rows that the tables of codes are made of.

Rules: a row is a code, its outcome and a text in English and Chinese for the person at the
till. An outcome is one of a few kinds, named below by what they make us do.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from channels.port import Advice, Verdict
from domain.decline import CashierText, DeclineReason

_ACQ: Final = "ACQ."


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a code means for a request that was just made."""

    verdict: Verdict
    reason: DeclineReason | None = None
    advice: Advice | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """One row of a table."""

    outcome: Outcome
    text: CashierText


def refused(reason: DeclineReason) -> Outcome:
    """The channel's definitive no to this very request: nothing moved."""
    return Outcome(Verdict.DECLINED, reason)


FRESH: Final = Outcome(Verdict.DECLINED, DeclineReason.CODE_INVALID, Advice.FRESH_CODE)
"""A no that another code, under another number, may turn into a yes."""
SET_UP: Final = Outcome(Verdict.DECLINED, DeclineReason.CONFIGURATION, Advice.CONFIGURATION)
"""A no that only the operator mends."""
ASK: Final = Outcome(Verdict.UNKNOWN)
"""It speaks of an earlier request, or of none: the query decides."""
AGAIN: Final = Outcome(Verdict.UNKNOWN, advice=Advice.RETRY_SAME)
"""Nothing is known now; the same request, under the same number, may be made again."""
ALARM: Final = Outcome(Verdict.UNKNOWN, advice=Advice.CONFIGURATION)
"""Nothing is known, and the operator must mend something before it is."""

Row = tuple[str, Outcome, str, str]
Table = Mapping[str, Listed]


def table(rows: Iterable[Row], prefix: str = _ACQ) -> Table:
    """Rows by their code; a code that is written with a dot has its prefix already.

    Raises:
        ValueError: a code twice.
    """
    found: dict[str, Listed] = {}
    for code, outcome, en, zh in rows:
        name = code if "." in code else prefix + code
        if name in found:
            raise ValueError(f"{name} is listed twice")
        found[name] = Listed(outcome, CashierText(en, zh))
    return MappingProxyType(found)


def texts_of(listed: Table) -> Mapping[str, CashierText]:
    """What a table says at the till."""
    return MappingProxyType({code: row.text for code, row in listed.items()})
