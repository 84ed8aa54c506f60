"""The great day run: both sides made, every night matched from its raw file, then compared.

Rules: what must be found is known from the stories alone; a difference that was planted and not
found is *missed*, one that was found and not planted is *invented*. Afterwards every difference
is adjusted by two people, and each channel's account in the ledger must hold, to the fen, what
its bills come to, and the whole ledger must prove.
"""

import asyncio
import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from channels.bill_formats import bill_format
from channels.bills import BillAbsent, FetchedBill
from domain.ledger import channel_receivable
from domain.payment import Status
from gateway.batch_night import BATCHES, day_differences, match_batches
from gateway.differences import Differences
from gateway.ledger_proof import LedgerProof
from gateway.night_accounts import SOURCES
from gateway.night_fees import FeePoster
from gateway.store.batch_records import (
    Batch,
    BatchDifference,
    BatchKey,
    BatchState,
    BatchTotals,
    Sums,
)
from gateway.store.batch_records import DifferenceKind as BatchDifferenceKind
from gateway.store.engine import store_for
from gateway.store.order_source import order_source
from gateway.store.port import Store
from reconciliation.days import business_day
from reconciliation.differences import DifferenceKind, Repair
from reconciliation.engine import EngineBounds
from reconciliation.entries import Side
from reconciliation.job import NightJob
from reconciliation.night_account import NightAccount
from reconciliation.night_records import DifferenceState, Night, NightState, StoredDifference
from reconciliation.rates import MFEN_PER_FEN, ChannelRate, half_even
from reconciliation.repairs import ALLOWED
from sandbox.bill_faults import BillFault
from tests.greatday.our_side import OurBooks
from tests.greatday.stories import CARRY, FIRST, LAST, Found, Teller, stories
from tests.greatday.their_side import CHANNELS, Channel
from tests.reconciliation.nights import pool_of

DAYS: Mapping[str, date] = {
    "ordinary": date(2027, 9, 16),
    "newyear": date(2027, 12, 31),
    "leap": date(2028, 2, 29),
}
RATE = ChannelRate(rate_ppm=6000)
CARD_RATE = ChannelRate(rate_ppm=5150, unit_mfen=1)
"""Interchange and the switch's fee together, each rounded by itself: a fen of tolerance."""
_REPAIRS_AT_ONCE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One channel account with its great day."""

    channel: str
    calendar: str

    @property
    def account_id(self) -> str:
        return f"{self.channel}-{self.calendar}"

    @property
    def day(self) -> date:
        return DAYS[self.calendar]


@dataclass(slots=True)
class Outcome:
    """The figures; ``named`` says of some of what is wrong what it is."""

    payments: int = 0
    lines: int = 0
    nights: int = 0
    planted: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    invented: Counter[str] = field(default_factory=Counter)
    repaired: int = 0
    wrong: list[str] = field(default_factory=list)
    named: list[str] = field(default_factory=list)
    match_s: float = 0.0

    @property
    def is_right(self) -> bool:
        return not (self.missed or self.invented or self.wrong)


class _Clock:
    """Stands where it is put."""

    at_ms = 0

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic_s(self) -> float:
        return self.at_ms / 1000


class _Delivery:
    """``Bills``: a simulated channel's file, fetched as an adapter would."""

    bill_kinds: Sequence[str] = ()

    def __init__(self, name: str, channel: Channel, faults: Mapping[tuple[str, str], BillFault]):
        self._day = business_day(name)
        self._channel = channel
        self._faults = faults

    def bill_due_ms(self, day: date) -> int:
        return self._day.due_ms(day)

    async def fetch_bill(self, kind: str, day: date, folder: Path) -> FetchedBill:
        file = self._channel.file(day, self._faults, folder)
        if file is None:
            raise BillAbsent
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        return FetchedBill(kind=kind, day=day, path=file, sha256=sha256)


class GreatDay:
    """One run in a folder of its own."""

    def __init__(self, folder: Path, places: Sequence[Place], *, seed: int = 0) -> None:
        self._folder = folder
        self._places = places
        self._seed = seed
        self._clock = _Clock()
        self._expected: set[Found] = set()
        self._held_fen: Counter[str] = Counter()
        self._open: set[str] = set()
        self.outcome = Outcome()

    async def run(self, url: str, payments: int, each: int) -> Outcome:
        """``each`` of everything that differs, among ``payments`` in all; ``url`` is migrated."""
        store = store_for(url)
        await store.open()
        try:
            accounts = await self._make(store, payments, each)
            await self._batches(store, each)
            began_s = time.perf_counter()
            nights = await self._nights(store, url, accounts)
            self.outcome.match_s = time.perf_counter() - began_s
            differences = await day_differences(store, nights)
            self._compare(differences)
            await self._repair(store, differences)
            await self._prove(store)
        finally:
            await store.close()
        return self.outcome

    async def _make(self, store: Store, payments: int, each: int) -> Sequence[NightAccount]:
        count = len(self._places)
        accounts = []
        for place in self._places:
            teller = Teller(place.channel, place.account_id, place.day, self._seed)
            told = stories(teller, -(-payments // count), -(-each // count))
            channel = CHANNELS[place.channel]()
            faults: dict[tuple[str, str], BillFault] = {}
            for story in told:
                faults.update(story.faults)
                self._expected.update(story.found)
                if story.charge is not None:
                    channel.enter(story.charge)
                if story.sale is not None and story.sale.status is Status.SUBMITTED:
                    self._open.add(story.sale.order_no)
            books = OurBooks(store, place.channel, place.account_id)
            await books.keep(story.sale for story in told if story.sale is not None)
            self.outcome.payments += len(told)
            accounts.append(_account(place, _Delivery(place.channel, channel, faults)))
        return accounts

    async def _batches(self, store: Store, each: int) -> None:
        """Terminals' settled batches of every great day: some agree, some do not."""
        days = sorted({place.day for place in self._places})
        for day in days:
            for number in range(2 * -(-each // len(days))):
                is_wrong = bool(number % 2)
                key = BatchKey(f"M{number % 20:04d}", f"T{number:07d}", day.toordinal() % 999_999)
                found = await _settled(store, key, day, is_wrong=is_wrong)
                if found is not None:
                    self._expected.add(found)

    async def _nights(
        self, store: Store, url: str, accounts: Sequence[NightAccount]
    ) -> Sequence[Night]:
        job = NightJob(
            store=store,
            source=order_source(url),
            clock=self._clock,
            folder=self._folder / "nights",
            bounds=EngineBounds(memory_mb=1024, threads=2),
            post_fee=FeePoster(store, self._clock),
            export=_no_export,
        )
        nights = []
        for place, account in zip(self._places, accounts, strict=True):
            for offset in range(FIRST, LAST + 1):
                day = place.day + timedelta(days=offset)
                self._clock.at_ms = business_day(place.channel).due_ms(day) + 1
                nights.append(await self._night(job, account, day))
            await self._nothing_waits(store, place)
        for day in sorted({place.day for place in self._places}):
            nights.append(await match_batches(store, self._clock, day))
        self.outcome.nights = len(nights)
        return nights

    async def _night(self, job: NightJob, account: NightAccount, day: date) -> Night:
        night = await job.run(account, day)
        if night.state is not NightState.DONE:
            self.outcome.wrong.append(f"{account.account_id} {day}: {night.state} {night.error}")
            return night
        totals = json.loads(night.totals_json)
        self.outcome.lines += totals["lines"]
        held_fen = totals["payments_fen"] - totals["refunds_fen"]
        name = channel_receivable(account.channel, account.account_id)
        self._held_fen[name] += held_fen - half_even(totals["fee_mfen"], MFEN_PER_FEN)
        return night

    async def _nothing_waits(self, store: Store, place: Place) -> None:
        """When everything has had its time, only what was told and what is open is remembered."""
        pool = await pool_of(store, place.account_id, place.day + timedelta(days=LAST))
        waiting = [one for one in pool.ours if one.side is Side.OURS]
        left = [one for one in waiting if one.key.order_no not in self._open]
        if left or pool.theirs:
            self.outcome.wrong.append(f"{place.account_id}: {len(left) + len(pool.theirs)} wait")

    def _compare(self, differences: Iterable[StoredDifference]) -> None:
        found = Counter(
            Found(
                one.account_id, one.found.day, one.found.kind, one.found.order_no,
                one.found.refund_no, one.found.number,
            )
            for one in differences
        )  # fmt: skip
        planted = Counter(self._expected)
        outcome = self.outcome
        for counts, ones in (
            (outcome.planted, planted),
            (outcome.missed, planted - found),
            (outcome.invented, found - planted),
        ):
            for one, count in ones.items():
                counts[one.kind.value] += count
        outcome.named += [f"missed {one}" for one in list(planted - found)[:20]]
        outcome.named += [f"invented {one}" for one in list(found - planted)[:20]]

    async def _repair(self, store: Store, differences: Sequence[StoredDifference]) -> None:
        """Two people adjust whatever can be adjusted, and write the rest off."""
        use = Differences(store, self._clock)
        opened = [one for one in differences if one.state is DifferenceState.OPEN]
        for first in range(0, len(opened), _REPAIRS_AT_ONCE):
            part = opened[first : first + _REPAIRS_AT_ONCE]
            done = await asyncio.gather(*(_adjusted(use, one) for one in part))
            self.outcome.repaired += sum(one.state is DifferenceState.CLOSED for one in done)
        if self.outcome.repaired != len(opened):
            self.outcome.wrong.append(f"{len(opened) - self.outcome.repaired} are not repaired")

    async def _prove(self, store: Store) -> None:
        proof = await LedgerProof(store).run()
        self.outcome.wrong += proof.named
        balances = {account: fen for (account, _), fen in (await store.balances()).items()}
        if sum(balances.values()):
            self.outcome.wrong.append("the ledger does not sum to zero")
        for name, held_fen in self._held_fen.items():
            if balances.get(name, 0) != held_fen:
                self.outcome.wrong.append(
                    f"{name} holds {balances.get(name, 0)} fen, its bills come to {held_fen}"
                )


def _account(place: Place, bills: _Delivery) -> NightAccount:
    source = SOURCES[place.channel]
    is_card = place.channel == "unionpay_card"
    return NightAccount(
        account_id=place.account_id,
        channel=place.channel,
        format=bill_format(source.reader),
        kind=source.kind,
        bills=bills,
        rate=CARD_RATE if is_card else RATE,
        carry_days=CARRY,
        fee_tolerance_mfen=MFEN_PER_FEN if is_card else MFEN_PER_FEN // 2,
    )


async def _settled(store: Store, key: BatchKey, day: date, *, is_wrong: bool) -> Found | None:
    """A batch that its terminal settled on ``day``, and what a night must find of it."""
    at_ms = business_day("pos").start_ms(day) + 22 * 3_600_000
    host = BatchTotals(Sums(debit_fen=199_000, debit_count=100))
    terminal = BatchTotals(Sums(debit_fen=198_999, debit_count=100)) if is_wrong else host
    batch = Batch(
        key=key, version=1, state=BatchState.CLOSED, settlement_no=1, settled_at_ms=at_ms,
        terminal=terminal, host=host, closed_at_ms=at_ms,
    )  # fmt: skip
    kind = BatchDifferenceKind.TOTALS_DIFFER
    differences = [
        BatchDifference(
            key=key,
            settlement_no=1,
            trace="",
            kind=kind,
            terminal_fen=terminal.net_fen,
            host_fen=host.net_fen,
            payment_id="",
            at_ms=at_ms,
        )
    ]
    assert await store.save_batch(batch, differences if is_wrong else ())
    if not is_wrong:
        return None
    name = f"{key.merchant_no}-{key.terminal_id}-{key.batch_no:06d}"
    return Found(BATCHES, day, DifferenceKind.BATCH_TOTAL, name, f"batch:{kind.value}")


async def _adjusted(use: Differences, one: StoredDifference) -> StoredDifference:
    repair = Repair.ADJUST if Repair.ADJUST in ALLOWED[one.found.kind] else Repair.WRITE_OFF
    await use.propose(one.id, repair, "Li", "as the bill says")
    return await use.approve(one.id, "Wang", "agreed")


async def _no_export(account: NightAccount, night: Night, folder: Path) -> None:
    """Files for people are not what is compared here."""
