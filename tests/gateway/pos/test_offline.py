"""Offline sales, adjustments and tips: told until the channel answers, booked once."""

import asyncio
from dataclasses import replace

import orjson
import pytest

from channels.card import CardAction
from channels.port import Answer, Verdict
from domain.errors import ChannelDown, Conflict
from domain.settle import Decision
from gateway.cases import Cases
from gateway.store.batch_records import BatchKey
from gateway.store.port import Store
from pos_protocol import asks
from pos_protocol.terminal import Request
from tests.gateway.pos.hold_counter import (
    APPROVED,
    CARD,
    DECLINED,
    LOST,
    OTHER_CARD,
    REFERENCE,
    SILENT,
    HoldCounter,
    original,
    proved,
    recovered,
)
from tests.gateway.pos.one_exchange import MERCHANT_NO, TERMINAL_ID

AUTH_CODE = "T3LF0N"
NOT_SENT = Answer(verdict=Verdict.NOT_SENT)


@pytest.fixture
async def till(store: Store) -> HoldCounter:
    """A counter whose host approves everything."""
    return await HoldCounter(store).opened()


def offline(till: HoldCounter, amount_fen: int = 8_000) -> Request:
    return till.terminal.ask(asks.offline_sale(CARD, amount_fen, AUTH_CODE))


def adjusted(till: HoldCounter, sale: Request, whole_fen: int) -> Request:
    return till.terminal.ask(asks.adjustment(CARD, whole_fen, original(sale), AUTH_CODE))


def tipped(till: HoldCounter, sale: Request, whole_fen: int, tip_fen: int) -> Request:
    return till.terminal.ask(asks.tip(CARD, whole_fen, tip_fen, original(sale), AUTH_CODE))


async def sold(till: HoldCounter, amount_fen: int = 8_000) -> Request:
    """An offline sale that was booked."""
    request = offline(till, amount_fen)
    assert await till.code(request) == "00"
    return request


# --- the sale


async def test_an_offline_sale_is_told_booked_and_answered(till: HoldCounter) -> None:
    """The channel hears card and authorisation code; the ledger has it once."""
    request = offline(till)
    answer = await till.ask(request)
    assert answer is not None
    assert (answer.mti, answer.text(39), answer.text(37)) == ("0230", "00", REFERENCE)
    [asked] = till.host.paid
    assert (asked.action, asked.amount_fen, asked.repeated) == (CardAction.OFFLINE, 8_000, False)
    assert asked.advice.auth_code == AUTH_CODE
    assert await till.status(request) == "succeeded"
    assert await till.booked_fen(request) == 8_000
    assert await till.house.open_jobs() == []
    await proved(till)


async def test_a_repeat_is_the_kept_reply_and_moves_nothing(till: HoldCounter) -> None:
    request = await sold(till)
    first = await till.raw(request)
    assert await till.raw(request) == first
    assert till.host.calls.count("pay") == 1
    assert await till.booked_fen(request) == 8_000


async def test_a_lost_answer_is_silence_and_told_again_until_it_is_answered(store: Store) -> None:
    """Never undone: the same message under the same number, marked as a repeat."""
    till = await HoldCounter(store, till_wait_s=5).opened()
    till.host.pays = [LOST, LOST, APPROVED]
    request = offline(till)
    assert await till.code(request) == "00"
    first, *again = till.host.paid
    assert [one.repeated for one in again] == [True, True]
    for one in again:
        assert replace(one, repeated=False) == first
    assert "cancel" not in till.host.calls
    assert await till.booked_fen(request) == 8_000
    await proved(till)


async def test_what_was_not_answered_in_time_is_finished_by_the_gateway(store: Store) -> None:
    """The terminal hears silence, the answer comes late, and its repeat hears 00."""
    till = await HoldCounter(store, till_wait_s=0.05).opened()
    till.offline._advising._patience_s = 0.05
    till.host.pays = [LOST]
    request = offline(till)
    assert await till.code(request) == SILENT
    assert await till.status(request) == "unknown"
    till.host.pays = [APPROVED]
    await recovered(till, request, "succeeded")
    assert await till.code(request) == "00"
    assert await till.booked_fen(request) == 8_000


async def test_what_could_not_leave_is_not_failed(till: HoldCounter) -> None:
    """A sale that was not sent is refused; an advice is sent again."""
    till.host.pays = [NOT_SENT, APPROVED]
    request = offline(till)
    assert await till.code(request) == "00"
    assert await till.booked_fen(request) == 8_000


async def test_the_channels_no_is_the_terminals(till: HoldCounter) -> None:
    till.host.pays = [DECLINED]
    request = offline(till)
    assert await till.code(request) == "51"
    assert await till.status(request) == "failed"
    assert await till.booked_fen(request) == 0
    assert await till.code(request) == "51"


async def test_a_channel_that_is_away_is_silence_and_nothing_is_begun(
    till: HoldCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise ChannelDown("away")

    monkeypatch.setattr(till.house.payments, "begin", away)
    request = offline(till)
    assert await till.code(request) == SILENT
    assert await till.find(request) is None


async def test_what_nobody_answers_waits_for_a_person(store: Store) -> None:
    """After the patience a case; who calls it paid books it once."""
    till = await HoldCounter(store, till_wait_s=0.05, patience_s=0.0).opened()
    till.offline._advising._patience_s = 0.5
    till.host.pays = [LOST]
    request = offline(till)
    assert await till.code(request) == SILENT
    payment = await till.payment(request)
    assert payment.standing.parked_reason
    [case] = await till.store.cases(is_open=True, after="", limit=9)
    assert case.reason == "advice_not_answered"
    cases = Cases(store=till.store, clock=till.clock, notices=till.house.notices)
    await cases.resolve(case.case_id, Decision.PAID, by="finance", why="the host's file has it")
    assert await till.status(request) == "succeeded"
    assert await till.booked_fen(request) == 8_000
    assert await till.code(request) == "00"


async def test_it_is_not_undone_whoever_asks(till: HoldCounter) -> None:
    request = await sold(till)
    with pytest.raises(Conflict, match="refunded"):
        await till.house.payments.cancel(await till.payment(request))
    assert await till.status(request) == "succeeded"


async def test_what_is_kept_of_it_is_sealed(till: HoldCounter) -> None:
    """Neither card nor authorisation code is in clear in what the store has."""
    request = await sold(till)
    order = (await till.payment(request)).order
    kept = orjson.loads(order.details_json)
    assert set(kept) == {"entry_mode", "advice"}
    for secret in (CARD.pan, AUTH_CODE, CARD.expiry):
        assert secret not in order.details_json
    assert CARD.pan not in repr(order)


# --- what adds to it


async def test_an_adjustment_books_the_difference(till: HoldCounter) -> None:
    """The channel hears the new whole through what was taken before."""
    sale = await sold(till, 8_000)
    request = adjusted(till, sale, 9_000)
    assert await till.code(request) == "00"
    asked = till.host.paid[-1]
    assert (asked.action, asked.amount_fen, asked.advice.base_fen) == (
        CardAction.ADJUST,
        1_000,
        8_000,
    )
    named = (await till.payment(sale)).order.channel_order_no
    assert (asked.advice.original_no, asked.advice.original_reference) == (named, REFERENCE)
    assert (await till.booked_fen(sale), await till.booked_fen(request)) == (8_000, 1_000)
    assert await till.code(request) == "00"
    await proved(till)


async def test_a_tip_is_the_difference(till: HoldCounter) -> None:
    sale = await sold(till, 8_000)
    assert await till.code(tipped(till, sale, 9_000, 900)) == "64"
    request = tipped(till, sale, 9_000, 1_000)
    assert await till.code(request) == "00"
    assert till.host.paid[-1].action is CardAction.TIP
    assert await till.booked_fen(request) == 1_000


async def test_a_sale_is_added_to_once(till: HoldCounter) -> None:
    """A second addition is 22; one that failed leaves the sale open to another."""
    sale = await sold(till)
    till.host.pays = [DECLINED]
    assert await till.code(adjusted(till, sale, 9_000)) == "51"
    till.host.pays = [APPROVED]
    assert await till.code(adjusted(till, sale, 9_000)) == "00"
    assert await till.code(adjusted(till, sale, 9_500)) == "22"
    assert await till.code(tipped(till, sale, 9_000, 1_000)) == "22"


async def test_two_additions_at_once(till: HoldCounter) -> None:
    """One of them gets it, whoever is first."""
    sale = await sold(till)
    codes = await asyncio.gather(
        *(till.code(adjusted(till, sale, 9_000 + number)) for number in range(4))
    )
    assert sorted(codes) == ["00", "22", "22", "22"]


async def test_what_cannot_be_added_to(till: HoldCounter) -> None:
    """25 no sale, 14 another card, 64 not more, 25 what failed."""
    sale = await sold(till)
    assert await till.code(adjusted(till, sale, 8_000)) == "64"
    assert await till.code(adjusted(till, sale, 7_000)) == "64"
    other = asks.adjustment(OTHER_CARD, 9_000, original(sale))
    assert await till.code(till.terminal.ask(other)) == "14"
    never = asks.adjustment(CARD, 9_000, asks.original_of("000001", "000999"))
    assert await till.code(till.terminal.ask(never)) == "25"
    till.host.pays = [DECLINED]
    failed = offline(till)
    assert await till.code(failed) == "51"
    assert await till.code(adjusted(till, failed, 9_000)) == "25"
    held = await till_hold(till)
    assert await till.code(tipped(till, held, 20_000, 10_000)) == "25"


async def till_hold(till: HoldCounter) -> Request:
    till.host.pays = [APPROVED]
    return await till.held()


async def test_an_addition_to_what_is_not_known_yet_waits(store: Store) -> None:
    """Silence: it may become possible, and its terminal must not drop it."""
    till = await HoldCounter(store, till_wait_s=0.05).opened()
    till.offline._advising._patience_s = 0.05
    till.host.pays = [LOST]
    sale = offline(till)
    assert await till.code(sale) == SILENT
    assert await till.code(adjusted(till, sale, 9_000)) == SILENT


async def test_an_addition_counts_as_its_sale(till: HoldCounter) -> None:
    """The batch has one transaction of the whole."""
    sale = await sold(till, 8_000)
    assert await till.code(adjusted(till, sale, 9_000)) == "00"
    entries = await till.store.batch_payments(BatchKey(MERCHANT_NO, TERMINAL_ID, 1), "", 10)
    assert [(one.adds_to, one.captured_fen) for one in entries] == [
        ("", 8_000),
        (sale.message.text(11), 1_000),
    ]
