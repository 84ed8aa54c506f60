"""Limits before a claim: what they cost, what they stop, and what they never stop."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from channels.port import Answer, Verdict
from domain.clock import BEIJING
from domain.decline import DeclineReason
from domain.errors import OverLimit, Unavailable
from domain.limits import Limit, LimitRule, limit_day
from domain.payment import ADVICE_METHODS, COMPLETION_METHOD
from gateway import operator_pins
from gateway.limits import Limits, NoLimits, asked_of
from gateway.operator_pins import MAX_WAITING, OperatorPins
from gateway.pin_hash import hash_pin, matches
from gateway.store.port import Merchant, Store
from gateway.store.shop_records import Operator
from tests.gateway.fakes import House, draft
from tests.support.waiting import eventually

PIN = "739201"
DECLINED = Answer(verdict=Verdict.DECLINED, reason=DeclineReason.INSUFFICIENT_FUNDS)


class CountedHashing:
    """Hashing that costs nothing and counts; the "hash" of a PIN is its text reversed."""

    def __init__(self) -> None:
        self.looked_at: list[str] = []
        self.gate: Callable[[], Any] = lambda: None

    def __call__(self, pin_hash: str, pin: str) -> bool:
        self.gate()
        self.looked_at.append(pin_hash)
        return pin_hash == pin[::-1]


@pytest.fixture
def hashing() -> CountedHashing:
    return CountedHashing()


@pytest.fixture
def house(store: Store, hashing: CountedHashing) -> House:
    """Payments with limits that are fresh for ten seconds."""

    def limits(house: House) -> Limits:
        pins = OperatorPins(
            store=house.store, clock=house.clock, tries=3, lock_s=60, max_at_once=2,
            hashing=hashing,
        )  # fmt: skip
        return Limits(
            store=house.store, pins=pins, clock=house.clock, metrics=house.metrics,
            log=house.log, fresh_s=10,
        )  # fmt: skip

    return House(store, limits=limits)


async def limited(house: House, store_id: str = "", **values: Any) -> None:
    """Give the merchant a limit that holds at once, and an operator 01."""
    if not await house.store.merchants():
        await house.store.add_merchant(
            Merchant(merchant_no="M1", name="Shop", pos_merchant_id="9" * 15, created_at_ms=1)
        )
        await house.store.add_operator(
            Operator(
                merchant_no="M1", operator_id="01", name="", pin_hash=PIN[::-1], created_at_ms=1
            )
        )
    await house.store.set_limit(Limit(merchant_no="M1", store_id=store_id, **values), 1)
    house.clock.skipped_s += 11


async def refused(house: House, key: str = "k1", **changes: Any) -> str:
    """The code of the refusal of a payment; nothing was begun."""
    before = house.payments.in_flight()
    with pytest.raises(OverLimit) as told:
        await house.payments.begin(draft(key, **changes))
    payment = draft(key, **changes)
    assert await house.store.payment_by_order(payment.merchant_no, payment.door, key) is None
    assert house.payments.in_flight() == before
    return told.value.code


async def test_a_single_amount_is_stopped_before_anything_is_begun(house: House) -> None:
    await limited(house, single_fen=1989)
    assert await refused(house) == "limit_single"
    assert house.channel.calls == []
    assert [line["rule"] for line in house.said("over a limit")] == ["limit_single"]
    assert b'posgate_over_limit_total{rule="limit_single"} 1.0' in house.metrics.exposition()
    await house.paid(amount_fen=1989)


async def test_a_repeat_is_answered_whatever_limits_came_since(house: House) -> None:
    """The payment that exists is shown; a new one is stopped."""
    first = await house.paid()
    await limited(house, single_fen=1)
    again = await house.payments.begin(draft())
    assert again.replayed
    assert again.payment.order.id == first.order.id
    assert house.said("over a limit") == []
    assert await refused(house, "k2") == "limit_single"


async def test_hours_are_looked_at_when_the_payment_comes(house: House) -> None:
    """One minute before closing it is taken, at closing it is not."""
    local = datetime.fromtimestamp(house.clock.now_ms() / 1000, BEIJING)
    minute = local.hour * 60 + local.minute
    await limited(house, opens_min=minute, closes_min=(minute + 720) % 1440)
    await house.paid()
    house.clock.later_s += 13 * 3600
    assert await refused(house, "k2") == "limit_hours"


async def test_a_days_sum_counts_what_is_taken_and_what_may_be(house: House) -> None:
    """Two of 19.90 fit into 50.00, the third not; the next day begins anew."""
    await limited(house, daily_fen=5000)
    await house.paid("k1")
    live = await house.begun("k2")
    assert await refused(house, "k3") == "limit_daily"
    await house.payments.run(live)
    assert await refused(house, "k3") == "limit_daily"
    await house.paid("k4", amount_fen=1020)
    assert await refused(house, "k5", amount_fen=1) == "limit_daily"
    house.clock.later_s += 24 * 3600
    await house.paid("k3")


async def test_a_declined_payment_gives_its_room_back(house: House) -> None:
    await limited(house, daily_fen=1990)
    house.channel.pays = [DECLINED, Answer(verdict=Verdict.SUCCEEDED, trade_no="T1")]
    await house.paid("k1")
    await house.paid("k2")
    assert await refused(house, "k3") == "limit_daily"


async def test_days_that_are_over_are_let_go_once_a_day(house: House) -> None:
    """Yesterday stays; a store that stumbles over it stops no payment."""
    await limited(house, daily_fen=5000)
    today = limit_day(house.clock.now_ms())
    await house.paid("k1")
    house.clock.later_s += 24 * 3600
    await house.paid("k2")
    assert await house.store.spent("M1", "", today) == 1990
    house.clock.later_s += 24 * 3600
    house.flaky.down["forget_days"] = 1
    await house.paid("k3")
    house.clock.later_s += 24 * 3600
    await house.paid("k4")
    await house.paid("k5")
    assert await house.store.spent("M1", "", today) == 0


async def test_a_claim_whose_answer_was_lost_counts_once(house: House) -> None:
    """The store committed and nobody heard: the repeat finds the payment, the sum holds it once."""
    await limited(house, daily_fen=1990)

    async def lost(*_: Any) -> None:
        raise Unavailable("committed, and the answer was lost")

    house.flaky.after["claim"] = lost
    with pytest.raises(Unavailable):
        await house.payments.begin(draft())
    assert (await house.payments.begin(draft())).replayed
    assert await house.store.spent("M1", "", limit_day(house.clock.now_ms())) == 1990
    assert await refused(house, "k2", amount_fen=1) == "limit_daily"


async def test_of_many_at_once_no_more_than_the_day_allows_are_begun(house: House) -> None:
    """All are judged before any is claimed: the claims decide."""
    await limited(house, daily_fen=3 * 1990)
    results = await asyncio.gather(
        *(house.payments.begin(draft(f"k{number}")) for number in range(6)),
        return_exceptions=True,
    )
    told = [one.code for one in results if isinstance(one, OverLimit)]
    assert told == ["limit_daily"] * 3
    assert len(house.said("over a limit")) == 3
    assert house.payments.in_flight() == 3
    for one in results:
        if not isinstance(one, BaseException):
            assert one.live is not None
            await house.payments.run(one.live)


async def test_a_stores_limit_is_its_own(house: House) -> None:
    await limited(house, store_id="S1", single_fen=100)
    assert await refused(house, store_id="S1") == "limit_single"
    await house.paid("k2", store_id="S2")
    await house.paid("k3")


async def test_a_merchant_without_limits_costs_no_question(house: House) -> None:
    """Within ``fresh_s`` the store is asked once, for everybody."""
    asked = 0

    async def count(*_: Any) -> None:
        nonlocal asked
        asked += 1

    house.flaky.before["limits"] = count
    await house.paid("k1")
    for number in range(2, 5):
        house.flaky.before["limits"] = count
        await house.paid(f"k{number}")
    assert asked == 1
    assert not NoLimits().concern("M1")


async def test_a_limit_holds_once_what_is_known_is_old(house: House) -> None:
    """And one that was removed holds no more."""
    await house.paid("k1")
    await house.store.add_merchant(
        Merchant(merchant_no="M1", name="Shop", pos_merchant_id="9" * 15, created_at_ms=1)
    )
    await house.store.set_limit(Limit(merchant_no="M1", single_fen=1), 1)
    await house.paid("k2")
    house.clock.skipped_s += 10
    assert await refused(house, "k3") == "limit_single"
    await house.store.remove_limit("M1", "")
    house.clock.skipped_s += 10
    await house.paid("k3")


async def test_nothing_is_begun_while_limits_cannot_be_read(house: House) -> None:
    house.flaky.down["limits"] = 1
    with pytest.raises(Unavailable):
        await house.payments.begin(draft())
    assert house.payments.in_flight() == 0
    await house.paid()


@pytest.mark.parametrize("method", sorted({*ADVICE_METHODS, COMPLETION_METHOD}))
def test_what_is_done_already_is_not_judged(method: str) -> None:
    assert asked_of(draft(method=method)) is None


async def test_what_an_authorisation_was_judged_for_may_be_taken(house: House) -> None:
    """The limits came since; a new sale is stopped."""
    await limited(house, single_fen=1)
    begun = await house.payments.begin(draft(method=COMPLETION_METHOD))
    assert not begun.replayed
    assert await refused(house, "k2") == "limit_single"


def test_a_payer_on_the_page_pays_by_himself() -> None:
    """Door by door."""
    at_till = {}
    for door in ("api", "pos", "checkout", "page"):
        asked = asked_of(draft(door=door))
        assert asked is not None
        at_till[door] = asked.at_till
    assert at_till == {"api": True, "pos": True, "checkout": False, "page": False}


async def test_above_the_small_amount_an_operator_lets_it_through(
    house: House, hashing: CountedHashing
) -> None:
    """Below it nobody is asked; no PIN stays in the log."""
    await limited(house, small_fen=1000)
    await house.paid("k1", amount_fen=1000)
    assert hashing.looked_at == []
    assert await refused(house, "k2") == "operator_pin_needed"
    assert await refused(house, "k2", operator_id="01") == "operator_pin_needed"
    await house.paid("k2", operator_id="01", operator_pin=PIN)
    assert [line["operator_id"] for line in house.said("operator let it through")] == ["01"]
    assert PIN not in repr(house._capture.entries)
    await house.paid("k3", door="page")


async def test_wrong_pins_lock_the_operator_for_a_while(
    house: House, hashing: CountedHashing
) -> None:
    """The right one does not open a lock; after it, it does, and forgets the tries."""
    await limited(house, small_fen=1000)
    wrong = {"operator_id": "01", "operator_pin": "739202"}
    right = {"operator_id": "01", "operator_pin": PIN}
    for _ in range(2):
        assert await refused(house, **wrong) == "operator_pin_wrong"
    await house.paid("k1", **right)
    for _ in range(3):
        assert await refused(house, "k2", **wrong) == "operator_pin_wrong"
    looked = len(hashing.looked_at)
    for pin in (wrong, right):
        assert await refused(house, "k2", **pin) == "operator_locked"
    assert len(hashing.looked_at) == looked
    house.clock.later_s += 61
    await house.paid("k2", **right)


async def test_however_many_guess_at_once_no_more_are_looked_at_than_there_are_tries(
    house: House, hashing: CountedHashing
) -> None:
    await limited(house, small_fen=1000)
    results = await asyncio.gather(
        *(
            house.payments.begin(
                draft(f"k{number}", operator_id="01", operator_pin=f"73930{number}")
            )
            for number in range(8)
        ),
        return_exceptions=True,
    )
    told = sorted(one.code for one in results if isinstance(one, OverLimit))
    assert told == ["operator_locked"] * 5 + ["operator_pin_wrong"] * 3
    assert len(hashing.looked_at) == 3


@pytest.mark.parametrize("operator_id", ["02", "no such", "99"])
async def test_who_is_not_there_is_told_the_same_and_costs_as_much(
    house: House, hashing: CountedHashing, operator_id: str
) -> None:
    """A disabled one too."""
    await limited(house, small_fen=1000)
    await house.store.add_operator(
        Operator(merchant_no="M1", operator_id="99", name="", pin_hash=PIN[::-1], created_at_ms=1)
    )
    await house.store.disable_operator("M1", "99")
    who = {"operator_id": operator_id, "operator_pin": PIN}
    assert await refused(house, **who) == "operator_pin_wrong"
    assert len(hashing.looked_at) == 1


async def test_another_merchants_operator_is_nobody(house: House) -> None:
    """I13: operators are a merchant's own."""
    await limited(house, small_fen=1000)
    await house.store.add_merchant(
        Merchant(merchant_no="M2", name="Other", pos_merchant_id="8" * 15, created_at_ms=1)
    )
    await house.store.add_operator(
        Operator(merchant_no="M2", operator_id="77", name="", pin_hash=PIN[::-1], created_at_ms=1)
    )
    assert await refused(house, operator_id="77", operator_pin=PIN) == "operator_pin_wrong"


async def test_a_payment_that_cannot_be_costs_no_try(house: House, hashing: CountedHashing) -> None:
    """The PIN is asked for last."""
    await limited(house, small_fen=1, single_fen=100)
    assert await refused(house, operator_id="01", operator_pin="739202") == "limit_single"
    assert hashing.looked_at == []


async def test_pins_that_wait_are_bounded(store: Store) -> None:
    """One more is told to come back, and nothing waits for ever."""
    held = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(_hash: str, _pin: str) -> bool:
        asyncio.run_coroutine_threadsafe(held.wait(), loop).result(30)
        return False

    house = House(store)
    pins = OperatorPins(
        store=house.store, clock=house.clock, tries=3, lock_s=60, max_at_once=2, hashing=slow
    )
    waiting = [asyncio.ensure_future(pins.refusal("M1", "01", PIN)) for _ in range(MAX_WAITING)]
    await eventually(lambda: pins.waiting() == MAX_WAITING)
    with pytest.raises(Unavailable):
        await pins.refusal("M1", "01", PIN)
    held.set()
    assert set(await asyncio.gather(*waiting)) == {LimitRule.PIN_WRONG}
    assert pins.waiting() == 0


async def test_real_pins_are_hashed_by_argon2_with_a_salt_each() -> None:
    """Two hashes of one PIN differ, both know it; the hash of nobody knows none."""
    first, second = hash_pin(PIN), hash_pin(PIN)
    assert first != second
    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert PIN not in first
    assert matches(first, PIN) and matches(second, PIN)
    assert not matches(first, "739202")
    assert not matches("no hash", PIN)
    nobodys = operator_pins._NOBODYS
    assert nobodys.split("$")[:4] == first.split("$")[:4]
    assert not matches(nobodys, PIN)
