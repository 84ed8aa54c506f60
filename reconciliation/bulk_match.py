"""One night's match over an engine of its own: loaded, settled, told, read page by page.

Rules: what waits from the night before comes in pages, and what it came to goes out in pages;
only the engine's file holds all of it, and nothing of that outlives the match. It blocks:
:meth:`BulkMatch.run` is for a thread.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from channels.bills import BillRefused, BillTotals
from reconciliation.day_figures import OUTCOMES_FILE, REPORT_FILE
from reconciliation.days import business_day
from reconciliation.differences import Difference
from reconciliation.engine import Engine, EngineBounds, Found
from reconciliation.entries import Pool
from reconciliation.exports import write_json
from reconciliation.match import Rules
from reconciliation.night_account import NightAccount
from reconciliation.orders import entries_of
from reconciliation.ports import OrderSource

LOOKBACK_DAYS: Final = 3
"""How long before its business day a payment of that day is usually made; what is older is
found by what waits for it, by a bill that names it, or by its entry in the ledger."""
_SKEW_MS: Final = 3_600_000
"""How far the clock that an entry was booked by may be behind the channel's."""
_FILE: Final = "night.duckdb"
_NO_BILL: Final = BillTotals(
    lines=0, payments=0, payments_fen=0, refunds=0, refunds_fen=0, fee_mfen=0, footer_agrees=None
)


class BulkMatch:
    """A night being matched in its own folder; a context whose end removes what it needed."""

    def __init__(self, place: Path, bounds: EngineBounds) -> None:
        self._place = place
        self._engine = Engine(place / _FILE, bounds)
        self.totals = _NO_BILL
        self.found = Found(pairs=0, waiting=0, kinds={})

    def __enter__(self) -> "BulkMatch":
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.__exit__()
        (self._place / _FILE).unlink(missing_ok=True)

    def load_waiting(self, page: Pool) -> None:
        """A part of what the night before left; all of it before :meth:`run`."""
        self._engine.load_waiting(page)

    def run(
        self, source: OrderSource, account: NightAccount, day: date, bill: Path | None, rules: Rules
    ) -> None:
        """Read both sides, match them, and write the night's own files.

        Raises:
            BillRefused: the bill cannot be believed; nothing was written.
        """
        engine = self._engine
        reader = account.format.open(_kind(account, bill), bill, day) if bill else None
        engine.load_both(
            lambda: engine.load_bill(iter(reader) if reader else ()),
            lambda: _load_ours(engine, source, account, day),
        )
        if reader is not None:
            self.totals = reader.totals()
        _complete(engine, source, account)
        self.found = engine.settle(day, rules, account.rate)
        engine.write_lines(self._place / "lines.parquet")
        engine.write_report(self._place / REPORT_FILE)
        engine.write_outcomes(self._place / OUTCOMES_FILE, day)
        write_json(self._place / "fees.json", engine.merchant_fees())

    def differences(self) -> Iterator[Difference]:
        """What was found, in the order in which differences are told."""
        return self._engine.differences()

    def kept(self) -> Iterator[Pool]:
        """What waits for the next night, in pages."""
        return self._engine.kept()


def _kind(account: NightAccount, bill: Path) -> str:
    """The account's own kind; of a file laid by hand the one that its name tells, if it does."""
    if account.bills is not None:
        return account.kind
    try:
        return account.format.kind_of(bill)
    except BillRefused:
        return account.kind


def _load_ours(engine: Engine, source: OrderSource, account: NightAccount, day: date) -> None:
    kind = business_day(account.channel)
    first, last = day - timedelta(days=LOOKBACK_DAYS), day + timedelta(days=1)
    made_ms, until_ms = kind.start_ms(first), kind.start_ms(last + timedelta(days=1))
    with source.made_between(account.account_id, made_ms, until_ms) as stored:
        engine.load_ours(entries_of(batch, kind) for batch in stored)
    booked = source.booked_between(
        account.account_id, kind.start_ms(day) - _SKEW_MS, until_ms, made_before_ms=made_ms
    )
    engine.add_ours(entries_of(batch, kind) for batch in booked)


def _complete(engine: Engine, source: OrderSource, account: NightAccount) -> None:
    """What takes both sides: what waits, numbers known in part, orders of other days."""
    _add_named(engine, source, account, engine.waiting_orders())
    engine.complete_numbers()
    _add_named(engine, source, account, engine.unknown_orders())


def _add_named(
    engine: Engine, source: OrderSource, account: NightAccount, missing: Sequence[str]
) -> None:
    if missing:
        kind = business_day(account.channel)
        found = source.named(account.account_id, missing)
        engine.add_ours(entries_of(batch, kind) for batch in found)
