"""How an undo at WeChat Pay comes to its end: asked, reversed, closed, or refunded whole."""

from typing import Any

import pytest

from channels.port import HttpResponse, NotSent
from tests.channels.wechat_asks import OK, D, U, paths, ref
from tests.channels.wechat_rigs import (
    MCHID,
    CodepayRig,
    WechatRefundRig,
    WechatRig,
    v2_answer,
    v2_paid,
    v2_refused,
    v3_answer,
    v3_paid,
    v3_refused,
)


async def test_an_undo_asks_then_reverses_with_our_certificate() -> None:
    rig = WechatRig()
    undone = await rig.channel.cancel(ref(rig))
    assert (undone.verdict, undone.was_paid) == (OK, True)
    assert paths(rig) == ["/pay/orderquery", "/secapi/pay/reverse"]
    assert rig.requests[0].identity is None
    assert rig.requests[1].identity is not None


@pytest.mark.parametrize("state", ["NOTPAY", "USERPAYING", "PAYERROR"])
async def test_what_was_not_seen_paid_is_reversed_without_saying_so(state: str) -> None:
    """It may have been paid between the two calls: the gateway's own knowledge decides."""
    rig = WechatRig()
    rig.on(orderquery=v2_answer({"out_trade_no": "NUMBER0001", "trade_state": state}))
    undone = await rig.channel.cancel(ref(rig))
    assert (undone.verdict, undone.was_paid) == (OK, None)
    assert paths(rig)[-1] == "/secapi/pay/reverse"


async def test_a_reversal_is_repeated_while_it_recalls_or_is_silent() -> None:
    rig = WechatRig()
    for answer in (
        v2_answer({"recall": "Y"}),
        v2_refused("USERPAYING", recall="Y"),
        v2_refused("SYSTEMERROR"),
        b"",
        v2_answer({}),
    ):
        rig.on(reverse=answer)
        assert (await rig.channel.cancel(ref(rig))).verdict is U
    rig.will_approve()
    assert (await rig.channel.cancel(ref(rig))).verdict is OK


@pytest.mark.parametrize(("state", "was_paid"), [("REVOKED", None), ("CLOSED", False)])
async def test_what_is_undone_already_is_not_undone_again(
    state: str, was_paid: bool | None
) -> None:
    rig = WechatRig()
    rig.on(orderquery=v2_answer({"out_trade_no": "NUMBER0001", "trade_state": state}))
    undone = await rig.channel.cancel(ref(rig))
    assert (undone.verdict, undone.was_paid) == (OK, was_paid)
    assert paths(rig) == ["/pay/orderquery"]


async def test_a_lost_question_does_not_keep_a_payment_from_being_reversed() -> None:
    rig = WechatRig()
    rig.on(orderquery=b"")
    undone = await rig.channel.cancel(ref(rig))
    assert (undone.verdict, undone.was_paid) == (OK, None)


async def test_what_is_too_old_to_be_reversed_is_refunded_whole_under_its_own_number() -> None:
    """However often it is repeated, it is one refund."""
    rig = WechatRefundRig()
    books = rig.respond

    def respond(path: str, fields: Any) -> HttpResponse:
        if path == "/secapi/pay/reverse":
            return HttpResponse(200, {}, v2_refused("REVERSE_EXPIRE", recall="N"))
        if path == "/pay/orderquery":
            return HttpResponse(200, {}, v2_paid("NUMBER0001", trade_state="SUCCESS"))
        return books(path, fields)

    rig.respond = respond
    rig.payment = ref(rig)
    for _ in range(3):
        undone = await rig.channel.cancel(ref(rig))
        assert (undone.verdict, undone.was_paid) == (OK, True)
    assert rig.refunds == {"NUMBER0001": 1990}


@pytest.mark.parametrize("method", ["auth_code", "qr"])
async def test_an_undo_goes_on_with_its_own_refund(method: str) -> None:
    """While that is in work the trade is seen as refunded, and never taken for undone."""
    rig = WechatRefundRig()
    rig.payment = ref(rig, method)
    rig.on(
        orderquery=v2_answer({"out_trade_no": "NUMBER0001", "trade_state": "REFUND"}),
        query=v3_answer(v3_paid("NUMBER0001", trade_state="REFUND")),
        refunds=v3_answer(rig.refunded("NUMBER0001", 1990, status="PROCESSING")),
    )
    assert (await rig.channel.cancel(ref(rig, method))).verdict is U
    rig.on(
        orderquery=v2_answer({"out_trade_no": "NUMBER0001", "trade_state": "REFUND"}),
        query=v3_answer(v3_paid("NUMBER0001", trade_state="REFUND")),
        refunds=v3_answer(rig.refunded("NUMBER0001", 1990)),
    )
    undone = await rig.channel.cancel(ref(rig, method))
    assert (undone.verdict, undone.was_paid) == (OK, True)
    assert not [path for path in paths(rig) if path.endswith("reverse")]


async def test_what_is_too_old_and_was_never_paid_is_a_persons() -> None:
    rig = WechatRig()
    rig.on(
        orderquery=v2_answer({"out_trade_no": "NUMBER0001", "trade_state": "NOTPAY"}),
        reverse=v2_refused("REVERSE_EXPIRE", recall="N"),
    )
    assert (await rig.channel.cancel(ref(rig))).verdict is D


async def test_a_payers_order_is_closed_while_it_is_unpaid() -> None:
    rig = WechatRig()
    rig.on(query=v3_answer(v3_paid("NUMBER0001", trade_state="NOTPAY")), close=v3_answer(None, 204))
    undone = await rig.channel.cancel(ref(rig, "qr"))
    assert (undone.verdict, undone.was_paid) == (OK, False)
    assert paths(rig)[-1] == "/v3/pay/transactions/out-trade-no/NUMBER0001/close"
    assert rig.asked[-1][1] == {"mchid": MCHID}


async def test_a_payers_order_that_is_paid_is_refunded_whole() -> None:
    rig = WechatRefundRig()
    rig.payment = ref(rig, "qr")
    books = rig.respond
    rig.respond = lambda path, fields: (
        v3_answer(v3_paid("NUMBER0001")) if "/out-trade-no/" in path else books(path, fields)
    )
    for _ in range(2):
        undone = await rig.channel.cancel(ref(rig, "jsapi"))
        assert (undone.verdict, undone.was_paid) == (OK, True)
    assert rig.refunds == {"NUMBER0001": 1990}


async def test_an_order_that_is_paid_while_it_is_closed_is_refunded_the_next_time() -> None:
    rig = WechatRig()
    rig.on(
        query=v3_answer(v3_paid("NUMBER0001", trade_state="NOTPAY")),
        close=v3_refused(400, "ORDERPAID"),
    )
    assert (await rig.channel.cancel(ref(rig, "qr"))).verdict is U


async def test_an_order_that_was_never_made_is_over() -> None:
    """Nobody was ever shown what to pay it with; one that only the close misses is not."""
    rig = WechatRig()
    rig.on(query=v3_refused(404, "ORDER_NOT_EXIST"), close=v3_refused(404, "ORDER_NOT_EXIST"))
    undone = await rig.channel.cancel(ref(rig, "qr"))
    assert (undone.verdict, undone.was_paid) == (OK, False)
    rig.on(
        query=v3_answer(v3_paid("NUMBER0001", trade_state="NOTPAY")),
        close=v3_refused(404, "ORDER_NOT_EXIST"),
    )
    assert (await rig.channel.cancel(ref(rig, "qr"))).verdict is U


async def test_not_sent_of_an_undo_is_unknown() -> None:
    rig = CodepayRig()
    rig._raise(NotSent("refused"))
    assert (await rig.channel.cancel(ref(rig))).verdict is U
