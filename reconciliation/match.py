"""The rules of the match, one key at a time. Pure; ``engine.py`` is proven equal to it.

Given the entries of ours that a bill may name (every one of the day, of the pool, and
whatever the bill names, whichever its day), the day's bill and the carry-over pool:

* **Done here, billed there:** the first line is compared: amount and currency, then the
  fee; each further line is a duplicate. Under another day it is late besides.
* **Done here, not billed:** expected on its own day, then waits ``carry_days``, then it
  is missing there, and stays in the pool as reported: a bill that names it later makes
  it late, not a duplicate. A line for an entry that was settled on an earlier night is a
  duplicate, if the account was matched on that day at all (``since``).
* **Undone here:** what the bill charged and what it returned must cancel out, in one
  night or within ``carry_days``; else the status differs.
* **Never paid or still open here:** any money that the channel holds is a difference of
  status at once. Of what may be paid yet (an open one, a failed refund) it is remembered that
  it was named: once it is paid here, nothing more is expected. What is open and not named
  waits for as long as it is open, and then ``carry_days`` like what is done.
* **Unknown here:** waits ``carry_days`` as a cross-day order may, then it is missing
  here. What waited and is in our books no more is not owed nothing: it waits, and is missing
  there, like what is done.
* A return that the bill lists without a refund of ours belongs to the payment's own undo
  when that was undone, never paid or is open; else it is a refund that is missing here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final, assert_never

from channels.bills import BillKind
from reconciliation.differences import Difference, DifferenceKind
from reconciliation.entries import Key, Ours, OurState, Pool, Side, Theirs, Waiting

FORGET_DAYS: Final = 30
"""How long a reported entry stays in the pool for a bill that may name it yet, and one that
was named though it failed here, for a yes that may come yet."""
_D = DifferenceKind
_UNDO_STATES: Final = frozenset({OurState.UNDONE, OurState.NEVER, OurState.OPEN})
_EXPECTED_STATES: Final = frozenset({OurState.DONE, OurState.OPEN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How patient and how exact the match is; ``since`` is the account's first matched day."""

    carry_days: int = 3
    fee_tolerance_mfen: int = 500
    since: date = date.min


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """What a night came to: differences in order, the pool for the next night, the count.

    ``pairs`` counts the lines that found an entry of ours, differing or not.
    """

    differences: Sequence[Difference]
    pool: Pool
    pairs: int


def match(
    day: date, ours: Iterable[Ours], bill: Iterable[Theirs], pool: Pool, rules: Rules
) -> Matched:
    """One night of one account; ``ours`` has each key once."""
    night = _Night(day, {entry.key: entry for entry in ours}, pool, rules)
    lines: dict[Key, list[Theirs]] = {}
    for line in (*pool.theirs, *bill):
        lines.setdefault(night.key_of(line), []).append(line)
    expected = {key for key, entry in night.ours.items() if night.is_expected(entry)}
    for key in {*lines, *expected, *night.waiting}:
        found = sorted(lines.get(key, ()), key=lambda line: (line.day, line.line))
        night.settle(key, found)
    return Matched(
        differences=sorted(night.differences, key=in_order),
        pool=Pool(ours=frozenset(night.kept_ours), theirs=frozenset(night.kept_theirs)),
        pairs=night.pairs,
    )


def in_order(difference: Difference) -> tuple[str, str, str, int]:
    """The order in which differences are told: by kind, number and place."""
    return (
        difference.kind.value,
        difference.order_no,
        difference.refund_no,
        difference.number,
    )


@dataclass(slots=True)
class _Night:
    day: date
    ours: Mapping[Key, Ours]
    pool: Pool
    rules: Rules
    differences: list[Difference] = field(default_factory=list)
    kept_ours: list[Waiting] = field(default_factory=list)
    kept_theirs: list[Theirs] = field(default_factory=list)
    pairs: int = 0
    waiting: dict[Key, Waiting] = field(init=False)

    def __post_init__(self) -> None:
        self.waiting = {entry.key: entry for entry in self.pool.ours}

    def key_of(self, line: Theirs) -> Key:
        """The key that a line is settled under: an undo goes with its payment."""
        key = line.key
        if key.kind is BillKind.REFUND and key not in self.ours:
            payment = Key(BillKind.PAYMENT, key.order_no)
            entry = self.ours.get(payment)
            if entry is not None and entry.state in _UNDO_STATES:
                return payment
        return key

    def is_expected(self, entry: Ours) -> bool:
        """Whether the bill of this very day should name it, or may: nobody knows of an open one."""
        return entry.state in _EXPECTED_STATES and entry.day == self.day

    def settle(self, key: Key, lines: Sequence[Theirs]) -> None:
        entry = self.ours.get(key)
        if not lines:
            self._not_billed(key, entry, self.waiting.get(key))
        elif entry is None:
            self._unknown(key, lines)
        else:
            self._billed(entry, lines)

    def _billed(self, entry: Ours, lines: Sequence[Theirs]) -> None:
        match entry.state:
            case OurState.DONE:
                self._done(entry, lines)
            case OurState.UNDONE:
                self._net(entry, lines, waits=True)
            case OurState.NEVER | OurState.OPEN:
                self._net(entry, lines, waits=False)
            case _:
                assert_never(entry.state)

    def _unknown(self, key: Key, lines: Sequence[Theirs]) -> None:
        if not self._is_over(lines[0].day):
            self.kept_theirs.extend(lines)
            return
        refund = key.kind is BillKind.REFUND
        kind = _D.REFUND_MISSING_HERE if refund else _D.MISSING_HERE
        self._differ(kind, key, lines[0], ours_fen=None)
        self._duplicates(key, lines[1:])

    def _done(self, entry: Ours, lines: Sequence[Theirs]) -> None:
        waited = self.waiting.get(entry.key)
        if self._is_settled(entry, waited):
            self._duplicates(entry.key, lines, first=0)
            if waited is not None:
                self._keep_named(entry, waited)
            return
        self._pair(entry, lines[0])
        self._duplicates(entry.key, lines[1:])
        if entry.day > self.day:
            self.kept_ours.append(Waiting(side=Side.EARLY, key=entry.key, first_day=self.day))

    def _is_settled(self, entry: Ours, waited: Waiting | None) -> bool:
        """Whether an earlier night has paired it already."""
        if waited is not None:
            return waited.side is Side.EARLY
        return self.rules.since <= entry.day < self.day

    def _keep_named(self, entry: Ours, waited: Waiting) -> None:
        """Keep what a bill has named already for as long as it may be expected yet."""
        match entry.state:
            case OurState.DONE:
                is_kept = entry.day > self.day
            case OurState.OPEN:
                is_kept = True
            case OurState.NEVER:
                is_kept = self._is_remembered(waited)
            case OurState.UNDONE:
                is_kept = False
            case _:
                assert_never(entry.state)
        if is_kept:
            self.kept_ours.append(waited)

    def _not_billed(self, key: Key, entry: Ours | None, waited: Waiting | None) -> None:
        """What no line names: an entry of today's, or what waits."""
        if waited is None:
            waited = Waiting(side=Side.OURS, key=key, first_day=self.day)
        is_owed = entry is None or entry.state in _EXPECTED_STATES
        match waited.side:
            case Side.EARLY:
                if entry is not None:
                    self._keep_named(entry, waited)
            case Side.REPORTED:
                if is_owed and self._is_remembered(waited):
                    self.kept_ours.append(waited)
            case Side.OURS:
                if is_owed:
                    self._wait(entry, waited)
            case _:
                assert_never(waited.side)

    def _is_remembered(self, waited: Waiting) -> bool:
        return self.day - waited.first_day < timedelta(days=FORGET_DAYS)

    def _wait(self, entry: Ours | None, waited: Waiting) -> None:
        """An entry that is owed a line, or one that waited and cannot be found: go on, or tell."""
        since = waited.first_day if entry is None else max(waited.first_day, entry.day)
        is_open = entry is not None and entry.state is OurState.OPEN
        if is_open or not self._is_over(since):
            self.kept_ours.append(waited)
            return
        key = waited.key
        refund = key.kind is BillKind.REFUND
        self.differences.append(
            Difference(
                kind=_D.REFUND_MISSING_THERE if refund else _D.MISSING_THERE,
                day=self.day,
                order_no=key.order_no,
                refund_no=key.refund_no,
                ours_fen=None if entry is None else entry.amount_fen,
                subject="" if entry is None else entry.subject,
            )
        )
        self.kept_ours.append(Waiting(side=Side.REPORTED, key=key, first_day=since))

    def _pair(self, entry: Ours, line: Theirs) -> None:
        self.pairs += 1
        refund = entry.key.kind is BillKind.REFUND
        if (entry.amount_fen, entry.currency) != (line.amount_fen, line.currency):
            kind = _D.REFUND_AMOUNT if refund else _D.AMOUNT
            self._differ(kind, entry.key, line, ours_fen=entry.amount_fen)
        elif not refund and self._fee_differs(entry, line):
            self._differ(_D.FEE, entry.key, line, ours_fen=entry.fee_mfen, theirs_fen=line.fee_mfen)
        if line.day != entry.day:
            self._differ(_D.LATE, entry.key, line, ours_fen=entry.amount_fen)

    def _fee_differs(self, entry: Ours, line: Theirs) -> bool:
        if entry.fee_mfen is None:
            return False
        return abs(entry.fee_mfen - line.fee_mfen) > self.rules.fee_tolerance_mfen

    def _net(self, entry: Ours, lines: Sequence[Theirs], *, waits: bool) -> None:
        """What the channel holds of a payment that we do not hold; nothing is as it should be."""
        self.pairs += len(lines)
        refund = entry.key.kind is BillKind.REFUND
        held_fen = sum(_signed(line, refund=refund) for line in lines)
        if held_fen == 0:
            return
        if waits and not self._is_over(lines[0].day):
            self.pairs -= len(lines)
            self.kept_theirs.extend(lines)
            return
        kind = _D.REFUND_STATUS if refund else _D.STATUS
        self._differ(kind, entry.key, lines[0], ours_fen=0, theirs_fen=held_fen)
        if refund or entry.state is OurState.OPEN:  # a failed refund may be paid yet
            self.kept_ours.append(Waiting(side=Side.EARLY, key=entry.key, first_day=self.day))

    def _duplicates(self, key: Key, lines: Sequence[Theirs], first: int = 1) -> None:
        refund = key.kind is BillKind.REFUND
        kind = _D.REFUND_DUPLICATE if refund else _D.DUPLICATE
        for number, line in enumerate(lines, first):
            self._differ(kind, key, line, ours_fen=None, number=number)

    def _differ(
        self,
        kind: DifferenceKind,
        key: Key,
        line: Theirs,
        *,
        ours_fen: int | None,
        theirs_fen: int | None = None,
        number: int = 0,
    ) -> None:
        entry = self.ours.get(key)
        self.differences.append(
            Difference(
                kind=kind,
                day=self.day,
                order_no=key.order_no,
                refund_no=key.refund_no,
                number=number,
                ours_fen=ours_fen,
                theirs_fen=line.amount_fen if theirs_fen is None else theirs_fen,
                subject=entry.subject if entry is not None else "",
                trade_no=line.trade_no,
            )
        )

    def _is_over(self, first_day: date) -> bool:
        """Whether what waits since ``first_day`` has waited long enough."""
        return first_day + timedelta(days=self.rules.carry_days) <= self.day


def _signed(line: Theirs, *, refund: bool) -> int:
    """A payment's line counts for it, a return against it; a refund's own lines count for it."""
    if refund or line.key.kind is BillKind.PAYMENT:
        return line.amount_fen
    return -line.amount_fen
