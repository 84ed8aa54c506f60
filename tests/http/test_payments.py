"""Payments over HTTPS against the real sandbox: taken once, found, undone, isolated."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from channels.port import HttpRequest, HttpResponse, NotSent
from gateway.cli.terminal_client import TerminalClient
from pos_protocol.card import magnetic_card
from sandbox.scenarios import ALIPAY_CODES, CARDS, Scenario
from tests.support.gateway import FAST, Place, Running, opened, scanned, with_seams

APPROVED = ALIPAY_CODES[Scenario.APPROVED]
CONTRACT_FIELDS = {
    "id", "merchant_order_no", "status", "amount", "currency", "channel", "channel_order_no",
    "channel_trade_no", "method", "created_at", "paid_at", "refunded_amount", "error",
}  # fmt: skip


async def test_an_approved_code_is_paid(running: Running) -> None:
    """201, succeeded, everything the contract lists, and the channel agrees."""
    reply = await running.api.pay(APPROVED, "order-1", metadata={"table": "7"}, store_id="S1")
    payment = reply.json
    assert reply.status == 201, reply.raw
    assert "Idempotent-Replayed" not in reply.headers
    assert payment.keys() >= CONTRACT_FIELDS
    assert payment["status"] == "succeeded"
    assert (payment["amount"], payment["currency"], payment["channel"]) == (1990, "CNY", "alipay")
    assert (payment["merchant_order_no"], payment["store_id"]) == ("order-1", "S1")
    assert payment["metadata"] == {"table": "7"}
    assert payment["channel_trade_no"]
    assert payment["paid_at"].endswith("Z")
    assert (payment["error"], payment["case_id"], payment["refunded_amount"]) == (None, None, 0)
    assert await running.place.charge(payment) == (1990, 0)


async def test_the_books_hold_a_balanced_capture(running: Running) -> None:
    """One approval, one debit, one credit, and a history without gaps."""
    payment = (await running.api.pay(APPROVED)).json
    store = running.gateway.store
    postings = await store.postings(payment["id"])
    assert sorted(posting.amount_fen for posting in postings) == [-1990, 1990]
    events = await store.events(payment["id"])
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))


async def test_the_same_body_again_is_the_same_payment(running: Running) -> None:
    """200, marked as replayed, one charge; white space and key order are not the body."""
    body = scanned(APPROVED, "again")
    first = await running.api.call("POST", "/v1/payments", body)
    second = await running.api.call("POST", "/v1/payments", dict(reversed(body.items())))
    assert (first.status, second.status) == (201, 200)
    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.json == first.json
    assert len(await running.place.charges()) == 1


async def test_how_long_a_caller_waits_is_not_the_payment(running: Running) -> None:
    """``wait_s`` belongs to the request: another one is still a replay."""
    await running.api.pay(APPROVED, "patient", wait_s=30)
    assert (await running.api.pay(APPROVED, "patient", wait_s=0)).status == 200


async def test_fifty_at_once_are_one_payment(running: Running) -> None:
    """One 201, forty-nine replays, one charge."""
    body = scanned(APPROVED, "crowd", wait_s=30)
    replies = await asyncio.gather(
        *(running.api.call("POST", "/v1/payments", body) for _ in range(50))
    )
    assert sorted(reply.status for reply in replies) == [200] * 49 + [201]
    assert {reply.json["id"] for reply in replies} == {replies[0].json["id"]}
    assert {reply.json["status"] for reply in replies} == {"succeeded"}
    (charge,) = await running.place.charges()
    assert charge["charged_fen"] == 1990


async def test_fifty_at_once_with_other_amounts_charge_one_amount(running: Running) -> None:
    """Whoever wins, the losers are told; no second charge."""
    replies = await asyncio.gather(
        *(running.api.pay(APPROVED, "race", amount=100 + n) for n in range(50))
    )
    assert sorted(reply.status for reply in replies) == [201] + [409] * 49
    (charge,) = await running.place.charges()
    (winner,) = [reply.json for reply in replies if reply.status == 201]
    assert charge["charged_fen"] == winner["amount"]


async def test_different_payments_at_once_are_all_taken(running: Running) -> None:
    """A hundred customers do not stand in each other's way."""
    replies = await asyncio.gather(*(running.api.pay(APPROVED, wait_s=30) for _ in range(100)))
    assert {(reply.status, reply.json["status"]) for reply in replies} == {(201, "succeeded")}
    assert len(await running.place.charges()) == 100


async def test_found_by_id_and_by_number(running: Running) -> None:
    """Both ways show the payment as it was answered."""
    payment = (await running.api.pay(APPROVED, "look_me-up")).json
    assert (await running.api.get(payment["id"])).json == payment
    assert (await running.api.find("look_me-up")).json == payment


async def test_what_does_not_exist_is_not_found(running: Running) -> None:
    """404 with a stable code, by id, by number and for an undo."""
    for reply in (
        await running.api.get("pay_nothing"),
        await running.api.find("nothing"),
        await running.api.cancel("pay_nothing"),
    ):
        assert (reply.status, reply.code) == (404, "payment_not_found")


async def test_another_merchant_sees_nothing(running: Running) -> None:
    """I13: neither read nor undone nor blocked by its numbers."""
    payment = (await running.api.pay(APPROVED, "mine")).json
    for reply in (
        await running.other.get(payment["id"]),
        await running.other.find("mine"),
        await running.other.cancel(payment["id"]),
    ):
        assert (reply.status, reply.code) == (404, "payment_not_found")
    assert (await running.api.get(payment["id"])).json["status"] == "succeeded"
    theirs = await running.other.pay(APPROVED, "mine", amount=5)
    assert theirs.status == 201
    assert theirs.json["id"] != payment["id"]
    assert (await running.api.find("mine")).json == payment


async def test_a_terminals_payment_is_found_by_its_number(running: Running) -> None:
    """Terminal, batch and trace are the number of a payment that came by POS."""
    client = TerminalClient(running.terminal())
    try:
        assert (await client.exchange(client.terminal.sign_in())).approved
        card = CARDS[Scenario.APPROVED]
        request = client.terminal.sale(magnetic_card(card.pan, "3012"), 300, card.pin)
        assert (await client.exchange(request)).approved
        terminal = client.terminal
        number = f"{terminal.identity.terminal_id}-{terminal.batch}-{request.trace}"
    finally:
        await client.close()
    payment = (await running.api.find(number)).json
    assert (payment["status"], payment["amount"]) == ("succeeded", 300)
    assert payment["channel"] == "unionpay_card"
    assert card.pan.encode() not in (await running.api.find(number)).raw
    assert (await running.other.find(number)).status == 404
    assert await running.place.charge(payment) == (300, 0)


async def test_undoing_a_paid_one_returns_the_money(running: Running) -> None:
    """Reversed, returned at the channel, posted back; a second undo changes nothing."""
    payment = (await running.api.pay(APPROVED)).json
    undone = await running.api.cancel(payment["id"])
    assert (undone.status, undone.json["status"]) == (200, "reversed")
    assert undone.json["refunded_amount"] == 1990
    assert undone.json["error"]["code"] == "cancelled"
    assert await running.place.charge(payment) == (1990, 1990)
    again = await running.api.cancel(payment["id"])
    assert (again.status, again.json) == (200, undone.json)
    postings = await running.gateway.store.postings(payment["id"])
    assert sorted(posting.amount_fen for posting in postings) == [-1990, -1990, 1990, 1990]


async def test_ten_undos_at_once_return_the_money_once(running: Running) -> None:
    """The books and the channel see one reversal."""
    payment = (await running.api.pay(APPROVED)).json
    replies = await asyncio.gather(*(running.api.cancel(payment["id"]) for _ in range(10)))
    assert {(reply.status, reply.json["status"]) for reply in replies} == {(200, "reversed")}
    assert await running.place.charge(payment) == (1990, 1990)
    assert len(await running.gateway.store.postings(payment["id"])) == 4


async def test_undoing_an_unpaid_one_closes_it(running: Running) -> None:
    """Cancelled while the payer types: closed, nothing charged, the creator is told too."""
    code = ALIPAY_CODES[Scenario.NEVER_PAYS]
    payment = (await running.api.pay(code, wait_s=0)).json
    waiting = asyncio.create_task(running.api.pay(code, payment["merchant_order_no"], wait_s=20))
    undone = (await running.api.cancel(payment["id"])).json
    assert undone["status"] == "closed"
    assert undone["error"]["code"] == "cancelled"
    assert (await waiting).json["status"] == "closed"
    assert await running.place.charge(payment) == (0, 0)


async def test_undoing_a_declined_one_leaves_it_failed(running: Running) -> None:
    """There is nothing to undo."""
    payment = (await running.api.pay(ALIPAY_CODES[Scenario.DECLINED])).json
    undone = await running.api.cancel(payment["id"])
    assert (undone.status, undone.json["status"]) == (200, "failed")
    assert undone.json == payment


async def test_an_undo_races_its_payment(running: Running) -> None:
    """Undone the moment it was sent: whatever the order, the books and the channel agree."""
    for number in range(10):
        code = ALIPAY_CODES[Scenario.APPROVED]
        first = asyncio.create_task(running.api.pay(code, f"race-{number}"))
        payment_id = ""
        while not payment_id:
            found = await running.api.find(f"race-{number}")
            payment_id = found.json.get("id", "")
        await running.api.cancel(payment_id)
        await first
        payment = await running.api.final(payment_id)
        charged, returned = await running.place.charge(payment)
        assert payment["status"] in ("closed", "reversed")
        assert charged - returned == 0


async def test_a_decline_is_an_answer(running: Running) -> None:
    """201, failed, with our reason, two languages and the channel's own code."""
    reply = await running.api.pay(ALIPAY_CODES[Scenario.DECLINED])
    payment = reply.json
    assert (reply.status, payment["status"], payment["paid_at"]) == (201, "failed", None)
    assert payment["error"]["code"] == "insufficient_funds"
    assert payment["error"]["channel_code"] == "ACQ.BUYER_BALANCE_NOT_ENOUGH"
    assert payment["error"]["message"]
    assert payment["error"]["message_zh"]
    assert await running.place.charges() == []


async def test_wait_zero_answers_at_once(running: Running) -> None:
    """The state of the moment, and the end later by query."""
    reply = await running.api.pay(APPROVED, wait_s=0)
    assert reply.status == 201
    assert reply.json["status"] in ("submitted", "succeeded")
    assert (await running.api.final(reply.json["id"]))["status"] == "succeeded"


@pytest.mark.parametrize(
    ("scenario", "status", "charged"),
    [
        (Scenario.USER_PAYING, "succeeded", (1990, 0)),
        (Scenario.NEVER_PAYS, "closed", (0, 0)),
        (Scenario.LOST_RESPONSE_CHARGED, "succeeded", (1990, 0)),
        (Scenario.LOST_RESPONSE_NOT_CHARGED, "closed", (0, 0)),
    ],
    ids=lambda value: getattr(value, "value", None),
)
async def test_a_scenario_ends_as_the_channel_does(
    running: Running, scenario: Scenario, status: str, charged: tuple[int, int]
) -> None:
    """Pending and unknown are asked about, never guessed, and end in the channel's state."""
    reply = await running.api.pay(ALIPAY_CODES[scenario], wait_s=0)
    assert reply.status == 201
    payment = await running.api.final(reply.json["id"])
    assert payment["status"] == status
    assert await running.place.charge(payment) == charged
    assert (await running.api.get(payment["id"])).json == payment
    if status == "closed":
        assert payment["error"]["code"] == "not_paid_in_time"


async def test_an_expiry_of_the_merchants_own_ends_it_early(running: Running) -> None:
    """``expires_in_s`` is shorter than the till's patience: undone then, and closed."""
    reply = await running.api.pay(ALIPAY_CODES[Scenario.NEVER_PAYS], expires_in_s=1, wait_s=10)
    assert reply.json["status"] == "closed"
    assert reply.json["error"]["code"] == "not_paid_in_time"


async def test_corrupt_answers_are_unknown_until_a_good_one(running: Running) -> None:
    """A broken signature on pay is asked about; the first good answer decides."""
    rule = {"kind": "corrupt", "match": "alipay.trade.pay", "limit": 1}
    await running.place.faults("alipay", rule)
    payment = (await running.api.pay(APPROVED)).json
    assert payment["status"] == "succeeded"
    assert await running.place.charge(payment) == (1990, 0)
    events = await running.gateway.store.events(payment["id"])
    assert [event.status.value for event in events] == ["submitted", "unknown", "succeeded"]


async def test_a_channel_that_cannot_be_reached_fails_clearly(place: Place) -> None:
    """No byte left: failed at once, with a reason, and the number stays that payment's."""

    async def nobody(_request: HttpRequest) -> HttpResponse:
        raise NotSent("connection refused")

    async with with_seams(place, wrap_send=lambda _send: nobody).gateway() as running:
        payment = (await running.api.pay(APPROVED, "down")).json
        assert (payment["status"], payment["error"]["code"]) == ("failed", "channel_unavailable")
        assert (await running.api.find("down")).json == payment
    assert await place.charges() == []


async def test_a_disabled_account_takes_no_new_payment(place: Place) -> None:
    """422, and no order is left behind."""
    async with place.session() as it:
        await it.store.disable_account("alipay-1")
    async with place.gateway() as running:
        reply = await running.api.pay(APPROVED, "shut")
        assert (reply.status, reply.code) == (422, "channel_not_open")
        assert (await running.api.find("shut")).status == 404


async def test_the_same_flows_on_postgresql(
    installation_template: Path, tmp_path: Path, postgres_url: str
) -> None:
    """Pay, replay, conflict, crowd, decline, undo, isolation: the other engine."""
    tuning = replace(FAST, store_url=postgres_url)
    async with (
        opened(installation_template, tmp_path / "place", tuning) as place,
        place.gateway() as running,
    ):
        await test_the_same_body_again_is_the_same_payment(running)
        paid = (await running.api.pay(APPROVED, "pg", metadata={"名": "奶茶 ok"})).json
        assert (await running.api.pay(APPROVED, "pg", amount=1)).code == "order_conflict"
        assert (await running.api.find("pg")).json == paid
        assert (await running.other.get(paid["id"])).status == 404
        assert (await running.api.get("pay_%00")).status == 404
        assert (await running.api.cancel(paid["id"])).json["status"] == "reversed"
        declined = (await running.api.pay(ALIPAY_CODES[Scenario.DECLINED])).json
        assert declined["status"] == "failed"
        body = scanned(APPROVED, "pg-crowd", wait_s=30)
        replies = await asyncio.gather(
            *(running.api.call("POST", "/v1/payments", body) for _ in range(50))
        )
        assert sorted(reply.status for reply in replies) == [200] * 49 + [201]
        lost = (await running.api.pay(ALIPAY_CODES[Scenario.LOST_RESPONSE_CHARGED])).json
        assert (await running.api.final(lost["id"]))["status"] == "succeeded"
        charges = await place.charges()
        assert sorted(charge["charged_fen"] - charge["returned_fen"] for charge in charges) == [
            0, 1990, 1990, 1990,
        ]  # fmt: skip
