"""Printed codes, limits and operators, on both engines."""

import asyncio
from dataclasses import replace

import pytest

from domain.decline import Decline, DeclineReason
from domain.errors import Conflict, NotFound
from domain.limits import Limit
from domain.payment import Event, Standing, Status
from gateway.store.port import Advance, Claim, JobKind, Merchant, Spend, Store
from gateway.store.shop_records import Operator, QrCode
from tests.store.conftest import Look
from tests.support.payments import MERCHANT, sample_advance, sample_claim, sample_order

SHOP = Merchant(
    merchant_no=MERCHANT, name="奶茶店", pos_merchant_id="123456789012345", created_at_ms=1
)
CODE = QrCode(
    code_id="b" * 26,
    merchant_no=MERCHANT,
    store_id="S1",
    terminal_id="",
    name="奶茶店 一号",
    amount_fen=0,
    created_at_ms=2,
    notify_url="https://shop.example/paid",
)
CLERK = Operator(
    merchant_no=MERCHANT, operator_id="01", name="王", pin_hash="hash", created_at_ms=3
)
DAY = "2026-11-30"


def spending(
    number: int, *, limit_fen: int = 5000, stores: tuple[str, ...] = ("",), day: str = DAY
) -> Claim:
    """A claim of 19.90 that counts for a day of each of ``stores``."""
    spends = [
        Spend(
            merchant_no=MERCHANT, store_id=store_id, day=day, amount_fen=1990, limit_fen=limit_fen
        )
        for store_id in stores
    ]
    return replace(sample_claim(number), spends=spends)


def ending(number: int, status: Status) -> Advance:
    """The move of a sample payment to where nothing was taken."""
    decline = Decline(DeclineReason.DECLINED)
    standing = Standing(status=status, version=2, decline=decline)
    return replace(sample_advance(number), event=Event.DECLINE, standing=standing, postings=())


async def test_a_code_comes_with_its_merchant(store: Store) -> None:
    """Found, unique, disabled; a disabled merchant's says so."""
    with pytest.raises(NotFound):
        await store.add_qr_code(CODE)
    await store.add_merchant(SHOP)
    await store.add_qr_code(CODE)
    with pytest.raises(Conflict):
        await store.add_qr_code(CODE)
    assert await store.qr_code(CODE.code_id) == (SHOP, CODE)
    assert await store.qr_code("c" * 26) is None
    await store.disable_qr_code(CODE.code_id)
    await store.disable_merchant(MERCHANT)
    assert await store.qr_code(CODE.code_id) == (
        replace(SHOP, disabled=True),
        replace(CODE, disabled=True),
    )
    with pytest.raises(NotFound):
        await store.disable_qr_code("c" * 26)


async def test_where_a_code_tells_can_be_changed(store: Store) -> None:
    """To another address, and to none; nothing else of it changes."""
    await store.add_merchant(SHOP)
    await store.add_qr_code(CODE)
    for url in ("https://shop.example/new", ""):
        await store.tell_qr_code(CODE.code_id, url)
        assert await store.qr_code(CODE.code_id) == (SHOP, replace(CODE, notify_url=url))
    with pytest.raises(NotFound):
        await store.tell_qr_code("c" * 26, "")


async def test_codes_are_listed_in_pages(store: Store) -> None:
    """By number, all or one merchant's."""
    await store.add_merchant(SHOP)
    other = replace(SHOP, merchant_no="m2", pos_merchant_id="123456789012346")
    await store.add_merchant(other)
    codes = [replace(CODE, code_id=letter * 26) for letter in "abc"]
    codes[1] = replace(codes[1], merchant_no="m2", amount_fen=100, terminal_id="T1")
    for code in reversed(codes):
        await store.add_qr_code(code)
    assert list(await store.qr_codes("", "", 2)) == codes[:2]
    assert list(await store.qr_codes("", codes[1].code_id, 2)) == codes[2:]
    assert list(await store.qr_codes(MERCHANT, "", 9)) == [codes[0], codes[2]]


async def test_limits_are_set_replaced_and_removed(store: Store) -> None:
    """One for the merchant and one for each store."""
    whole = Limit(merchant_no=MERCHANT, single_fen=1000)
    of_store = Limit(
        merchant_no=MERCHANT, store_id="S1", daily_fen=9_999_999_999, opens_min=480, closes_min=60
    )
    with pytest.raises(NotFound):
        await store.set_limit(whole, 1)
    await store.add_merchant(SHOP)
    await store.set_limit(of_store, 1)
    await store.set_limit(whole, 1)
    assert list(await store.limits()) == [whole, of_store]
    changed = replace(whole, single_fen=0, small_fen=5)
    await store.set_limit(changed, 2)
    assert list(await store.limits()) == [changed, of_store]
    await store.remove_limit(MERCHANT, "")
    assert list(await store.limits()) == [of_store]
    with pytest.raises(NotFound):
        await store.remove_limit(MERCHANT, "")


async def test_a_claim_counts_for_its_day_with_all_that_a_claim_writes(store: Store) -> None:
    """Order, event and job; each day and store by itself."""
    assert await store.claim(spending(1, stores=("", "S1")))
    assert await store.claim(spending(2))
    assert await store.claim(spending(3, day="2026-12-01"))
    assert await store.spent(MERCHANT, "", DAY) == 3980
    assert await store.spent(MERCHANT, "S1", DAY) == 1990
    assert await store.spent(MERCHANT, "", "2026-12-01") == 1990
    assert await store.spent("m2", "", DAY) == 0
    payment = await store.payment(sample_order(1).id)
    assert payment is not None
    assert payment.order == sample_order(1)
    assert [line.event for line in await store.events(payment.order.id)] == [Event.SUBMIT]
    assert len(await store.jobs(JobKind.SETTLE, "", 9)) == 3


@pytest.mark.parametrize("stores", [("",), ("", "S1"), ("S1", "")])
async def test_a_claim_that_is_too_much_writes_nothing(
    store: Store, stores: tuple[str, ...]
) -> None:
    """Neither order nor job nor a part of a sum, whichever of the sums is full."""
    assert await store.claim(spending(1))
    assert await store.claim(spending(2))
    assert not await store.claim(spending(3, stores=stores))
    assert await store.payment(sample_order(3).id) is None
    assert await store.spent(MERCHANT, "", DAY) == 3980
    assert await store.spent(MERCHANT, "S1", DAY) == 0
    assert len(await store.jobs(JobKind.SETTLE, "", 9)) == 2
    assert not await store.claim(spending(4, limit_fen=1989, day="2026-12-02"))


async def test_a_repeat_counts_once(store: Store) -> None:
    """Its key is found before its sum is looked at."""
    assert await store.claim(spending(1))
    assert not await store.claim(spending(1))
    assert await store.spent(MERCHANT, "", DAY) == 1990


async def test_of_many_at_once_those_win_that_fit(store: Store) -> None:
    """Ten that want room for seven: seven, whoever they are."""
    claims = [spending(number, limit_fen=7 * 1990, stores=("S1", "")) for number in range(10)]
    won = await asyncio.gather(*(store.claim(claim) for claim in claims))
    assert sum(won) == 7
    assert await store.spent(MERCHANT, "", DAY) == 7 * 1990
    assert await store.spent(MERCHANT, "S1", DAY) == 7 * 1990


@pytest.mark.parametrize("status", [Status.FAILED, Status.CLOSED, Status.REVERSED])
async def test_what_was_not_paid_after_all_gives_its_room_back(
    store: Store, status: Status
) -> None:
    """What was paid, or may still be, keeps it; freeing twice frees nothing more."""
    for number in (1, 2):
        assert await store.claim(spending(number))
    await store.free_unpaid(MERCHANT, "", DAY)
    assert await store.spent(MERCHANT, "", DAY) == 3980
    assert await store.advance(ending(1, status))
    assert await store.advance(sample_advance(2))
    for _ in range(2):
        await store.free_unpaid(MERCHANT, "", DAY)
        assert await store.spent(MERCHANT, "", DAY) == 1990
    assert await store.claim(spending(3))
    assert not await store.claim(spending(4))
    await store.free_unpaid(MERCHANT, "S9", DAY)


async def test_days_that_are_over_are_forgotten(store: Store, look: Look) -> None:
    """Of one merchant, its stores too; from a day on everything stays."""
    for number, day in enumerate(("2026-11-28", "2026-11-29", "2026-11-30")):
        assert await store.claim(spending(number, stores=("", "S1"), day=day))
    await store.forget_days("m2", "2026-11-30")
    assert await store.spent(MERCHANT, "", "2026-11-28") == 1990
    await store.forget_days(MERCHANT, "2026-11-29")
    days = ["2026-11-29"] * 2 + ["2026-11-30"] * 2
    for table in ("limit_days", "limit_spends"):
        rows = await look(f"SELECT day FROM {table} ORDER BY day")
        assert [day for (day,) in rows] == days


async def test_a_sum_is_what_its_payments_add_up_to(store: Store, look: Look) -> None:
    """While some claim, others end and free."""
    for number in range(6):
        assert await store.claim(spending(number, limit_fen=8 * 1990))

    async def ended(number: int) -> None:
        await store.advance(ending(number, Status.FAILED))
        await store.free_unpaid(MERCHANT, "", DAY)

    await asyncio.gather(
        *(ended(number) for number in range(4)),
        *(store.claim(spending(number, limit_fen=8 * 1990)) for number in range(6, 12)),
    )
    await store.free_unpaid(MERCHANT, "", DAY)
    ((added,),) = await look("SELECT CAST(SUM(amount_fen) AS BIGINT) FROM limit_spends")
    assert await store.spent(MERCHANT, "", DAY) == added
    assert added <= 8 * 1990
    assert added % 1990 == 0


async def test_operators_are_listed_disabled_and_given_pins(store: Store) -> None:
    with pytest.raises(NotFound):
        await store.add_operator(CLERK)
    await store.add_merchant(SHOP)
    await store.add_operator(CLERK)
    with pytest.raises(Conflict):
        await store.add_operator(CLERK)
    assert await store.operator(MERCHANT, "01") == CLERK
    assert await store.operator(MERCHANT, "02") is None
    await store.set_operator_pin(MERCHANT, "01", "other")
    await store.disable_operator(MERCHANT, "01")
    changed = replace(CLERK, pin_hash="other", disabled=True)
    assert list(await store.operators("")) == [changed]
    assert list(await store.operators("m2")) == []
    for refused in (
        store.disable_operator(MERCHANT, "02"),
        store.set_operator_pin(MERCHANT, "02", "x"),
    ):
        with pytest.raises(NotFound):
            await refused


async def test_tries_are_counted_and_the_last_one_locks(store: Store) -> None:
    """However many come at once; a right PIN, or another one, frees."""
    await store.add_merchant(SHOP)
    await store.add_operator(CLERK)
    later_ms = 4_000_000_000_000

    async def tried(now_ms: int) -> bool:
        return await store.take_try(MERCHANT, "01", now_ms=now_ms, tries=3, lock_until_ms=later_ms)

    assert sum(await asyncio.gather(*(tried(1000) for _ in range(8)))) == 3
    locked = await store.operator(MERCHANT, "01")
    assert locked is not None
    assert (locked.tries, locked.locked_until_ms) == (0, later_ms)
    assert not await tried(later_ms - 1)
    assert await tried(later_ms)
    await store.pin_was_right(MERCHANT, "01", "not its hash")
    assert (await store.operator(MERCHANT, "01")) == replace(
        CLERK, tries=1, locked_until_ms=later_ms
    )
    await store.pin_was_right(MERCHANT, "01", CLERK.pin_hash)
    assert await store.operator(MERCHANT, "01") == CLERK
    await store.disable_operator(MERCHANT, "01")
    assert not await tried(1000)


def test_no_hash_is_in_what_is_shown_of_an_operator() -> None:
    assert "hash" not in repr(CLERK)
