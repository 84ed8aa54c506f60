"""A channel's own files of a day: what they say, in one shape for every channel.

Rules:

* A bill is read as a stream of Arrow record batches (``channels/bill_rows.py``), a bounded
  number of rows each, so that a file of any size takes the same memory.
* Columns are found by the header's names, never by place, and text is decoded as the
  channel's encoding says; in another one only where the file's own fixed words stand in it
  so, as a spreadsheet saves it.
* Amounts are integers: fen, and fees in thousandths of a fen (WeChat bills them to five
  decimals of a yuan). Both are positive for what a row's kind says, whatever sign the file
  writes: a refund of 5 fen has ``amount_fen`` 5, and a ``fee_mfen`` below zero is one
  that came back to us.
* A file is believed whole or not at all: the footer's counts and sums are compared, and
  the first line that cannot be read, a missing tail or a wrong sum raises
  :class:`BillRefused`. Whoever loads a bill loads nothing of a refused one.
* A file is read where it lies; no name inside an archive becomes a path.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Protocol, runtime_checkable


class BillKind(enum.Enum):
    """What a row of a bill is about."""

    PAYMENT = "payment"
    REFUND = "refund"


@dataclass(frozen=True, slots=True, kw_only=True)
class BillTotals:
    """What a whole file adds up to; ``footer_agrees`` is ``None`` where it has no footer."""

    lines: int
    payments: int
    payments_fen: int
    refunds: int
    refunds_fen: int
    fee_mfen: int
    footer_agrees: bool | None


class BillRefused(Exception):
    """A file that is not believed; ``line`` counts from 1, 0 where it is about the whole.

    ``why`` is for an operator and holds no payer's data.
    """

    def __init__(self, file: str, line: int, why: str) -> None:
        super().__init__(f"{file}, line {line}: {why}" if line else f"{file}: {why}")
        self.file = file
        self.line = line
        self.why = why


class BillPending(Exception):
    """The channel has not made the file yet: ask later."""


class BillAbsent(Exception):
    """The channel says, definitively, that the day has no bill."""


class BillUnavailable(Exception):
    """It could not be fetched now (network, refusal, hash): the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedBill:
    """A file as the channel delivered it, at ``path``, with its SHA-256."""

    kind: str
    day: date
    path: Path
    sha256: str


@runtime_checkable
class Bills(Protocol):
    """A channel that tells, for a day that is over, everything it did for an account."""

    @property
    def bill_kinds(self) -> Sequence[str]:
        """The kinds it delivers, the one with payments and refunds first."""
        ...

    def bill_due_ms(self, day: date) -> int:
        """From when on the day's bill may be asked for (UTC ms)."""
        ...

    async def fetch_bill(self, kind: str, day: date, folder: Path) -> FetchedBill:
        """Fetch it into ``folder`` whole, verified as far as the channel allows.

        Raises:
            BillPending: not made yet.
            BillAbsent: nothing happened that day.
            BillUnavailable: anything else; the same call may be made again.
        """
        ...


def bills_of(channel: object) -> Bills | None:
    """The ability to deliver bills of a channel, if it has it."""
    return channel if isinstance(channel, Bills) else None
