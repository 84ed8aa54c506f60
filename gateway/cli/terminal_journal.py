"""What a terminal has done in its batch: the lines that voids, reversals and totals need.

Rules: a line is written before its message is sent and moved after the answer. It may
rest in a file, so it holds what a reversal repeats and nothing of a card but its masked
number: no card number, no code, no PIN, no authorisation code.
"""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from pos_protocol.fields.scan_info import parse_scan_info
from pos_protocol.fields.totals import ClassTotals, SettlementTotals
from pos_protocol.masking import masked_pan
from pos_protocol.message import Message
from pos_protocol.outcome import NO_ANSWER, Outcome, Request
from pos_protocol.transaction_kinds import TransactionKind
from pos_protocol.transactions import TRANSACTIONS, identify

_K = TransactionKind
_KEPT_FIELDS: Final[tuple[int, ...]] = (3, 4, 11, 22, 23, 25, 48, 49, 60, 61, 63)
DEBITS: Final = frozenset(
    {
        _K.SALE,
        _K.QR_SALE,
        _K.MOTO_SALE,
        _K.COMPLETION,
        _K.COMPLETION_ADVICE,
        _K.OFFLINE_SALE,
    }
)
CREDITS: Final = frozenset({_K.VOID, _K.QR_VOID, _K.REFUND, _K.QR_REFUND, _K.COMPLETION_VOID})
CHANGES: Final = frozenset({_K.ADJUSTMENT, _K.TIP})
"""They set the amount of an earlier line and count nothing themselves."""
_HOLDS: Final = frozenset({_K.PREAUTH, _K.PREAUTH_ADDITIONAL, _K.PREAUTH_MOTO, _K.PREAUTH_VOID})
_KEPT: Final = DEBITS | CREDITS | CHANGES | _HOLDS
REVERSIBLE: Final = frozenset(row.original for row in TRANSACTIONS if row.original is not None)
_DOMESTIC: Final = ("", "000", "CUP")
"""63.1 of cards that count as domestic; a scanned code has none."""


class LineState(enum.Enum):
    """How far a line is."""

    SENT = "sent"
    """Nothing was heard that can be believed: it must be reversed, or asked about."""
    APPROVED = "approved"
    DECLINED = "declined"
    REVERSED = "reversed"


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalLine:
    """One transaction. ``fields`` are those that its reversal repeats; ``date`` is MMDD.

    ``reason`` is F39 of the reversal that a line in state SENT needs; ``card`` is masked.
    """

    kind: TransactionKind
    mti: str
    fields: Mapping[int, str]
    amount_fen: int
    state: LineState = LineState.SENT
    reason: str = NO_ANSWER
    reference: str = ""
    date: str = ""
    card: str = ""
    voucher: str = ""
    organisation: str = ""
    is_chip: bool = False

    @property
    def trace(self) -> str:
        """F11."""
        return self.fields[11]

    @property
    def batch(self) -> str:
        """60.2."""
        return self.fields[60][2:8]

    @property
    def is_foreign(self) -> bool:
        """Whether it counts in the second half of the totals."""
        return self.organisation not in _DOMESTIC

    @property
    def may_be_reversed(self) -> bool:
        """Whether a 0400 can take it back now."""
        is_open = self.state in (LineState.SENT, LineState.APPROVED)
        return is_open and self.kind in REVERSIBLE

    def as_request(self, tpdu: bytes, header: bytes) -> Request:
        """What was sent, as far as it is kept."""
        return Request(b"", Message(tpdu, header, self.mti, dict(self.fields)))

    def as_dict(self) -> dict[str, Any]:
        """The form in which it rests."""
        return {
            "kind": self.kind.value,
            "mti": self.mti,
            "fields": {str(number): value for number, value in self.fields.items()},
            "amount_fen": self.amount_fen,
            "state": self.state.value,
            "reason": self.reason,
            "reference": self.reference,
            "date": self.date,
            "card": self.card,
            "voucher": self.voucher,
            "organisation": self.organisation,
            "is_chip": self.is_chip,
        }


def line_of(request: Request, pan: str = "") -> JournalLine | None:
    """The line of a message that is about to be sent; ``None`` for what leaves none."""
    message = request.message
    row = identify(message)
    if row is None or row.kind not in _KEPT:
        return None
    kept = {number: message.text(number) for number in _KEPT_FIELDS if number in message.fields}
    return JournalLine(
        kind=row.kind,
        mti=message.mti,
        fields=kept,
        amount_fen=int(message.text(4) or "0"),
        card=masked_pan(pan),
        is_chip=bool(message.data(55)),
    )


def read_line(said: Mapping[str, Any]) -> JournalLine:
    """The reverse of :meth:`JournalLine.as_dict`; ``KeyError``, ``ValueError`` if it is none."""
    values = dict(said)
    values["kind"] = TransactionKind(values["kind"])
    values["state"] = LineState(values["state"])
    values["fields"] = {int(number): value for number, value in values["fields"].items()}
    return JournalLine(**values)


def answered(line: JournalLine, outcome: Outcome) -> JournalLine:
    """The line after an answer; one that proves nothing leaves it to be reversed."""
    if outcome.fault is not None:
        return replace(line, reason=outcome.reversal_reason)
    if not outcome.approved:
        return replace(line, state=LineState.DECLINED)
    answer = outcome.message
    said = answer.text if answer is not None else lambda _: ""
    return replace(
        line,
        state=LineState.APPROVED,
        amount_fen=outcome.amount_fen or line.amount_fen,
        reference=outcome.reference,
        date=said(13),
        voucher=parse_scan_info(said(59)).voucher,
        organisation=said(63)[:3].strip(),
    )


class Journal:
    """The lines of the open batch, oldest first, and those of others still to be reversed."""

    def __init__(self, lines: Iterable[JournalLine] = ()) -> None:
        self._lines: dict[tuple[str, str], JournalLine] = {}
        self._sent: dict[tuple[str, str], JournalLine] = {}
        for line in lines:
            self.put(line)

    @property
    def lines(self) -> list[JournalLine]:
        """Every line, oldest first."""
        return list(self._lines.values())

    def put(self, line: JournalLine) -> None:
        """Add a line, or replace the one of its batch and trace."""
        key = line.batch, line.trace
        self._lines[key] = line
        if line.state is LineState.SENT:
            self._sent[key] = line
        else:
            self._sent.pop(key, None)

    def begin(self, batch: str) -> None:
        """A batch begins (or goes on): of others only what must be reversed is kept."""
        self._sent = {
            key: line
            for key, line in self._sent.items()
            if line.batch == batch or line.kind in REVERSIBLE
        }
        self._lines = {
            key: line
            for key, line in self._lines.items()
            if line.batch == batch or key in self._sent
        }

    def find(self, trace: str, batch: str = "") -> JournalLine | None:
        """The newest line with this trace (and batch)."""
        if batch:
            return self._lines.get((batch, trace))
        return next((one for one in reversed(self._lines.values()) if one.trace == trace), None)

    def last(self, kinds: Iterable[TransactionKind], *states: LineState) -> JournalLine | None:
        """The newest line of these kinds in one of these states."""
        wanted = frozenset(kinds)
        for line in reversed(self._lines.values()):
            if line.kind in wanted and line.state in states:
                return line
        return None

    def unanswered(self) -> list[JournalLine]:
        """What must be reversed before anything else is sold, oldest first."""
        return [line for line in self._sent.values() if line.kind in REVERSIBLE]

    def counted(self, batch: str) -> list[JournalLine]:
        """The lines that a settlement of ``batch`` counts and an upload has."""
        return [
            line
            for line in self.lines
            if line.batch == batch
            and line.state is LineState.APPROVED
            and line.kind in DEBITS | CREDITS
        ]

    def totals(self, batch: str) -> SettlementTotals:
        """What this terminal believes of ``batch``."""
        domestic, foreign = ClassTotals(), ClassTotals()
        for line in self.counted(batch):
            is_debit = line.kind in DEBITS
            debit, credit = (line.amount_fen, 0) if is_debit else (0, line.amount_fen)
            if line.is_foreign:
                foreign = foreign.plus(debit_fen=debit, credit_fen=credit)
            else:
                domestic = domestic.plus(debit_fen=debit, credit_fen=credit)
        return SettlementTotals(domestic, foreign)
