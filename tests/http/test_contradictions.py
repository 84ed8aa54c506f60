"""A channel that says something else than the order: never believed, never dropped."""

import base64
import re
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs

import orjson
import pytest

from channels.port import HttpRequest, HttpResponse, Send
from sandbox.scenarios import ALIPAY_CODES, Scenario
from signing.rsa import load_private_key, sign_sha256
from tests.support.gateway import Place, with_seams

APPROVED = ALIPAY_CODES[Scenario.APPROVED]
Node = dict[str, object]
Change = Callable[[Node], None]


def lying(place: Place, change: Change, methods: tuple[str, ...]) -> Place:
    """Alipay itself says ``change``, signed with its own key, to these calls."""
    key = load_private_key((place.folder / "alipay-private.pem").read_bytes())

    def wrap(send: Send) -> Callable[[HttpRequest], Awaitable[HttpResponse]]:
        async def lie(request: HttpRequest) -> HttpResponse:
            response = await send(request)
            method = parse_qs(request.body.decode())["method"][0].rpartition(".")[2]
            if method not in methods:
                return response
            name = f"alipay_trade_{method}_response"
            node = orjson.loads(response.body)[name]
            change(node)
            raw = orjson.dumps(node)
            signature = base64.b64encode(sign_sha256(key, raw))
            body = b'{"%b":%b,"sign":"%b"}' % (name.encode(), raw, signature)
            return HttpResponse(200, response.headers, body)

        return lie

    return with_seams(place, wrap_send=wrap)


async def test_an_honest_change_is_believed(place: Place) -> None:
    """A self-test: the re-signed answer itself is sound."""
    async with lying(place, lambda node: None, ("pay",)).gateway() as running:
        assert (await running.api.pay(APPROVED)).json["status"] == "succeeded"


@pytest.mark.parametrize("amount", ["19.89", "0.01", "199.00", "-19.90"])
@pytest.mark.parametrize("method", ["pay", "query"])
async def test_another_amount_is_parked(place: Place, amount: str, method: str) -> None:
    """Unknown with a case, whichever call said it; no posting; the books and the log know."""
    code = APPROVED if method == "pay" else ALIPAY_CODES[Scenario.LOST_RESPONSE_CHARGED]
    said = lying(place, lambda node: node.update(total_amount=amount), (method,))
    async with said.gateway() as running:
        payment = await running.api.final((await running.api.pay(code)).json["id"])
        assert (payment["status"], payment["paid_at"]) == ("unknown", None)
        assert re.fullmatch(r"case_[A-R]{32}", payment["case_id"])
        assert payment["error"]["code"] == "amount_mismatch"
        assert await running.gateway.store.postings(payment["id"]) == []
        assert [line["reason"] for line in running.lines() if line["event"] == "payment parked"]
        replay = await running.api.pay(code, payment["merchant_order_no"])
        assert (replay.status, replay.json) == (200, payment)


async def test_a_parked_payment_waits_for_a_person(place: Place) -> None:
    """Recovery leaves it alone, a restart too; a cancel by the merchant returns the money."""
    said = lying(place, lambda node: node.update(total_amount="1.00"), ("pay",))
    async with said.gateway() as running:
        payment = (await running.api.pay(APPROVED)).json
    async with place.gateway() as running:
        async with place.session() as it:
            assert list(await it.store.jobs(None, "", 10)) == []
        assert (await running.api.get(payment["id"])).json == payment
        undone = (await running.api.cancel(payment["id"])).json
        assert undone["status"] == "reversed"
    assert await place.charge(payment) == (1990, 1990)


async def test_another_currency_is_parked(place: Place) -> None:
    said = lying(place, lambda node: node.update(trans_currency="USD"), ("pay",))
    async with said.gateway() as running:
        payment = (await running.api.pay(APPROVED)).json
        assert (payment["status"], payment["error"]["code"]) == ("unknown", "currency_mismatch")


@pytest.mark.parametrize(
    "change",
    [
        {"out_trade_no": "SOMEBODYELSESNUMBER0000000000000"},
        {"out_trade_no": ""},
        {"seller_id": "2088999999999999"},
        {"code": "99999"},
        {"code": 10000},
        {"total_amount": "19.9.0"},
        {"total_amount": 19.9},
        {"total_amount": ""},
    ],
    ids=repr,
)
async def test_an_answer_about_something_else_is_not_believed(
    place: Place, change: dict[str, object]
) -> None:
    """Another order, seller, code or shape: undone, the money back, never succeeded."""
    said = lying(place, lambda node: node.update(change), ("pay", "query"))
    async with said.gateway() as running:
        created = (await running.api.pay(APPROVED, expires_in_s=1, wait_s=0)).json
        payment = await running.api.final(created["id"])
        assert payment["status"] == "reversed"
        events = await running.gateway.store.events(payment["id"])
        assert "succeeded" not in [event.status.value for event in events]
    assert await place.charge(payment) == (1990, 1990)
