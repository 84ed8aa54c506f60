"""Refunds over HTTPS against the real sandbox: returned once, bounded, told in every state."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from channels.port import HttpRequest, HttpResponse, NotSent, Send
from domain.payment import Event, Standing, Status
from gateway.cli.terminal_client import TerminalClient
from gateway.store.port import Claim
from pos_protocol.card import magnetic_card
from sandbox.scenarios import ALIPAY_CODES, CARDS, Scenario
from tests.support.gateway import FAST, Place, Running, opened, with_seams
from tests.support.payments import sample_order
from tests.support.waiting import eventually

APPROVED = ALIPAY_CODES[Scenario.APPROVED]
CONTRACT_FIELDS = {
    "id", "payment_id", "merchant_refund_no", "amount", "status", "created_at", "done_at", "error",
}  # fmt: skip


async def _paid(running: Running, number: str = "", amount: int = 1990) -> dict[str, Any]:
    """A succeeded payment."""
    payment: dict[str, Any] = (await running.api.pay(APPROVED, number, amount=amount)).json
    assert payment["status"] == "succeeded"
    return payment


async def _books_agree(running: Running, payment_id: str) -> tuple[int, int]:
    """What the ledger, the payment and the channel say was captured and returned: the same."""
    payment = (await running.api.get(payment_id)).json
    charged, returned = await running.place.charge(payment)
    postings = await running.gateway.store.postings(payment_id)
    assert sum(posting.amount_fen for posting in postings) == 0
    receivable = [p.amount_fen for p in postings if p.account.startswith("channel:")]
    assert abs(sum(receivable)) == charged - returned
    assert payment["refunded_amount"] == returned
    return charged, returned


async def test_a_part_is_returned(running: Running) -> None:
    """201, succeeded, everything the contract lists; payment, books and channel agree."""
    payment = await _paid(running)
    reply = await running.api.refund(payment["id"], 500, "refund-1", reason="坏了")
    refund = reply.json
    assert reply.status == 201, reply.raw
    assert "Idempotent-Replayed" not in reply.headers
    assert refund.keys() >= CONTRACT_FIELDS
    assert (refund["status"], refund["amount"], refund["currency"]) == ("succeeded", 500, "CNY")
    assert (refund["payment_id"], refund["merchant_refund_no"]) == (payment["id"], "refund-1")
    assert (refund["error"], refund["case_id"], refund["reason"]) == (None, None, "坏了")
    assert refund["done_at"].endswith("Z")
    assert refund["created_at"] <= refund["done_at"]
    assert await _books_agree(running, payment["id"]) == (1990, 500)
    assert (await running.api.get(payment["id"])).json["status"] == "succeeded"


async def test_several_parts_up_to_the_whole(running: Running) -> None:
    """The last fen can be returned, and not one more; the list shows the newest first."""
    payment = await _paid(running)
    amounts = [500, 1, 1000, 489]
    made = [(await running.api.refund(payment["id"], amount)).json for amount in amounts]
    assert [refund["status"] for refund in made] == ["succeeded"] * 4
    more = await running.api.refund(payment["id"], 1)
    assert (more.status, more.code, more.field) == (422, "refund_exceeds_capture", "amount")
    assert "0 fen" in more.json["error"]["message"]
    assert await _books_agree(running, payment["id"]) == (1990, 1990)
    listed = await running.api.refunds(payment["id"])
    assert (listed.status, listed.json) == (200, {"refunds": made[::-1]})


async def test_a_refund_is_found_by_its_id(running: Running) -> None:
    """As it was answered; a payment without refunds has an empty list."""
    payment = await _paid(running)
    assert (await running.api.refunds(payment["id"])).json == {"refunds": []}
    refund = (await running.api.refund(payment["id"], 7)).json
    found = await running.api.get_refund(refund["id"])
    assert (found.status, found.json) == (200, refund)


async def test_the_same_body_again_is_the_same_refund(running: Running) -> None:
    """200, marked as replayed, returned once, also once nothing is left to return."""
    payment = await _paid(running)
    first = await running.api.refund(payment["id"], 1990, "again", reason="r")
    second = await running.api.refund(payment["id"], 1990, "again", reason="r")
    assert (first.status, second.status) == (201, 200)
    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.json == first.json
    assert await _books_agree(running, payment["id"]) == (1990, 1990)


async def test_the_same_number_with_other_content_is_a_conflict(running: Running) -> None:
    """Another amount, reason or payment under a number: 409, and nothing is returned."""
    payment, other = await _paid(running), await _paid(running)
    await running.api.refund(payment["id"], 5, "taken", reason="one")
    for reply in (
        await running.api.refund(payment["id"], 6, "taken", reason="one"),
        await running.api.refund(payment["id"], 5, "taken", reason="two"),
        await running.api.refund(payment["id"], 5, "taken"),
        await running.api.refund(other["id"], 5, "taken", reason="one"),
    ):
        assert (reply.status, reply.code) == (409, "refund_conflict")
    assert await _books_agree(running, payment["id"]) == (1990, 5)
    assert await _books_agree(running, other["id"]) == (1990, 0)


async def test_fifty_at_once_never_exceed_the_capture(running: Running) -> None:
    """Two of 990 fit into 1990, 48 are told how little is left; not a fen too much goes back."""
    payment = await _paid(running)
    replies = await asyncio.gather(*(running.api.refund(payment["id"], 990) for _ in range(50)))
    assert sorted(reply.status for reply in replies) == [201] * 2 + [422] * 48
    assert {reply.code for reply in replies if reply.status == 422} == {"refund_exceeds_capture"}
    assert await _books_agree(running, payment["id"]) == (1990, 1980)


async def test_fifty_that_fit_are_all_returned(running: Running) -> None:
    """They move one payment one after the other; none is turned away for the crowd."""
    payment = await _paid(running)
    replies = await asyncio.gather(*(running.api.refund(payment["id"], 39) for _ in range(50)))
    assert {reply.status for reply in replies} == {201}
    for reply in replies:
        assert (await running.api.final_refund(reply.json["id"]))["status"] == "succeeded"
    assert await _books_agree(running, payment["id"]) == (1990, 1950)


async def test_fifty_of_one_number_are_one_refund(running: Running) -> None:
    """One 201, forty-nine replays, returned once."""
    payment = await _paid(running)
    replies = await asyncio.gather(
        *(running.api.refund(payment["id"], 30, "crowd") for _ in range(50))
    )
    assert sorted(reply.status for reply in replies) == [200] * 49 + [201]
    assert {reply.json["id"] for reply in replies} == {replies[0].json["id"]}
    assert await _books_agree(running, payment["id"]) == (1990, 30)


async def test_two_processes_never_exceed_the_capture(place: Place) -> None:
    """The reservation is the store's: two gateways on one database return no more than one."""
    async with place.gateway() as one, place.gateway() as two:
        payment = await _paid(one)
        replies = await asyncio.gather(
            *(running.api.refund(payment["id"], 900) for running in (one, two) * 10)
        )
        assert sorted(reply.status for reply in replies) == [201] * 2 + [422] * 18
        assert await _books_agree(two, payment["id"]) == (1990, 1800)


async def test_an_undo_races_a_refund(running: Running) -> None:
    """Either the whole goes back or the part does; whoever is late is told, never both."""
    for number in range(8):
        payment = await _paid(running)
        undoing = asyncio.create_task(running.api.cancel(payment["id"]))
        if number % 2:
            await asyncio.sleep(0.002 * number)
        refund, undo = await running.api.refund(payment["id"], 700), await undoing
        if refund.status == 201:
            assert (undo.status, undo.code) == (409, "payment_has_refunds")
            end, returned_fen = "succeeded", 700
        else:
            assert (refund.status, refund.code) == (409, "payment_not_refundable")
            assert (undo.status, undo.json["status"]) == (200, "reversed")
            end, returned_fen = "reversed", 1990
        assert (await running.api.get(payment["id"])).json["status"] == end
        assert await _books_agree(running, payment["id"]) == (1990, returned_fen)


async def test_a_refunded_payment_is_not_undone(running: Running) -> None:
    """409 payment_has_refunds; what is left can still be refunded."""
    payment = await _paid(running)
    await running.api.refund(payment["id"], 10)
    undo = await running.api.cancel(payment["id"])
    assert (undo.status, undo.code) == (409, "payment_has_refunds")
    assert (await running.api.refund(payment["id"], 1980)).status == 201
    assert await _books_agree(running, payment["id"]) == (1990, 1990)
    assert (await running.api.get(payment["id"])).json["status"] == "succeeded"


async def test_another_merchant_sees_no_refund(running: Running) -> None:
    """I13: neither made, read, listed nor blocked by its numbers."""
    payment = await _paid(running)
    refund = (await running.api.refund(payment["id"], 10, "mine")).json
    for reply in (
        await running.other.refund(payment["id"], 10),
        await running.other.refund(payment["id"], 10, "mine-too"),
        await running.other.refunds(payment["id"]),
    ):
        assert (reply.status, reply.code) == (404, "payment_not_found")
    reply = await running.other.get_refund(refund["id"])
    assert (reply.status, reply.code) == (404, "refund_not_found")
    theirs = (await running.other.pay(APPROVED)).json
    assert (await running.other.refund(theirs["id"], 3, "mine")).status == 201
    assert (await running.api.get_refund(refund["id"])).json == refund
    assert await _books_agree(running, payment["id"]) == (1990, 10)


async def test_what_does_not_exist_is_not_found(running: Running) -> None:
    """404 with a stable code; a payment's id is no refund's."""
    payment = await _paid(running)
    for identity in ("pay_nothing", "%00", "..%2f..", "a" * 200):
        for reply in (
            await running.api.refund(identity, 1),
            await running.api.refunds(identity),
        ):
            assert (reply.status, reply.code) == (404, "payment_not_found"), identity
    for identity in ("ref_nothing", "%00", payment["id"], "a" * 200):
        reply = await running.api.get_refund(identity)
        assert (reply.status, reply.code) == (404, "refund_not_found"), identity


def _in_state(number: int, status: Status) -> Claim:
    """A payment that stands at ``status``, with nobody at work on it."""
    order = sample_order(
        number,
        merchant_no="M0001",
        door="api",
        order_key=f"state-{status.value}",
        channel="alipay",
        account_id="alipay-1",
    )
    captured_fen = order.amount_fen if status in (Status.SUCCEEDED, Status.REVERSED) else 0
    returned_fen = order.amount_fen if status is Status.REVERSED else 0
    standing = Standing(
        status=status, version=1, captured_fen=captured_fen, returned_fen=returned_fen
    )
    return Claim(order=order, standing=standing, event=Event.SUBMIT, due_at_ms=None)


async def test_every_state_of_a_payment_answers_a_refund(running: Running) -> None:
    """Only a succeeded one can be refunded; every other says what it is, and is not touched."""
    for number, status in enumerate(Status):
        claim = _in_state(number, status)
        await running.gateway.store.claim(claim)
        before = await running.gateway.store.payment(claim.order.id)
        reply = await running.api.refund(claim.order.id, 1)
        if status is Status.SUCCEEDED:
            assert reply.status == 201, reply.raw
            continue
        assert (reply.status, reply.code) == (409, "payment_not_refundable"), status
        assert status.value in reply.json["error"]["message"].split(), status
        assert await running.gateway.store.payment(claim.order.id) == before
        assert (await running.api.refunds(claim.order.id)).json == {"refunds": []}


UNDONE = {
    Status.CREATED: "closed",
    Status.SUBMITTED: "reversing",  # its sender may still be at it: undone once that is over
    Status.PENDING: "closed",
    Status.UNKNOWN: "closed",
    Status.AUTHORIZED: "closed",
    Status.FAILED: "failed",
    Status.REVERSING: "reversing",
    Status.REVERSED: "reversed",
    Status.CLOSED: "closed",
}
"""What an undo of a payment that the channel never saw answers; paid ones have their own tests."""


async def test_every_state_of_a_payment_answers_an_undo(running: Running) -> None:
    """200 with the state that it has come to."""
    assert UNDONE.keys() == set(Status) - {Status.SUCCEEDED}

    async def undone(number: int, status: Status) -> tuple[Status, tuple[int, str]]:
        claim = _in_state(number, status)
        await running.gateway.store.claim(claim)
        reply = await running.api.cancel(claim.order.id)
        return status, (reply.status, reply.json.get("status"))

    told = await asyncio.gather(*(undone(n, status) for n, status in enumerate(UNDONE)))
    assert dict(told) == {status: (200, end) for status, end in UNDONE.items()}


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (ALIPAY_CODES[Scenario.DECLINED], "failed"),
        (ALIPAY_CODES[Scenario.NEVER_PAYS], "closed"),
        (ALIPAY_CODES[Scenario.USER_PAYING], "pending"),
    ],
    ids=["failed", "closed", "pending"],
)
async def test_an_unpaid_payment_has_nothing_to_return(
    running: Running, code: str, status: str
) -> None:
    """As it comes from the channel: 409 with its state, and the channel returns nothing."""
    wait_s = 0 if status == "pending" else 10
    payment = (await running.api.pay(code, wait_s=wait_s, expires_in_s=2)).json

    async def is_there() -> bool:
        return bool((await running.api.get(payment["id"])).json["status"] == status)

    await eventually(is_there)
    reply = await running.api.refund(payment["id"], 1)
    assert (reply.status, reply.code) == (409, "payment_not_refundable")
    assert status in reply.json["error"]["message"]
    assert (await running.place.charge(payment))[1] == 0


async def test_an_undone_payment_has_nothing_left(running: Running) -> None:
    """Reversed, whole: 409."""
    payment = await _paid(running)
    await running.api.cancel(payment["id"])
    reply = await running.api.refund(payment["id"], 1)
    assert (reply.status, reply.code) == (409, "payment_not_refundable")
    assert "reversed" in reply.json["error"]["message"]
    assert await running.place.charge(payment) == (1990, 1990)


async def test_a_terminals_card_sale_is_refunded_over_https(running: Running) -> None:
    """A part, then the rest: the card host has returned both."""
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
    for number, amount_fen in (("r-1", 100), ("r-2", 200)):
        reply = await running.api.refund(payment["id"], amount_fen, number)
        assert (reply.status, reply.json["status"]) == (201, "succeeded")
    assert await running.place.charge(payment) == (300, 300)


@pytest.mark.parametrize(
    ("kind", "stage"), [("close", "before"), ("close", "after"), ("corrupt", "after")]
)
async def test_a_lost_answer_is_asked_about(running: Running, kind: str, stage: str) -> None:
    """Returned once, whether the channel had done it or not, under one number of ours."""
    payment = await _paid(running)
    rule = {"kind": kind, "match": "alipay.trade.refund", "stage": stage, "limit": 1}
    await running.place.faults("alipay", rule)
    refund = (await running.api.refund(payment["id"], 600)).json
    assert (await running.api.final_refund(refund["id"]))["status"] == "succeeded"
    assert await _books_agree(running, payment["id"]) == (1990, 600)


class Unreachable:
    """A network that cannot reach the channel for one kind of call, until it is mended."""

    def __init__(self, method: str) -> None:
        self._method = method.encode()
        self.mended = asyncio.Event()

    def __call__(self, send: Send) -> Send:
        async def refused(request: HttpRequest) -> HttpResponse:
            if self._method in request.body and not self.mended.is_set():
                raise NotSent("connection refused")
            return await send(request)

        return refused


async def test_a_channel_that_cannot_be_reached_fails_no_refund(place: Place) -> None:
    """Answered open within 5 s, its amount reserved; it goes through once the channel is back."""
    network = Unreachable("alipay.trade.refund")
    async with with_seams(place, wrap_send=network).gateway() as running:
        payment = await _paid(running)
        reply = await running.api.refund(payment["id"], 1500, "later")
        assert (reply.status, reply.json["status"]) == (201, "submitted")
        assert (reply.json["done_at"], reply.json["error"]) == (None, None)
        assert (await running.api.get(payment["id"])).json["refunded_amount"] == 0
        more = await running.api.refund(payment["id"], 491)
        assert (more.status, more.code) == (422, "refund_exceeds_capture")
        assert "490 fen" in more.json["error"]["message"]
        undo = await running.api.cancel(payment["id"])
        assert (undo.status, undo.code) == (409, "payment_has_refunds")
        network.mended.set()
        refund = await running.api.final_refund(reply.json["id"])
        assert refund["status"] == "succeeded"
        again = await running.api.refund(payment["id"], 1500, "later")
        assert (again.status, again.json) == (200, refund)
        assert await _books_agree(running, payment["id"]) == (1990, 1500)


async def test_an_open_refund_survives_a_restart(place: Place) -> None:
    """Left open by one process, finished by the next under the same number."""
    network = Unreachable("alipay.trade.refund")
    async with with_seams(place, wrap_send=network).gateway(drain_s=0) as running:
        payment = await _paid(running)
        refund = (await running.api.refund(payment["id"], 1990)).json
        assert refund["status"] == "submitted"
    async with place.gateway() as running:
        done = await running.api.final_refund(refund["id"])
        assert (done["status"], done["channel_refund_no"]) == (
            "succeeded", refund["channel_refund_no"],
        )  # fmt: skip
        assert await _books_agree(running, payment["id"]) == (1990, 1990)


async def test_refunds_on_postgresql(
    installation_template: Path, tmp_path: Path, postgres_url: str
) -> None:
    """Part, replay, conflict, crowd, isolation: the other engine."""
    tuning = replace(FAST, store_url=postgres_url)
    async with (
        opened(installation_template, tmp_path / "place", tuning) as place,
        place.gateway() as running,
    ):
        await test_a_part_is_returned(running)
        await test_the_same_number_with_other_content_is_a_conflict(running)
        await test_fifty_at_once_never_exceed_the_capture(running)
        await test_fifty_of_one_number_are_one_refund(running)
        await test_an_undo_races_a_refund(running)
        await test_another_merchant_sees_no_refund(running)
