"""Our Alipay adapter against the simulated Alipay: refunds, and undoing what is too old."""

from typing import Any

import pytest

from channels.alipay.plugin import PLUGIN
from channels.port import (
    AnswerLost,
    Channel,
    ChannelAccount,
    ChannelServices,
    HttpRequest,
    HttpResponse,
    PaymentRef,
    PayRequest,
    RefundRequest,
    Refunds,
    Verdict,
    refunds_of,
)
from sandbox.faults import FaultKind, FaultRule, Stage
from sandbox.scenarios import ALIPAY_CODES, Scenario
from sandbox.world import ALIPAY, World

DAY_MS = 24 * 3_600_000
NUMBER = "ORDER00000000000000000000000001"


class Clock:
    """Noon in Beijing, until a test says otherwise."""

    ms = 1_795_320_000_000

    def now_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return self.ms / 1000


class CountedIds:
    """Numbers that can be told apart."""

    count = 0

    def new(self, prefix: str = "") -> str:
        self.count += 1
        return f"{prefix}NUMBER{self.count:026}"


class House:
    """One adapter before one world, and the methods that it called."""

    def __init__(self, world: World, channel: Channel, clock: Clock, methods: list[str]) -> None:
        self.world = world
        self.channel = channel
        self.clock = clock
        self.methods = methods
        ability = refunds_of(channel)
        assert ability is not None
        self.refunds: Refunds = ability
        self.ref = PaymentRef(
            order_no=NUMBER, amount_fen=1990, currency="CNY", created_at_ms=clock.ms
        )

    async def pay(self, scenario: Scenario) -> Verdict:
        request = PayRequest(
            order_no=NUMBER,
            amount_fen=1990,
            currency="CNY",
            subject="Tea",
            created_at_ms=self.clock.ms,
            auth_code=ALIPAY_CODES[scenario],
        )
        answer = await self.channel.pay(request)
        self.methods.clear()
        return answer.verdict

    def refund(self, amount_fen: int, number: str) -> RefundRequest:
        return RefundRequest(
            refund_no=number,
            payment=self.ref,
            amount_fen=amount_fen,
            currency="CNY",
            reason="破损/broken",
            created_at_ms=self.clock.ms,
        )

    def faults(self, *rules: FaultRule) -> None:
        self.world.faults[ALIPAY].replace(rules)

    def returned_fen(self) -> Any:
        return sum(charge["returned_fen"] for charge in self.world.charges(self.clock.ms))


@pytest.fixture
def house(world: World, app_keys: Any, alipay_keys: Any) -> House:
    clock, methods = Clock(), []

    async def send(request: HttpRequest) -> HttpResponse:
        methods.append(request.body.split(b"method=")[1].split(b"&")[0].decode())
        effect = world.alipay(b"", request.body, clock.ms)
        if not effect.answer:
            raise AnswerLost("timed out")
        return HttpResponse(200, {}, effect.answer)

    account = ChannelAccount(
        account_id="ali1",
        channel="alipay",
        settings={"gateway_url": "http://127.0.0.1:1/", "app_id": "2021000000000001"},
        secrets={
            "app_private_key": app_keys.pkcs1.encode(),
            "alipay_public_key": alipay_keys.public.encode(),
        },
    )
    services: Any = ChannelServices(
        clock=clock,
        ids=CountedIds(),
        send=send,
        connect=None,  # type: ignore[arg-type]  # Alipay opens no link
        take_sequence=None,  # type: ignore[arg-type]  # its numbers are random
    )
    return House(world, PLUGIN.build(account, services), clock, methods)


def lost(method: str, stage: Stage = Stage.AFTER, limit: int = 1) -> FaultRule:
    return FaultRule(kind=FaultKind.DROP, match=method, stage=stage, limit=limit)


async def test_parts_are_returned_until_nothing_is_left(house: House) -> None:
    await house.pay(Scenario.APPROVED)
    for number, amount_fen in (("R1", 1), ("R2", 989), ("R3", 1000)):
        assert (await house.refunds.refund(house.refund(amount_fen, number))).verdict is (
            Verdict.SUCCEEDED
        )
    over = await house.refunds.refund(house.refund(1, "R4"))
    assert (over.verdict, over.channel_code) == (
        Verdict.DECLINED,
        "ACQ.REASON_TRADE_REFUND_FEE_ERR",
    )
    assert house.returned_fen() == 1990


@pytest.mark.parametrize("stage", Stage)
async def test_a_refund_whose_answer_is_lost_is_returned_once(house: House, stage: Stage) -> None:
    """Struck before or after the money moved: the query, then the repeat, tell which."""
    await house.pay(Scenario.APPROVED)
    house.faults(lost("alipay.trade.refund", stage))
    request = house.refund(500, "R1")
    assert (await house.refunds.refund(request)).verdict is Verdict.UNKNOWN
    asked = await house.refunds.query_refund(request)
    assert asked.not_found is (stage is Stage.BEFORE)
    assert (await house.refunds.refund(request)).verdict is Verdict.SUCCEEDED
    assert house.returned_fen() == 500


async def test_a_repeat_without_a_change_of_funds_is_asked_about(house: House) -> None:
    await house.pay(Scenario.APPROVED)
    request = house.refund(500, "R1")
    await house.refunds.refund(request)
    house.methods.clear()
    again = await house.refunds.refund(request)
    assert (again.verdict, again.amount_fen) == (Verdict.SUCCEEDED, 500)
    assert house.methods == ["alipay.trade.refund", "alipay.trade.fastpay.refund.query"]


async def test_one_number_with_two_amounts_is_never_a_yes(house: House) -> None:
    await house.pay(Scenario.APPROVED)
    await house.refunds.refund(house.refund(500, "R1"))
    other = house.refund(501, "R1")
    assert (await house.refunds.refund(other)).verdict is Verdict.UNKNOWN
    asked = await house.refunds.query_refund(other)
    assert asked.amount_fen == 500  # the channel's words: the gateway sees the contradiction
    assert house.returned_fen() == 500


async def test_an_unpaid_trade_is_not_refunded_and_that_is_no_decline(house: House) -> None:
    await house.pay(Scenario.NEVER_PAYS)
    answer = await house.refunds.refund(house.refund(500, "R1"))
    assert (answer.verdict, answer.channel_code) == (Verdict.UNKNOWN, "ACQ.TRADE_STATUS_ERROR")


async def test_a_paid_trade_that_is_too_old_to_cancel_is_refunded_whole(house: House) -> None:
    await house.pay(Scenario.APPROVED)
    house.clock.ms += DAY_MS + 1
    undone = await house.channel.cancel(house.ref)
    assert (undone.verdict, undone.was_paid) == (Verdict.SUCCEEDED, True)
    assert house.returned_fen() == 1990
    again = await house.channel.cancel(house.ref)
    assert (again.verdict, again.was_paid) == (Verdict.SUCCEEDED, True)
    assert house.returned_fen() == 1990


STEPS = ["alipay.trade.cancel", "alipay.trade.query", "alipay.trade.refund"]


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("step", STEPS)
async def test_an_undo_that_lost_its_way_goes_on_where_it_was(
    house: House, step: str, stage: Stage
) -> None:
    """Any answer on the way lost: unknown, and the next undo ends it with one return."""
    await house.pay(Scenario.APPROVED)
    house.clock.ms += DAY_MS + 1
    house.faults(lost(step, stage))
    assert (await house.channel.cancel(house.ref)).verdict is Verdict.UNKNOWN
    undone = await house.channel.cancel(house.ref)
    assert (undone.verdict, undone.was_paid) == (Verdict.SUCCEEDED, True)
    assert house.returned_fen() == 1990


@pytest.mark.parametrize(("partly", "verdict"), [(0, Verdict.SUCCEEDED), (1, Verdict.DECLINED)])
async def test_a_part_that_somebody_else_returned_calls_a_person(
    house: House, partly: int, verdict: Verdict
) -> None:
    """The rest would need an amount that nobody told us: never guessed."""
    await house.pay(Scenario.APPROVED)
    if partly:
        await house.refunds.refund(house.refund(partly, "ELSEWHERE"))
    house.clock.ms += DAY_MS + 1
    undone = await house.channel.cancel(house.ref)
    assert undone.verdict is verdict
    assert house.returned_fen() == (partly or 1990)


async def test_an_unpaid_trade_that_is_too_old_to_cancel_is_closed(house: House) -> None:
    """And stays so: the payer can pay it no more."""
    await house.pay(Scenario.NEVER_PAYS)
    house.clock.ms += DAY_MS + 1
    undone = await house.channel.cancel(house.ref)
    assert (undone.verdict, undone.was_paid) == (Verdict.SUCCEEDED, False)
    assert house.methods == ["alipay.trade.cancel", "alipay.trade.query", "alipay.trade.close"]
    again = await house.channel.cancel(house.ref)
    assert (again.verdict, again.was_paid) == (Verdict.SUCCEEDED, None)
    assert house.world.charges(house.clock.ms) == []


async def test_a_payer_who_pays_while_it_is_being_closed_gets_the_money_back(
    house: House,
) -> None:
    """Late success after the cancel window: the next undo finds it paid and refunds it."""
    await house.pay(Scenario.USER_PAYING)
    house.clock.ms += DAY_MS + 1
    house.faults(lost("alipay.trade.query"))
    assert (await house.channel.cancel(house.ref)).verdict is Verdict.UNKNOWN
    undone = await house.channel.cancel(house.ref)
    assert (undone.verdict, undone.was_paid) == (Verdict.SUCCEEDED, True)
    assert house.returned_fen() == 1990


@pytest.mark.parametrize("method", ["alipay.trade.refund", "alipay.trade.fastpay.refund.query"])
async def test_a_forged_answer_proves_nothing(house: House, method: str) -> None:
    await house.pay(Scenario.APPROVED)
    request = house.refund(500, "R1")
    house.faults(FaultRule(kind=FaultKind.CORRUPT, match=method))
    answers = [await house.refunds.refund(request) for _ in range(2)]
    asked = await house.refunds.query_refund(request)
    unknown = answers[1] if method.endswith("query") else answers[0]
    assert unknown.verdict is Verdict.UNKNOWN
    assert (asked.verdict is Verdict.UNKNOWN) == method.endswith("query")
    assert house.returned_fen() == 500
