"""The flow at the till with the real Alipay adapter: pay, ask, cancel until it answers."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

import orjson
import pytest

from channels.alipay.plugin import SETTINGS
from channels.port import AnswerLost, HttpRequest, HttpResponse
from domain.payment import Status
from gateway.store.port import Store
from tests.channels.rigs import alipay_answer
from tests.channels.test_alipay_transports import KEYED, Peer
from tests.gateway.fakes import House
from tests.support.waiting import eventually

PAYING = {"code": "10003", "msg": "order success pay inprocess"}
WAITING = {"code": "10000", "trade_status": "WAIT_BUYER_PAY"}
DONE = {
    "code": "10000",
    "trade_status": "TRADE_SUCCESS",
    "total_amount": "19.90",
    "trade_no": "T1",
}
LOST = AnswerLost("cut")
Said = Mapping[str, object] | Exception


@dataclass
class Till:
    """An adapter whose Alipay says what it is told, and a gateway around it."""

    house: House
    said: Mapping[str, list[Said]]
    asked: list[tuple[str, str, float]] = field(default_factory=list)

    def methods(self) -> list[str]:
        return [method for method, _, _ in self.asked]


def till(store: Store, *, till_wait_s: float = 5, **settings: str) -> Till:
    schedule = {"query_after_s": ",".join(["0.02"] * 10), "undo_retry_s": "0.01,0.01,0.01"}
    peer = Peer(KEYED, **(schedule | settings))
    house = House(store, peer.channel, till_wait_s=till_wait_s)  # type: ignore[arg-type]
    it = Till(house, {})

    async def send(request: HttpRequest) -> HttpResponse:
        form = dict(part.split("=", 1) for part in request.body.decode().split("&"))
        method = form["method"].removeprefix("alipay.trade.")
        script = it.said[method]
        said = script.pop(0) if len(script) > 1 else script[0]
        number = orjson.loads(unquote_plus(form["biz_content"]))["out_trade_no"]
        it.asked.append((method, number, house.clock.monotonic_s()))
        if isinstance(said, Exception):
            raise said
        fields = {"out_trade_no": number, **said}
        return HttpResponse(200, {}, alipay_answer(method, fields))

    peer.channel._send = send  # type: ignore[attr-defined]
    return it


async def ends(it: Till) -> tuple[str, int, int]:
    """Its last status, what the channel holds, and under how many numbers it was asked."""
    live = await it.house.begun()
    await it.house.payments.run(live)
    await eventually(lambda: not it.house.payments.in_flight())
    payment = await it.house.now(live.payment)
    held = await it.house.held(payment)
    return payment.standing.status.value, held, len({number for _, number, _ in it.asked})


@pytest.mark.parametrize(
    "first",
    [
        PAYING,
        LOST,
        {"code": "20000"},
        {"code": "40004", "sub_code": "ACQ.SYSTEM_ERROR"},
        {"code": "40004", "sub_code": "ACQ.NEW"},
    ],
    ids=str,
)
async def test_a_payer_who_pays_in_time(store: Store, first: Said) -> None:
    """Asked, never paid again, and always under the one number."""
    it = till(store)
    it.said = {"pay": [first], "query": [WAITING, WAITING, DONE]}
    assert await ends(it) == ("succeeded", 1990, 1)
    assert it.methods() == ["pay", "query", "query", "query"]


async def test_a_payer_who_never_pays_is_asked_ten_times_and_cancelled_at_once(
    store: Store,
) -> None:
    it = till(store)
    it.said = {
        "pay": [PAYING],
        "query": [WAITING],
        "cancel": [{"code": "10000", "action": "close"}],
    }
    assert await ends(it) == ("closed", 0, 1)
    assert it.methods() == ["pay", *["query"] * 10, "cancel"]
    last, cancel = it.asked[-2][2], it.asked[-1][2]
    assert cancel - last < 0.5


def test_the_default_schedule_is_thirty_seconds() -> None:
    (setting,) = [one for one in SETTINGS if one.name == "query_after_s"]
    assert setting.default == "3,3,3,3,3,3,3,3,3,3"


async def test_never_past_the_tills_patience(store: Store) -> None:
    """A schedule that is longer is cut off, and the cancel follows."""
    it = till(store, till_wait_s=0.3, query_after_s=",".join(["0.1"] * 100), timeout_s="0.1")
    it.said = {
        "pay": [PAYING],
        "query": [WAITING],
        "cancel": [{"code": "10000", "action": "close"}],
    }
    assert await ends(it) == ("closed", 0, 1)
    assert it.methods().count("query") <= 3
    assert it.asked[-1][2] - it.asked[0][2] < 3


async def test_it_is_cancelled_until_it_answers(store: Store) -> None:
    """``retry_flag=Y``, silence and a busy Alipay are no answers."""
    it = till(store, undo_retry_s="0.01")
    it.said = {
        "pay": [PAYING],
        "query": [WAITING],
        "cancel": [
            {"code": "10000", "action": "close", "retry_flag": "Y"},
            LOST,
            {"code": "40004", "sub_code": "AQC.SYSTEM_ERROR"},
            {"code": "10000", "action": "close", "retry_flag": "N"},
        ],
    }
    live = await it.house.begun()
    await it.house.payments.run(live)
    worker = asyncio.create_task(it.house.recovery().run())
    payment = await it.house.until(live.payment, "closed")
    worker.cancel()
    assert payment.standing.status is Status.CLOSED
    assert it.methods().count("cancel") == 4
    assert len({number for _, number, _ in it.asked}) == 1


async def test_a_cancel_that_gave_money_back_is_booked_so(store: Store) -> None:
    """It was paid after the last question: taken and returned, not simply closed."""
    it = till(store)
    it.said = {
        "pay": [LOST],
        "query": [WAITING],
        "cancel": [{"code": "10000", "action": "refund", "retry_flag": "N"}],
    }
    assert await ends(it) == ("reversed", 0, 1)
    lines = await it.house.store.postings((await it.house.store.payments_page("", 9))[0].order.id)
    assert sorted(line.amount_fen for line in lines) == [-1990, -1990, 1990, 1990]


async def test_a_cancel_that_names_no_action_is_asked_about(store: Store) -> None:
    """So answers a number that Alipay never saw."""
    it = till(store)
    it.said = {
        "pay": [LOST],
        "query": [{"code": "40004", "sub_code": "ACQ.TRADE_NOT_EXIST"}],
        "cancel": [{"code": "10000", "retry_flag": "N"}],
    }
    assert await ends(it) == ("closed", 0, 1)
    assert it.methods() == ["pay", "query", "query", "cancel", "query"]


async def test_a_refusal_ends_it_at_once(store: Store) -> None:
    it = till(store)
    it.said = {"pay": [{"code": "40004", "sub_code": "ACQ.PAYMENT_AUTH_CODE_INVALID"}]}
    assert await ends(it) == ("failed", 0, 1)
    assert it.methods() == ["pay"]
