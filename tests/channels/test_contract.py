"""The contract of the channel port: every adapter passes every test of this file.

A new adapter joins by a rig in ``rigs.py`` and one line in :data:`RIGS`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import cache
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.port import Answer, PayRequest, Verdict
from domain.ids import is_channel_number
from pos_protocol.errors import PosProtocolError
from tests.channels.qr_rigs import UnionPayQrRig
from tests.channels.rigs import AlipayRig, CardRig, CompletionRig, HoldRig, Rig, ref_of
from tests.channels.wechat_rigs import CodepayRig, WechatRig

RIGS: dict[str, Callable[[], Rig]] = {
    "alipay": AlipayRig,
    "wechat": WechatRig,
    "wechat codepay": CodepayRig,
    "unionpay_card": CardRig,
    "unionpay_card holds": HoldRig,
    "unionpay_card completes": CompletionRig,
    "unionpay_qr": UnionPayQrRig,
}
FAULTS = [(name, fault) for name, make in RIGS.items() for fault in make().faults()]


@pytest.fixture(params=RIGS)
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    rig = RIGS[cast(str, request.param)]()
    await rig.start()
    yield rig
    await rig.close()


async def told(rig: Rig, request: PayRequest) -> Answer:
    """What a payment came to; a channel that only accepts at first tells when it is asked."""
    answer = await rig.channel.pay(request)
    if not getattr(rig, "accepts_first", False):
        return answer
    assert (answer.verdict, answer.amount_fen) == (Verdict.PENDING, None)
    return await rig.channel.query(ref_of(request))


async def test_an_approval_carries_the_channels_own_words(rig: Rig) -> None:
    request = rig.request()
    answer = await told(rig, request)
    assert answer.verdict is Verdict.SUCCEEDED
    assert answer.amount_fen == request.amount_fen
    assert answer.order_no == request.order_no
    assert answer.currency in ("", "CNY")
    assert answer.trade_no


async def test_a_listed_refusal_is_declined_with_reason_and_code(rig: Rig) -> None:
    rig.will_decline()
    answer = await rig.channel.pay(rig.request())
    assert answer.verdict is Verdict.DECLINED
    assert answer.reason is not None
    assert answer.channel_code


@pytest.mark.parametrize(("name", "fault"), FAULTS, ids=[f"{a}: {b}" for a, b in FAULTS])
async def test_whatever_cannot_be_trusted_is_unknown(name: str, fault: str) -> None:
    """Garbage, time-outs, bad signatures, unlisted codes: never a success, never a no."""
    rig = RIGS[name]()
    await rig.start()
    rig.faults()[fault]()
    answer = await rig.channel.pay(rig.request())
    await rig.close()
    assert answer.verdict is Verdict.UNKNOWN
    assert answer.amount_fen is None


@pytest.mark.parametrize(("name", "fault"), FAULTS, ids=[f"{a}: {b}" for a, b in FAULTS])
async def test_an_untrusted_answer_to_an_undo_ends_nothing(name: str, fault: str) -> None:
    rig = RIGS[name]()
    await rig.start()
    request = rig.request()
    rig.faults()[fault]()
    undone = await rig.channel.cancel(ref_of(request))
    await rig.close()
    assert undone.verdict is Verdict.UNKNOWN


async def test_unreachable_is_not_sent_for_pay_and_unknown_for_the_rest(rig: Rig) -> None:
    request = rig.request()
    rig.will_be_unreachable()
    assert (await rig.channel.pay(request)).verdict is Verdict.NOT_SENT
    assert (await rig.channel.query(ref_of(request))).verdict is Verdict.UNKNOWN
    assert (await rig.channel.cancel(ref_of(request))).verdict is Verdict.UNKNOWN


async def test_the_same_number_serves_pay_retry_and_undo(rig: Rig) -> None:
    request = rig.request()
    await rig.channel.pay(request)
    await rig.channel.pay(request)
    await rig.channel.cancel(ref_of(request))
    assert len(rig.numbers) >= 3
    assert set(rig.numbers) == {request.order_no}


async def test_cancellation_passes_through_and_the_channel_lives_on(rig: Rig) -> None:
    rig.will_hang()
    paying = asyncio.create_task(rig.channel.pay(rig.request()))
    for _ in range(20):  # turns of the loop until the request is out
        await asyncio.sleep(0)
    assert rig.numbers
    paying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await paying
    rig.will_approve()
    assert (await told(rig, rig.request())).verdict is Verdict.SUCCEEDED


async def test_numbers_are_fresh_and_valid_everywhere(rig: Rig) -> None:
    numbers = [rig.channel.new_order_no() for _ in range(500)]
    assert len(set(numbers)) == 500
    assert all(is_channel_number(number) for number in numbers)


async def test_the_schedule_can_always_end_in_an_undo(rig: Rig) -> None:
    schedule = rig.channel.schedule
    assert schedule.undo_retry_s
    assert min(schedule.undo_retry_s) > 0
    assert rig.channel.timeout_s > 0


async def test_nothing_sensitive_in_any_text(rig: Rig) -> None:
    request = rig.request()
    answer = await rig.channel.pay(request)
    shown = repr((rig.channel, request, answer, rig.channel.health(), request.card))
    for secret in (request.auth_code, request.card.pan if request.card else ""):
        assert not secret or secret not in shown


MUTATION = st.tuples(
    st.sampled_from(["flip", "cut", "insert", "remove"]),
    st.integers(0, 10_000),
    st.integers(1, 255),
)


def mutated(raw: bytes, kind: str, place: int, value: int) -> bytes:
    at = place % len(raw)
    match kind:
        case "flip":
            return raw[:at] + bytes([raw[at] ^ value]) + raw[at + 1 :]
        case "cut":
            return raw[:at]
        case "insert":
            return raw[:at] + bytes([value]) + raw[at:]
        case _:
            return raw[:at] + raw[at + 1 :]


@cache
def _shared_rig(name: str) -> Rig:
    """One rig for all examples: reading an answer changes nothing in it."""
    return RIGS[name]()


@pytest.mark.parametrize("name", RIGS)
@settings(max_examples=300, deadline=None)
@given(mutation=MUTATION)
def test_no_change_of_a_signed_approval_makes_another_result(
    name: str, mutation: tuple[str, int, int]
) -> None:
    """A changed byte gives the same approval (outside the signature) or no result at all."""
    rig = _shared_rig(name)
    request = rig.request("77000001000001000001")
    raw = rig.approved_bytes(request)
    changed = mutated(raw, *mutation)
    try:
        answer = rig.read(changed, request)
    except PosProtocolError:
        return
    if answer.verdict is not Verdict.UNKNOWN:
        assert answer == rig.read(raw, request)
