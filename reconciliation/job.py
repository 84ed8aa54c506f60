"""One night of one account: fetch, verify, load, match, post, export. Resumable anywhere.

Rules:

* A night moves ``waiting -> matched -> posted -> done``; each step reads what the steps
  before it left, writes the same again if it is repeated, and only its last write moves the
  night. Stop it anywhere and start it again: the same rows, the same bytes.
* Nights of an account are matched in the order of their days: each begins with the last's pool.
* A bill that is not believed loads nothing: the night is ``refused`` with file, line, reason.
* What was fetched once is kept; a bill that the channel changes after its night was
  matched is noticed (:meth:`NightJob.look_again`), never silently taken.
* The match itself blocks and runs in a thread: run nights in a process of their own.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Final, Protocol

from channels.bills import (
    BillAbsent,
    BillPending,
    BillRefused,
    BillUnavailable,
)
from domain.clock import Clock
from reconciliation.bulk_match import BulkMatch
from reconciliation.differences import MEANINGS, Difference, DifferenceKind
from reconciliation.engine import EngineBounds
from reconciliation.entries import Pool, Theirs, Waiting
from reconciliation.match import Rules
from reconciliation.night_account import NightAccount
from reconciliation.night_bills import Bill, NightBills
from reconciliation.night_records import (
    Deed,
    DifferenceDecision,
    DifferenceState,
    Night,
    NightState,
    StoredDifference,
    difference_id,
    surplus_refund_ids,
)
from reconciliation.night_store import NightStore, every_difference
from reconciliation.ports import OrderSource
from reconciliation.rates import MFEN_PER_FEN, half_even
from reconciliation.supersede import is_approved_refund, moved_by

CURRENCY: Final = "CNY"
_POOL_PAGE: Final = 5_000
_TO_MATCH: Final = frozenset({NightState.WAITING, NightState.REFUSED})

PostFee = Callable[[str, str, date, int], Awaitable[None]]
"""``await post_fee(channel, account_id, day, fee_fen)``: into the ledger, once for all tries."""
Told = Callable[[str], None]
"""Hears which step begins, for a progress bar."""


class NightExport(Protocol):
    """What writes a night's files."""

    async def __call__(self, account: NightAccount, night: Night, folder: Path) -> None:
        """Write them whole, the same bytes for the same night."""
        ...


class OutOfOrder(Exception):
    """A night whose earlier one is not matched; the text names it."""


class NightJob:
    """Runs nights against a store, one at a time."""

    def __init__(
        self,
        *,
        store: NightStore,
        source: OrderSource,
        clock: Clock,
        folder: Path,
        bounds: EngineBounds,
        post_fee: PostFee,
        export: NightExport,
        told: Told = lambda _: None,
    ) -> None:
        self._store = store
        self._source = source
        self._clock = clock
        self._bills = NightBills(folder, clock)
        self._bounds = bounds
        self._post_fee = post_fee
        self._export = export
        self._told = told

    async def run(self, account: NightAccount, day: date, given: Path | None = None) -> Night:
        """Bring a night as far as it will go; ``given`` is a bill laid by hand.

        Raises:
            OutOfOrder: an earlier night has to be matched first.
        """
        night = await self._store.night(account.account_id, day)
        if night is None:
            night = Night(
                account_id=account.account_id, day=day, version=0, state=NightState.WAITING
            )
        if night.state in _TO_MATCH:
            night = await self._match(account, night, given)
        return await self._onwards(account, night)

    async def again(
        self, account: NightAccount, day: date, given: Path | None = None
    ) -> list[Night]:
        """Match a night anew with the bill of today (or ``given``), and those that began with it.

        What it told before is superseded, not forgotten (``supersede.py``). A bill that cannot
        be had or believed leaves the night as it was, ``changed``, with the reason.

        Raises:
            OutOfOrder: an earlier night has to be matched first.
        """
        night = await self._store.night(account.account_id, day)
        if night is None or night.state in _TO_MATCH:
            return [await self.run(account, day, given)]
        nights = [await self._anew(account, night, given, fetched=given is None)]
        while nights[-1].state is NightState.DONE:
            day += timedelta(days=1)
            later = await self._store.night(account.account_id, day)
            if later is None or later.state in _TO_MATCH:
                break
            nights.append(await self._anew(account, later, None, fetched=False))
        return nights

    async def _anew(
        self, account: NightAccount, night: Night, given: Path | None, *, fetched: bool
    ) -> Night:
        self._told("fetch")
        try:
            if fetched:
                bill = await self._bills.get_anew(account, night.day)
            else:
                bill = await self._bills.get(account, night.day, given)
            async with self._matched(account, night, bill[0]) as match:
                await self._mark_later(account, night.day)
                await self._supersede(account, night.day, match)
                night = await self._keep(account, night, bill, match)
        except (BillPending, BillUnavailable, BillRefused) as fault:
            why = f"not matched again: {fault}"
            return await self._moved(night, NightState.CHANGED, error=why)
        return await self._onwards(account, night)

    async def _mark_later(self, account: NightAccount, day: date) -> None:
        """Whoever is stopped before the later nights are matched again leaves them ``changed``."""
        why = f"the night of {day} was matched again, and this one began with what it left"
        later = await self._store.night(account.account_id, day + timedelta(days=1))
        while later is not None and later.state not in _TO_MATCH:
            if later.state is not NightState.CHANGED:
                await self._moved(later, NightState.CHANGED, error=why)
            day += timedelta(days=1)
            later = await self._store.night(account.account_id, day + timedelta(days=1))

    async def _supersede(self, account: NightAccount, day: date, match: BulkMatch) -> None:
        """Move what the night told before to where it stands now, each with its reason."""
        now_ms = self._clock.now_ms()
        found = {one.id: one for one in (_stored(account, d, now_ms) for d in match.differences())}
        async for before in every_difference(self._store, account.account_id, day):
            moved = moved_by(before, found)
            if moved is not None:
                await self._moved_difference(before, moved)

    async def _moved_difference(self, before: StoredDifference, moved: StoredDifference) -> None:
        known = await self._store.difference(before.id)
        decisions = () if known is None else known[1]
        if is_approved_refund(before):
            approved = surplus_refund_ids(before.id, decisions)[-1]
            if await self._store.surplus_refund(approved) is not None:
                return  # it may have left: it is brought to its end as it was approved
        decision = DifferenceDecision(
            difference_id=before.id,
            number=len(decisions) + 1,
            deed=Deed.SUPERSEDE,
            repair=before.repair,
            by="reconciliation",
            why=f"matched again; before: {before.state.value}, ours {before.found.ours_fen}, "
            f"theirs {before.found.theirs_fen} {before.found.unit}",
            at_ms=self._clock.now_ms(),
        )
        await self._store.decide_difference(decision, moved)  # False: somebody was quicker

    async def _onwards(self, account: NightAccount, night: Night) -> Night:
        if night.state is NightState.MATCHED:
            night = await self._post(account, night)
        if night.state is NightState.POSTED:
            night = await self._finish(account, night)
        return night

    async def look_again(self, account: NightAccount, night: Night) -> Night:
        """Fetch the bill of a matched night once more; another one marks the night as changed."""
        if account.bills is None or night.state not in (NightState.POSTED, NightState.DONE):
            return night
        place = self.place(account.account_id, night.day) / "again"
        place.mkdir(parents=True, exist_ok=True)
        try:
            fetched = await account.bills.fetch_bill(account.kind, night.day, place)
        except (BillPending, BillAbsent, BillUnavailable):
            return night
        if fetched.sha256 == night.bill_sha256:
            return night
        return await self._moved(
            night,
            NightState.CHANGED,
            error=f"the channel's bill is another one now: {fetched.path}",
        )

    def place(self, account_id: str, day: date) -> Path:
        """The folder of a night's files."""
        return self._bills.place(account_id, day)

    # --- match

    async def _match(self, account: NightAccount, night: Night, given: Path | None) -> Night:
        await self._night_before(account, night.day)
        self._told("fetch")
        try:
            bill = await self._bills.get(account, night.day, given)
        except (BillPending, BillUnavailable) as fault:
            why = str(fault) or "the channel has not made it yet"
            return await self._moved(night, NightState.WAITING, error=why)
        try:
            async with self._matched(account, night, bill[0]) as match:
                return await self._keep(account, night, bill, match)
        except BillRefused as fault:
            self._bills.forget(account.account_id, night.day)
            return await self._moved(night, NightState.REFUSED, error=str(fault))

    @asynccontextmanager
    async def _matched(
        self, account: NightAccount, night: Night, bill: Path | None
    ) -> AsyncIterator[BulkMatch]:
        since = await self._store.first_matched_day(account.account_id)
        before = await self._night_before(account, night.day)
        rules = Rules(
            carry_days=account.carry_days,
            fee_tolerance_mfen=account.fee_tolerance_mfen,
            since=min(since, night.day) if since is not None else night.day,
        )
        self._told("match")
        with BulkMatch(self.place(account.account_id, night.day), self._bounds) as match:
            if before is not None:
                async for page in self._waiting(account, before):
                    await asyncio.to_thread(match.load_waiting, page)
            await asyncio.to_thread(match.run, self._source, account, night.day, bill, rules)
            yield match

    async def _night_before(self, account: NightAccount, day: date) -> date | None:
        """The day whose pool this night begins with; ``None`` for the account's first."""
        since = await self._store.first_matched_day(account.account_id)
        if since is None or day <= since:
            return None
        before = day - timedelta(days=1)
        night = await self._store.night(account.account_id, before)
        if night is None or night.state in _TO_MATCH:
            raise OutOfOrder(f"account {account.account_id}: match {before} before {day}")
        return before

    async def _waiting(self, account: NightAccount, day: date) -> AsyncIterator[Pool]:
        after: Waiting | Theirs | None = None
        while page := await self._store.pool_page(account.account_id, day, after, _POOL_PAGE):
            yield Pool(
                ours=frozenset(one for one in page if isinstance(one, Waiting)),
                theirs=frozenset(one for one in page if isinstance(one, Theirs)),
            )
            after = page[-1]

    async def _keep(
        self, account: NightAccount, night: Night, bill: Bill, match: BulkMatch
    ) -> Night:
        self._told("keep")
        self._bills.keep(account.account_id, night.day, bill)
        now_ms = self._clock.now_ms()
        moved = replace(
            night,
            version=night.version + 1,
            state=NightState.MATCHED,
            bill_sha256=bill[1],
            error="",
            totals_json=_totals_json(match),
            updated_at_ms=now_ms,
        )
        stored = (_stored(account, one, now_ms) for one in match.differences())
        return await self._sure(moved, await self._store.save_match(moved, stored, match.kept()))

    # --- post and export

    async def _post(self, account: NightAccount, night: Night) -> Night:
        self._told("post")
        fee_mfen = int(json.loads(night.totals_json)["fee_mfen"])
        fee_fen = half_even(fee_mfen, MFEN_PER_FEN)
        if fee_fen:
            await self._post_fee(account.channel, account.account_id, night.day, fee_fen)
        return await self._moved(night, NightState.POSTED)

    async def _finish(self, account: NightAccount, night: Night) -> Night:
        self._told("export")
        await self._export(account, night, self.place(account.account_id, night.day))
        return await self._moved(night, NightState.DONE)

    async def _moved(self, night: Night, state: NightState, error: str = "") -> Night:
        moved = replace(
            night,
            version=night.version + 1,
            state=state,
            error=error,
            updated_at_ms=self._clock.now_ms(),
        )
        return await self._sure(moved, await self._store.save_night(moved))

    async def _sure(self, moved: Night, is_kept: bool) -> Night:
        """What stands now: ours, or what somebody else made of it meanwhile."""
        if is_kept:
            return moved
        return await self._store.night(moved.account_id, moved.day) or moved


def _stored(account: NightAccount, found: Difference, now_ms: int) -> StoredDifference:
    closed = found.kind is DifferenceKind.LATE
    return StoredDifference(
        id=difference_id(account.account_id, found),
        account_id=account.account_id,
        channel=account.channel,
        currency=CURRENCY,
        found=found,
        opened_at_ms=now_ms,
        version=1,
        state=DifferenceState.CLOSED if closed else DifferenceState.OPEN,
        repair=MEANINGS[found.kind].repair,
    )


def _totals_json(match: BulkMatch) -> str:
    found, totals = match.found, match.totals
    return json.dumps(
        {
            "lines": totals.lines,
            "payments": totals.payments,
            "payments_fen": totals.payments_fen,
            "refunds": totals.refunds,
            "refunds_fen": totals.refunds_fen,
            "fee_mfen": totals.fee_mfen,
            "footer_agrees": totals.footer_agrees,
            "pairs": found.pairs,
            "waiting": found.waiting,
            "differences": dict(found.kinds),
        },
        sort_keys=True,
    )
