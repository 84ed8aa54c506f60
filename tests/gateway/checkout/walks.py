"""What several tests of checkouts begin with: walks, a press, and what a channel answers."""

from typing import Any

from channels.inbound import InboundRequest, PaymentWord
from channels.payer_orders import OrderAnswer
from channels.port import Answer, Verdict
from domain.decline import DeclineReason
from domain.payment import Payment
from gateway.checkout.port import Payer, Press, Start
from gateway.inbound import Inbound, InboundBounds
from tests.gateway.checkout.cafe import ANN, Cafe
from tests.support.waiting import eventually

PRESS = Press(
    merchant_no="M1",
    press_key="press-1",
    code_id="c" * 26,
    shop_name="奶茶店",
    amount_fen=1990,
    subject="奶茶店",
    remark="少冰",
)
UNANSWERED = OrderAnswer(verdict=Verdict.UNKNOWN)
REFUSED = OrderAnswer(
    verdict=Verdict.DECLINED, reason=DeclineReason.NOT_PERMITTED, channel_code="NO_AUTH"
)


async def paying(cafe: Cafe, key: str = "k1", payer: Payer = ANN) -> Payment:
    """A checkout that a payer has begun to pay; nothing goes on in the background any more."""
    base = await cafe.opened(key)
    begun = await cafe.checkouts.begin(base.order.id, payer)
    assert begun.start is Start.READY
    await quiet(cafe)
    return base


async def hears(cafe: Cafe, attempt: Payment, answer: Answer) -> None:
    """The channel tells by itself what became of an attempt."""
    word = PaymentWord(order_no=attempt.order.channel_order_no, answer=answer)
    route = cafe.routes.of_account(attempt.order.account_id)
    inbound = Inbound(
        store=cafe.store,
        routes=cafe.routes,
        settlement=cafe.settlement,
        refund_settlement=cafe.refund_settlement,
        tell=cafe.payments.tell_first,
        clock=cafe.clock,
        metrics=cafe.metrics,
        log=cafe.log,
        bounds=InboundBounds(answer_within_s=4, max_in_flight=8),
    )
    channel: Any = route.channel
    channel.words[b"word"] = word
    reply = await inbound.receive(
        route.channel_name,
        route.account_id,
        InboundRequest(method="POST", headers={}, body=b"word"),
    )
    assert reply is not None
    assert reply.status == 200


async def quiet(cafe: Cafe) -> None:
    """Nothing goes on in the background any more."""
    await eventually(lambda: not cafe.payments._tasks)
