"""Old payments go into archives, whole and once, and nothing else ever leaves the store."""

import asyncio
import json
import shutil
import sqlite3
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.errors import Conflict
from domain.ids import number
from domain.payment import Event, Status
from gateway.archive import ORDERS, Archived, ArchiveJob, verify_archives
from gateway.archive_bills import BILLS, archive_nights, night_folder
from gateway.archive_files import ArchiveFault, read_rows
from gateway.ledger_proof import LedgerProof
from gateway.merchant_settlement import day_window
from gateway.store.archive_records import Removal
from gateway.store.archive_tables import NOTICES, PAYMENT_EVENTS, REFUND_EVENTS
from gateway.store.port import RefundClaimed, Store
from reconciliation.differences import DifferenceKind
from reconciliation.night_records import DifferenceState, Night, NightState
from tests.reconciliation.fakes import SetClock
from tests.store.conftest import (
    Look,
    OpenStore,
    emptied_postgres_url,
    look,
    migrated_file,
    open_store,
    postgres_server,
    shared_postgres_url,
    sqlite_url,
    store,
    url,
)
from tests.store.test_nights import stored
from tests.support.payments import sample_advance, sample_claim, sample_notice, sample_parking
from tests.support.refunds import sample_refund_advance, sample_refund_claim

__all__ = [
    "OpenStore", "emptied_postgres_url", "look", "migrated_file", "open_store",
    "postgres_server", "shared_postgres_url", "sqlite_url", "store", "url",
]  # fmt: skip
DAY = date(2026, 3, 14)
NOON_MS = day_window(DAY)[0] + 12 * 3_600_000
BEFORE = date(2026, 4, 1)
CARRY = 1


class OldShop:
    """A store with payments of long ago, and the job that archives them."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.folder = folder
        self.clock = SetClock(NOON_MS + 400 * 86_400_000)

    async def sell(self, place: int, at_ms: int = NOON_MS, **order: Any) -> str:
        """A captured payment whose merchant was told."""
        identity = "pay_" + number(at_ms, place.to_bytes(10))
        await self.store.claim(sample_claim(place, id=identity, created_at_ms=at_ms, **order))
        notice = sample_notice(place, payment_id=identity)
        paid = sample_advance(place, notice=notice)
        standing = replace(paid.standing, paid_at_ms=at_ms, notices=1)
        await self.store.advance(
            replace(paid, payment_id=identity, standing=standing, at_ms=at_ms + 100)
        )
        await self.tell(notice.event_id)
        return identity

    async def tell(self, event_id: str) -> None:
        """The merchant took the notice."""
        (job,) = [one for one in await self.store.jobs(None, "", 100) if one.subject == event_id]
        assert await self.store.notice_delivered(job, NOON_MS + 200)

    async def refund(self, place: int, identity: str, at_ms: int = NOON_MS + 300) -> str:
        """A part of it went back."""
        payment = await self.store.payment(identity)
        assert payment is not None
        refund_id = "ref_" + number(at_ms, place.to_bytes(10))
        claim = sample_refund_claim(place, payment, 500, id=refund_id, created_at_ms=at_ms)
        assert await self.store.claim_refund(claim) is RefundClaimed.WON
        done = sample_refund_advance(claim.refund, claim.payment.standing)
        await self.store.advance_refund(replace(done, at_ms=at_ms + 10))
        return refund_id

    async def reconcile(self, *, days: int = CARRY + 2, account: str = "a1") -> None:
        """The nights from the day on are done."""
        for step in range(days):
            night = Night(
                account_id=account, day=DAY + timedelta(days=step), version=1,
                state=NightState.DONE,
            )  # fmt: skip
            assert await self.store.save_night(night)

    async def archive(self, before: date = BEFORE, **options: Any) -> Archived:
        """One run."""
        job = ArchiveJob(self.store, self.clock, self.folder, carry_days=CARRY, **options)
        return await job.run(before)

    def only(self) -> Path:
        """The folder of the one archive that there is."""
        (place,) = (self.folder / ORDERS).iterdir()
        return place

    async def faults(self) -> list[str]:
        """What the ledger's proof finds."""
        return (await LedgerProof(self.store).run()).named


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> OldShop:
    return OldShop(store, tmp_path / "archive")


async def counts(look: Look) -> dict[str, int]:
    """How many rows each table has."""
    tables = ("payments", "attempts", "payment_events", "postings", "refunds", "refund_events",
              "notices", "archives", "archived_subjects")  # fmt: skip
    return {table: (await look(f"SELECT count(*) FROM {table}"))[0][0] for table in tables}


async def test_what_is_over_goes_whole_and_its_row_and_its_money_stay(
    shop: OldShop, look: Look
) -> None:
    first, _ = await shop.sell(1), await shop.sell(2)
    refund = await shop.refund(1, first)
    await shop.reconcile()
    before = await counts(look)
    found = await shop.archive()
    assert (found.payments, len(found.archives), +found.left) == (2, 1, Counter())
    assert found.archives[0].refunds == 1
    after = await counts(look)
    assert {name for name in before if before[name] != after[name]} == {
        "payment_events", "refund_events", "notices", "archives", "archived_subjects",
    }  # fmt: skip
    assert (after["payment_events"], after["refund_events"], after["notices"]) == (0, 0, 0)
    place = shop.only()
    assert [row["sequence"] for row in read_rows(place, PAYMENT_EVENTS, first)] == [1, 2, 3, 4]
    assert [row["event"] for row in read_rows(place, REFUND_EVENTS, refund)][-1] == "returned"
    assert read_rows(place, NOTICES, first)[0]["body"] == b'{"type":"payment.succeeded"}'
    assert await shop.faults() == []
    assert await verify_archives(shop.store, shop.folder) == []
    manifest = json.loads((place / "manifest.json").read_text())
    assert manifest["files"]["postings.parquet"]["amount_fen"] == 0
    assert manifest["files"]["payments.parquet"]["amount_fen"] == 2 * 1990


async def test_nothing_of_a_card_goes_into_an_archive(shop: OldShop) -> None:
    await shop.sell(1, pan_sealed=b"SEALEDPAN", pan_token=b"TOKENPAN", fingerprint=b"PRINT" * 4)
    await shop.reconcile()
    await shop.archive()
    for file in shop.only().iterdir():
        data = file.read_bytes()
        assert not any(secret in data for secret in (b"SEALEDPAN", b"TOKENPAN", b"PRINTPRINT"))


async def test_run_again_it_finds_nothing_and_a_later_day_makes_the_next(shop: OldShop) -> None:
    await shop.sell(1)
    await shop.reconcile(days=9)
    assert (await shop.archive()).payments == 1
    assert (await shop.archive()).payments == 0
    await shop.sell(2, NOON_MS + 86_400_000)
    found = await shop.archive()
    assert [one.first_day for one in found.archives] == ["2026-03-15"]
    assert len(list((shop.folder / ORDERS).iterdir())) == 2
    assert await shop.faults() == []


async def test_a_page_at_a_time(shop: OldShop) -> None:
    for place in range(5):
        await shop.sell(place)
    await shop.reconcile()
    found = await shop.archive(part=2)
    assert [one.payments for one in found.archives] == [2, 2, 1]


async def test_stopped_before_its_commit_nothing_is_gone_and_the_next_run_writes_it_anew(
    shop: OldShop, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.sell(1)
    await shop.reconcile()
    before = await counts(look)

    async def die(_: Removal) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shop.store, "remove_archived", die)
        with pytest.raises(KeyboardInterrupt):
            await shop.archive()
    assert await counts(look) == before
    place = shop.only()
    left = (place / "payments.parquet").read_bytes()
    assert (await shop.archive()).payments == 1
    assert (place / "payments.parquet").read_bytes() == left
    assert await verify_archives(shop.store, shop.folder) == []


async def test_a_file_that_reads_back_otherwise_keeps_everything(
    shop: OldShop, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that lies: the last byte of what was written is another one."""
    await shop.sell(1)
    await shop.reconcile()
    before = await counts(look)

    def write_badly(file: Path, data: bytes) -> None:
        file.write_bytes(data.replace(b"PAR1", b"PAR2") if file.suffix == ".parquet" else data)

    monkeypatch.setattr("gateway.archive_files.write_whole", write_badly)
    with pytest.raises(ArchiveFault):
        await shop.archive()
    assert await counts(look) == before


@pytest.mark.parametrize("apart", [False, True])
async def test_two_at_once_one_of_them_archives(
    shop: OldShop, look: Look, tmp_path: Path, apart: bool
) -> None:
    """On one folder the second gives up; on folders of their own the database lets one win."""
    await shop.sell(1)
    await shop.reconcile()
    other = OldShop(shop.store, tmp_path / "other" if apart else shop.folder)
    runs = await asyncio.gather(shop.archive(), other.archive(), return_exceptions=True)
    (lost,) = [one for one in runs if not isinstance(one, Archived)]
    assert isinstance(lost, Conflict)
    assert (await counts(look))["archives"] == 1
    (won,) = [place for place, run in zip((shop, other), runs, strict=True) if run is not lost]
    assert await verify_archives(shop.store, won.folder) == []


@pytest.mark.parametrize(
    "why", ["young", "parked", "untold", "open difference", "refund open", "not reconciled",
            "a night missing", "refunded since"],
)  # fmt: skip
async def test_what_still_waits_for_anybody_stays(shop: OldShop, look: Look, why: str) -> None:
    if why != "not reconciled":
        await shop.reconcile(days=1 if why == "a night missing" else 9)
    if why == "young":
        await shop.sell(1, day_window(BEFORE)[0])
    elif why == "parked":
        identity = "pay_" + number(NOON_MS, bytes(10))
        await shop.store.claim(sample_claim(1, id=identity, created_at_ms=NOON_MS))
        await shop.store.advance(replace(sample_parking(1), payment_id=identity))
    else:
        identity = await shop.sell(1)
        await keep_open(shop, why, identity)
    before = await counts(look)
    assert (await shop.archive()).payments == 0
    assert await counts(look) == before
    assert list(shop.folder.rglob("*.parquet")) == []


async def keep_open(shop: OldShop, why: str, identity: str) -> None:
    """Something about a payment that is not over."""
    if why == "untold":
        assert await shop.store.replay_notice(sample_notice(1).event_id, NOON_MS)
    elif why == "open difference":
        one = stored("A", DifferenceKind.AMOUNT)
        found = replace(one.found, order_no=f"CH{1:030d}")
        night = Night(account_id="a1", day=DAY + timedelta(days=20), version=1,
                      state=NightState.MATCHED)  # fmt: skip
        one = replace(one, account_id="a1", found=found, state=DifferenceState.OPEN)
        assert await shop.store.save_match(night, [one], ())
    elif why == "refund open":
        payment = await shop.store.payment(identity)
        assert payment is not None
        await shop.store.claim_refund(sample_refund_claim(1, payment))
    elif why == "refunded since":
        await shop.refund(1, identity, day_window(BEFORE)[0])


async def test_an_account_that_is_matched_elsewhere_may_be_named(shop: OldShop) -> None:
    await shop.sell(1)
    found = await shop.archive()
    assert (found.payments, found.left["not reconciled"]) == (0, 1)
    assert (await shop.archive(unmatched=frozenset({"a1"}))).payments == 1


async def test_what_was_archived_is_still_the_payment_that_it_was(
    shop: OldShop, look: Look
) -> None:
    """A repeat loses against its row, a late bill finds it, a refund goes on from its version."""
    identity = await shop.sell(1)
    await shop.reconcile()
    await shop.archive()
    other = sample_claim(9, order_key="T1/1/1", channel_order_no="CH9")
    assert not await shop.store.claim(other)
    found = await shop.store.payment_by_channel_order("a1", f"CH{1:030d}")
    assert found is not None
    assert (found.order.id, found.standing.status) == (identity, Status.SUCCEEDED)
    await shop.refund(1, identity, day_window(BEFORE)[0])
    assert [one.sequence for one in await shop.store.events(identity)] == [3, 4]
    assert await shop.faults() == []
    assert (await shop.archive(BEFORE + timedelta(days=9))).payments == 0  # its new lines stay


async def test_the_proof_still_finds_a_line_that_is_missing(shop: OldShop) -> None:
    """An archive excuses what it holds, and nothing after it."""
    identity = await shop.sell(1)
    await shop.reconcile()
    await shop.archive()
    payment = await shop.store.payment(identity)
    assert payment is not None
    moved = replace(payment.standing, version=payment.standing.version + 2)
    await shop.store.advance(
        replace(sample_advance(1), payment_id=identity, event=Event.PAID, standing=moved,
                previous=Status.SUCCEEDED, postings=())
    )  # fmt: skip
    kept = await shop.store.archived(identity)
    assert kept is not None
    assert (kept.version, kept.status, kept.archive) == (2, "succeeded", shop.only().name)


async def test_only_what_is_recorded_may_be_removed(
    sqlite_url: str, open_store: OpenStore, tmp_path: Path
) -> None:
    """In the database itself: an archived payment's history may go, its neighbour's may not."""
    shop = OldShop(await open_store(sqlite_url), tmp_path)
    await shop.sell(1)
    await shop.reconcile()
    await shop.archive()
    await shop.sell(2)
    file = sqlite3.connect(sqlite_url.removeprefix("sqlite://"))
    for statement in (
        "DELETE FROM payment_events", "DELETE FROM notices", "DELETE FROM archives",
        "DELETE FROM archived_subjects", "UPDATE archived_subjects SET version = 99",
        "UPDATE archives SET name = 'x'",
    ):  # fmt: skip
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            file.execute(statement)
    file.close()


async def test_a_changed_file_is_found(shop: OldShop) -> None:
    await shop.sell(1)
    await shop.reconcile()
    await shop.archive()
    place = shop.only()
    data = bytearray((place / "postings.parquet").read_bytes())
    data[20] ^= 1
    (place / "postings.parquet").write_bytes(data)
    (wrong,) = await verify_archives(shop.store, shop.folder)
    assert "postings.parquet" in wrong
    shutil.rmtree(place)
    assert len(await verify_archives(shop.store, shop.folder)) == 1


# --- nights' files


def night_files(nights: Path, account: str = "a1") -> dict[str, bytes]:
    """A night's folder, filled."""
    folder = nights / account / DAY.isoformat()
    (folder / "again").mkdir(parents=True)
    files = {"bill.csv": b"line\n", "lines.parquet": b"PAR1", "again/bill.csv": b"other\n"}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "night.duckdb").write_bytes(b"scratch")
    return files


async def test_a_nights_files_move_and_are_still_found(shop: OldShop, tmp_path: Path) -> None:
    nights = tmp_path / "nights"
    files = night_files(nights)
    await shop.reconcile()
    left: Counter[str] = Counter()
    assert await archive_nights(shop.store, nights, shop.folder, BEFORE, left) == 1
    place = night_folder(nights, shop.folder, "a1", DAY)
    assert place == shop.folder / BILLS / "a1" / DAY.isoformat()
    assert {name: (place / name).read_bytes() for name in files} == files
    assert set(json.loads((place / "manifest.json").read_text())["files"]) == set(files)
    assert not (nights / "a1" / DAY.isoformat()).exists()
    assert await archive_nights(shop.store, nights, shop.folder, BEFORE, left) == 0
    assert not left


async def test_a_night_that_is_not_done_or_still_decided_about_keeps_its_files(
    shop: OldShop, tmp_path: Path
) -> None:
    nights = tmp_path / "nights"
    night_files(nights)
    night_files(nights, "a2")
    first = Night(account_id="a1", day=DAY, version=1, state=NightState.MATCHED)
    one = stored("A", DifferenceKind.AMOUNT)
    one = replace(one, account_id="a1", found=replace(one.found, day=DAY))
    assert await shop.store.save_match(first, [one], ())
    await shop.store.save_night(replace(first, version=2, state=NightState.DONE))
    await shop.store.save_night(replace(first, account_id="a2", state=NightState.CHANGED))
    left: Counter[str] = Counter()
    assert await archive_nights(shop.store, nights, shop.folder, BEFORE, left) == 0
    assert left == {"night with open differences": 1, "night changed": 1}
    assert (nights / "a1" / DAY.isoformat() / "bill.csv").exists()


async def test_stopped_between_copy_and_removal_it_is_done_again(
    shop: OldShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights = tmp_path / "nights"
    files = night_files(nights)
    await shop.reconcile()
    left: Counter[str] = Counter()

    def die(_: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("gateway.archive_bills.shutil.rmtree", die)
        with pytest.raises(KeyboardInterrupt):
            await archive_nights(shop.store, nights, shop.folder, BEFORE, left)
    assert (nights / "a1" / DAY.isoformat() / "bill.csv").exists()
    assert await archive_nights(shop.store, nights, shop.folder, BEFORE, left) == 1
    place = shop.folder / BILLS / "a1" / DAY.isoformat()
    assert {name: (place / name).read_bytes() for name in files} == files
