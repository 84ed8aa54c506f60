"""The contract of the ability to refund: every adapter that has it passes every test here.

A new adapter joins by a rig in ``refund_rigs.py`` and one line in :data:`RIGS`.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import cache
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.port import RefundAnswer, RefundRequest, Verdict, refunds_of
from domain.ids import is_channel_number
from gateway.breaker import is_failure
from pos_protocol.errors import PosProtocolError
from tests.channels.qr_rigs import UnionPayQrRefundRig
from tests.channels.refund_rigs import AlipayRefundRig, CardRefundRig, RefundRig
from tests.channels.rigs import alipay_answer
from tests.channels.test_contract import MUTATION, mutated
from tests.channels.test_contract import RIGS as EVERY_RIG
from tests.channels.wechat_rigs import WechatRefundRig

RIGS: dict[str, Callable[[], RefundRig]] = {
    "alipay": AlipayRefundRig,
    "unionpay_card": CardRefundRig,
    "wechat": WechatRefundRig,
    "unionpay_qr": UnionPayQrRefundRig,
}
FAULTS = [(name, fault) for name, make in RIGS.items() for fault in make().refund_faults()]


@pytest.fixture(params=RIGS)
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[RefundRig]:
    rig = RIGS[cast(str, request.param)]()
    await rig.start()
    yield rig
    await rig.close()


def test_every_channel_that_can_refund_is_held_to_this() -> None:
    able = {name for name, make in EVERY_RIG.items() if refunds_of(make().channel) is not None}
    assert {name.split()[0] for name in able} == set(RIGS)


async def tells(rig: RefundRig, request: RefundRequest) -> RefundAnswer:
    """What a question finds out; where there is none, the repeat that takes its place."""
    asked = await rig.ability.query_refund(request)
    if rig.can_be_asked:
        return asked
    assert (asked.verdict, asked.not_found) == (Verdict.UNKNOWN, True)
    return await rig.ability.refund(replace(request, repeated=True))


async def sent(rig: RefundRig, request: RefundRequest) -> RefundAnswer:
    """What a refund came to; a channel that only accepts at first tells when it is asked."""
    answer = await rig.ability.refund(request)
    if not getattr(rig, "accepts_first", False) or answer.verdict is Verdict.DECLINED:
        return answer
    assert answer.verdict in (Verdict.PENDING, Verdict.UNKNOWN)  # a repeat is "duplicate"
    return await rig.ability.query_refund(request)


async def test_a_refund_returns_the_money_and_can_be_asked_about(rig: RefundRig) -> None:
    request = rig.refund_request(500)
    answer = await sent(rig, request)
    assert (answer.verdict, answer.amount_fen in (None, 500)) == (Verdict.SUCCEEDED, True)
    assert answer.refund_no in ("", request.refund_no)
    asked = await tells(rig, request)
    assert (asked.verdict, asked.amount_fen) == (Verdict.SUCCEEDED, 500)
    assert asked.refund_no == request.refund_no
    assert rig.returned_fen() == 500


async def test_the_same_number_returns_money_once(rig: RefundRig) -> None:
    """A repeat says the same and moves nothing."""
    request = rig.refund_request(500)
    verdicts = [(await sent(rig, request)).verdict for _ in range(3)]
    assert verdicts == [Verdict.SUCCEEDED] * 3
    assert rig.returned_fen() == 500
    assert set(rig.refund_numbers) == {request.refund_no}


async def test_a_lost_answer_is_unknown_and_the_query_tells(rig: RefundRig) -> None:
    """The money went back unheard: neither a no, nor a second refund."""
    request = rig.refund_request(500)
    rig.loses_answers(1)
    lost = await rig.ability.refund(request)
    assert (lost.verdict, lost.not_found) == (Verdict.UNKNOWN, False)
    assert (await tells(rig, request)).verdict is Verdict.SUCCEEDED
    assert (await sent(rig, request)).verdict is Verdict.SUCCEEDED
    assert rig.returned_fen() == 500


async def test_a_repeat_whose_query_is_lost_stays_unknown(rig: RefundRig) -> None:
    """However far the adapter asks by itself, silence is never an answer."""
    request = rig.refund_request(500)
    rig.loses_answers(9)
    for _ in range(3):
        assert (await rig.ability.refund(request)).verdict is Verdict.UNKNOWN
        assert (await rig.ability.query_refund(request)).verdict is Verdict.UNKNOWN
    assert rig.returned_fen() == 500


async def test_not_found_is_unknown_and_says_so(rig: RefundRig) -> None:
    """Never a decline: the query may have overtaken the refund."""
    asked = await rig.ability.query_refund(rig.refund_request(500))
    assert (asked.verdict, asked.not_found, asked.amount_fen) == (Verdict.UNKNOWN, True, None)


async def test_parts_add_up_to_the_whole_and_not_beyond(rig: RefundRig) -> None:
    """Three parts, then one fen more: a definitive no, and the money stays."""
    for amount_fen in (1, 989, 1000):
        answer = await sent(rig, rig.refund_request(amount_fen))
        assert answer.verdict is Verdict.SUCCEEDED
    over = await rig.ability.refund(rig.refund_request(1))
    assert over.verdict is Verdict.DECLINED
    assert over.reason is not None
    assert over.channel_code
    assert rig.returned_fen() == 1990


async def test_a_refund_beyond_the_payment_is_declined(rig: RefundRig) -> None:
    answer = await rig.ability.refund(rig.refund_request(1991))
    assert answer.verdict is Verdict.DECLINED
    assert rig.returned_fen() == 0


ANSWERED = {
    "unlisted sub code",
    "empty purse",
    "discordant",
    "not a trade to refund",
}
"""Faults of Alipay's in which it speaks, verified, of the refund that was asked for."""


@pytest.mark.parametrize("fault", AlipayRefundRig().refund_faults())
async def test_only_what_the_channel_itself_says_of_the_refund_is_an_answer(fault: str) -> None:
    """An empty purse must not close the account; a system error, or what nobody signed, may."""
    rig = AlipayRefundRig()
    rig.refund_faults()[fault]()
    answer = await rig.ability.refund(rig.refund_request(500))
    assert is_failure(answer) == (fault not in ANSWERED)


@pytest.mark.parametrize(
    ("fault", "away"),
    [
        ("still in work", False),
        ("unlisted sub code", False),
        ("system error", True),
        ("busy", True),
        ("refunded, signed by another", True),
    ],
)
async def test_so_it_is_for_a_question_about_a_refund(fault: str, away: bool) -> None:
    rig = AlipayRefundRig()
    rig.refund_faults()[fault]()
    asked = await rig.ability.query_refund(rig.refund_request(500))
    assert (asked.verdict, is_failure(asked)) == (Verdict.UNKNOWN, away)


def test_a_refund_that_moved_no_money_was_answered() -> None:
    rig = AlipayRefundRig()
    request = rig.refund_request(500)
    fields = {**rig.refunded(request.payment.order_no, "N"), "refund_fee": "5.00"}
    answer = rig.read_refund(alipay_answer("refund", fields), request)
    assert (answer.verdict, is_failure(answer)) == (Verdict.UNKNOWN, False)


@pytest.mark.parametrize(("name", "fault"), FAULTS, ids=[f"{a}: {b}" for a, b in FAULTS])
async def test_whatever_cannot_be_trusted_is_unknown(name: str, fault: str) -> None:
    """Never a success and never a no, asked either way."""
    rig = RIGS[name]()
    await rig.start()
    request = rig.refund_request(500)
    rig.refund_faults()[fault]()
    for call in (rig.ability.refund, rig.ability.query_refund):
        answer = await call(request)
        assert answer.verdict is Verdict.UNKNOWN
        assert answer.amount_fen is None
    await rig.close()


async def test_unreachable_is_not_sent_for_a_refund_and_unknown_for_its_query(
    rig: RefundRig,
) -> None:
    request = rig.refund_request(500)
    rig.will_be_unreachable()
    assert (await rig.ability.refund(request)).verdict is Verdict.NOT_SENT
    assert (await rig.ability.query_refund(request)).verdict is Verdict.UNKNOWN


async def test_refund_numbers_are_fresh_and_valid_everywhere(rig: RefundRig) -> None:
    numbers = [rig.ability.new_refund_no() for _ in range(500)]
    assert len(set(numbers)) == 500
    assert all(is_channel_number(number) for number in numbers)


@cache
def _shared_rig(name: str) -> RefundRig:
    """One rig for all examples: reading an answer changes nothing in it."""
    return RIGS[name]()


@pytest.mark.parametrize("name", RIGS)
@settings(max_examples=200, deadline=None)
@given(mutation=MUTATION, amount_fen=st.sampled_from([1, 500, 1990]))
def test_no_change_of_a_signed_yes_makes_another_result(
    name: str, mutation: tuple[str, int, int], amount_fen: int
) -> None:
    """A changed byte gives the same yes (outside the signature) or no result at all."""
    rig = _shared_rig(name)
    request = rig.refund_request(amount_fen, "77000001000001000001")
    raw = rig.refunded_bytes(request)
    try:
        answer = rig.read_refund(mutated(raw, *mutation), request)
    except PosProtocolError:
        return
    if answer.verdict is not Verdict.UNKNOWN:
        assert answer == rig.read_refund(raw, request)
