"""Two hosts and several connections: taking over, in time, without losing an answer."""

import asyncio

import pytest

from channels.inbound import PaymentWord, RefundWord
from channels.port import RefundRequest, Verdict
from gateway.breaker import BreakerState
from gateway.guard import Guard, Protection
from gateway.logs import make_log
from gateway.metrics import Metrics
from pos_protocol.codec import Message, encode_with_mac
from pos_protocol.framing import frame
from signing.pos import WorkingKeys
from tests.channels.card_hosts import LoopClock, TwoHosts, play
from tests.channels.rigs import approve, host_reply, ref_of, sale_fields


def test_the_first_host_carries_and_the_second_stands_by() -> None:
    """The one that stands by is connected and proved, and does not sign on."""

    async def work() -> None:
        two = TwoHosts()
        await two.channel.start()
        await asyncio.sleep(0.1)
        assert (await two.pay()).verdict is Verdict.SUCCEEDED
        assert (len(two.first.requests), len(two.second.requests)) == (1, 0)
        assert (two.first.sign_ons, two.second.sign_ons) == (1, 0)
        assert two.second.echoes == 1
        health = two.channel.health()
        assert (health.ready, health.detail) == (True, "line 1 in use; connections: 1, 1")
        await two.channel.close()

    play(work())


def test_requests_take_turns_on_the_connections() -> None:
    async def work() -> None:
        two = TwoHosts(connections="4")
        await two.channel.start()
        await asyncio.sleep(0.1)
        assert [line["connections"] for line in two.statistics] == [4, 4]
        assert two.first.sign_ons == 1
        two.first.answer = lambda _: None
        paying = [asyncio.create_task(two.pay()) for _ in range(8)]
        await asyncio.sleep(0.1)
        assert [session.pending for session in two.channel._link._line._sessions] == [2] * 4
        for one in paying:
            one.cancel()
        assert two.statistics[0]["requests"] == 8
        await two.channel.close()

    play(work())


def test_an_answer_may_come_by_another_connection() -> None:
    async def work() -> None:
        two = TwoHosts(connections="2")
        await two.channel.start()
        await asyncio.sleep(0.1)
        held: list[Message] = []
        two.first.answer = held.append
        paying = asyncio.create_task(two.pay())
        await asyncio.sleep(0.1)
        for link in two.first.connected:
            link.deliver(frame(encode_with_mac(approve(held[0]), two.first.mac)))
        assert (await paying).verdict is Verdict.SUCCEEDED
        await asyncio.sleep(0.1)
        assert two.statistics[0]["stray"] == 1  # the second copy
        await two.channel.close()

    play(work())


def test_one_connection_of_several_lost_loses_only_what_was_on_it() -> None:
    async def work() -> None:
        two = TwoHosts(connections="2")
        await two.channel.start()
        await asyncio.sleep(0.1)
        held: list[Message] = []
        two.first.answer = held.append
        paying = [asyncio.create_task(two.pay()) for _ in range(2)]
        await asyncio.sleep(0.1)
        two.first.connected[0].drop()
        for message in held:
            two.first.connected[1].deliver(frame(encode_with_mac(approve(message), two.first.mac)))
        verdicts = {(await one).verdict for one in paying}
        assert verdicts == {Verdict.UNKNOWN, Verdict.SUCCEEDED}
        assert (two.turns, two.channel.health().ready) == ([(0.0, True)], True)
        two.first.answer = approve
        assert (await two.pay()).verdict is Verdict.SUCCEEDED
        await asyncio.sleep(1)
        assert two.statistics[0]["connections"] == 2
        assert two.first.sign_ons == 1
        await two.channel.close()

    play(work())


def test_a_host_that_hangs_up_is_replaced_at_once() -> None:
    """What was in flight is unknown; the next sale goes to the second host, and stays there."""

    async def work() -> None:
        two = TwoHosts()
        await two.channel.start()
        await asyncio.sleep(0.1)
        two.first.answer = lambda _: None
        lost = asyncio.create_task(two.pay())
        await asyncio.sleep(0.1)
        two.first.cut()
        assert (await two.pay()).verdict is Verdict.SUCCEEDED
        assert (await lost).verdict is Verdict.UNKNOWN
        assert len(two.second.requests) == 1
        assert two.turns == [(0.0, True)]
        two.first.refusing = False
        await asyncio.sleep(60)
        assert two.statistics[0]["connections"] == 1
        assert (await two.pay()).verdict is Verdict.SUCCEEDED
        assert len(two.second.requests) == 2
        assert two.statistics[0]["take_overs"] == 1
        await two.channel.close()

    play(work())


def test_the_reversal_goes_where_the_line_is_now() -> None:
    """The second host knows the same terminal: it is told to undo what the first one lost."""

    async def work() -> None:
        two = TwoHosts()
        await two.channel.start()
        await asyncio.sleep(0.1)
        two.first.answer = lambda _: None
        request = two.request()
        paying = asyncio.create_task(two.channel.pay(request))
        await asyncio.sleep(0.1)
        two.first.cut()
        assert (await paying).verdict is Verdict.UNKNOWN
        assert (await two.channel.cancel(ref_of(request))).verdict is Verdict.SUCCEEDED
        assert [message.mti for message in two.second.requests] == ["0400"]
        await two.channel.close()

    play(work())


@pytest.mark.parametrize("connections", ["1", "3"])
def test_a_silent_host_is_replaced_within_five_seconds_of_a_sale(connections: str) -> None:
    """Nobody hangs up: the sale that got no answer, and an echo without one, tell it."""

    async def work() -> None:
        two = TwoHosts(connections=connections, echo_after_s="3600")
        await two.channel.start()
        await asyncio.sleep(100)
        two.first.silent = True
        began_s = asyncio.get_running_loop().time()
        lost = [asyncio.create_task(two.pay()) for _ in range(3)]
        await asyncio.sleep(5)
        assert all(one.done() for one in lost)
        assert {one.result().verdict for one in lost} == {Verdict.UNKNOWN}
        assert (await two.pay()).verdict is Verdict.SUCCEEDED
        assert asyncio.get_running_loop().time() - began_s < 5.1
        assert len(two.second.requests) == 1
        await two.channel.close()

    play(work())


def test_a_slow_issuer_is_no_dead_host() -> None:
    """The host answers echoes while a sale takes its twenty seconds: nothing is dropped."""

    async def work() -> None:
        two = TwoHosts()
        await two.channel.start()
        await asyncio.sleep(0.1)
        held: list[Message] = []
        two.first.answer = held.append
        paying = asyncio.create_task(two.pay())
        await asyncio.sleep(20)
        two.first.connected[0].deliver(frame(encode_with_mac(approve(held[0]), two.first.mac)))
        assert (await paying).verdict is Verdict.SUCCEEDED
        assert two.statistics[0]["lost"] == 0
        assert two.first.echoes >= 5
        await two.channel.close()

    play(work())


def guard_of(two: TwoHosts, open_s: float = 30.0) -> Guard:
    protection = Protection(
        failures=5,
        open_s=open_s,
        clock=LoopClock(),
        metrics=Metrics(),
        log=make_log("error", "json"),
    )
    guard = protection.guard("card1", None)
    two.channel.when_line_turns(guard.line_turned)
    return guard


def state_of(guard: Guard) -> BreakerState:
    return guard.breaker.state


@pytest.mark.parametrize("how", ["cut", "silent"])
def test_the_breaker_opens_within_five_seconds_and_a_probe_closes_it(how: str) -> None:
    """Both hosts gone: from then on nothing is begun; back again, one call goes first."""

    async def work() -> None:
        two = TwoHosts(echo_after_s="3600")
        guard = guard_of(two)
        await two.channel.start()
        await asyncio.sleep(10)
        assert state_of(guard) is BreakerState.CLOSED
        for host in (two.first, two.second):
            if how == "cut":
                host.cut()
            host.silent = True
        if how == "silent":
            two.second.cut()
            lost = asyncio.create_task(two.pay())
        await asyncio.sleep(5)
        assert state_of(guard) is BreakerState.OPEN
        assert not guard.breaker.admit(asyncio.get_running_loop().time())
        if how == "silent":
            assert lost.done()
        for host in (two.first, two.second):
            host.refusing = host.silent = False
        await asyncio.sleep(40)
        now_s = asyncio.get_running_loop().time()
        assert two.channel.health().ready
        assert guard.breaker.admit(now_s)
        assert not guard.breaker.admit(now_s)  # one probe at a time
        mark = guard.breaker.mark
        guard.heard(await two.pay(), mark)
        assert state_of(guard) is BreakerState.CLOSED
        await two.channel.close()

    play(work())


def test_no_host_at_the_start_is_told_too() -> None:
    async def work() -> None:
        two = TwoHosts()
        two.first.refusing = two.second.refusing = True
        guard = guard_of(two)
        await two.channel.start()
        assert state_of(guard) is BreakerState.OPEN
        assert asyncio.get_running_loop().time() <= 2.0
        two.second.refusing = False
        await asyncio.sleep(1)
        assert two.channel.health().ready
        assert guard.breaker.admit(asyncio.get_running_loop().time())
        await two.channel.close()

    play(work())


def test_keys_of_before_are_good_for_what_was_in_flight() -> None:
    """A sale under the first keys, answered under them after the second ones came."""

    async def work() -> None:
        two = TwoHosts()
        await two.channel.start()
        await asyncio.sleep(0.1)
        held: list[Message] = []
        two.first.answer = held.append
        paying = asyncio.create_task(two.pay())
        await asyncio.sleep(0.1)
        early = frame(encode_with_mac(approve(held[0]), two.first.mac))
        two.first.working = WorkingKeys(b"\5" * 16, b"\6" * 8)
        await asyncio.sleep(20)
        two.channel._link.sign_on_again()
        await asyncio.sleep(1)
        assert two.first.sign_ons == 2
        two.first.connected[0].deliver(early)
        assert (await paying).verdict is Verdict.SUCCEEDED
        await two.channel.close()

    play(work())


def test_late_words_are_told_with_their_number_and_once_each() -> None:
    """A late yes, its copy, one with a wrong MAC, and one of another batch under its trace."""

    async def work() -> None:
        two = TwoHosts(timeout_s="3")
        await two.channel.start()
        await asyncio.sleep(0.1)
        held: list[Message] = []
        two.first.answer = held.append
        request = two.request()
        assert (await two.channel.pay(request)).verdict is Verdict.UNKNOWN
        link = two.first.connected[0]
        link.deliver(frame(encode_with_mac(approve(held[0]), lambda _: b"00000000")))
        await asyncio.sleep(0.1)
        assert two.words == []
        link.deliver(frame(encode_with_mac(approve(held[0]), two.first.mac)))
        await asyncio.sleep(0.1)
        [word] = two.words
        assert isinstance(word, PaymentWord)
        assert (word.order_no, word.answer.amount_fen) == (request.order_no, 1990)
        assert two.statistics[0]["late"] == 2
        await two.channel.close()

    play(work())


def test_a_late_answer_without_a_batch_is_of_the_last_that_was_given_up() -> None:
    async def work() -> None:
        two = TwoHosts(timeout_s="3")
        await two.channel.start()
        await asyncio.sleep(0.1)
        held: list[Message] = []
        two.first.answer = held.append
        request = two.request()
        await two.channel.pay(request)
        fields = {n: value for n, value in approve(held[0]).fields.items() if n != 60}
        answer = Message(held[0].tpdu, held[0].header, "0210", fields)
        two.first.connected[0].deliver(frame(encode_with_mac(answer, two.first.mac)))
        await asyncio.sleep(0.1)
        assert [word.order_no for word in two.words] == [request.order_no]
        await two.channel.close()

    play(work())


def test_an_old_answer_never_answers_a_new_request_of_the_same_trace() -> None:
    """A million numbers later the trace comes again: the batch tells them apart."""

    async def work() -> None:
        two = TwoHosts(timeout_s="3")
        await two.channel.start()
        await asyncio.sleep(0.1)
        held: list[Message] = []
        two.first.answer = held.append
        old = two._payer.request("77000001000001000042")
        new = two._payer.request("77000001000002000042")
        assert (await two.channel.pay(old)).verdict is Verdict.UNKNOWN
        paying = asyncio.create_task(two.channel.pay(new))
        await asyncio.sleep(0.1)
        link = two.first.connected[0]
        link.deliver(frame(encode_with_mac(approve(held[0]), two.first.mac)))
        await asyncio.sleep(0.1)
        assert not paying.done()
        assert [word.order_no for word in two.words] == [old.order_no]
        link.deliver(frame(encode_with_mac(approve(held[1]), two.first.mac)))
        assert (await paying).order_no == new.order_no
        await two.channel.close()

    play(work())


def test_a_late_yes_to_a_refund_names_its_payment() -> None:
    """Only the yes: a late no may be to a repeat of what was paid out."""

    async def work() -> None:
        two = TwoHosts(timeout_s="3")
        await two.channel.start()
        await asyncio.sleep(0.1)
        held: list[Message] = []
        two.first.answer = held.append
        payment = ref_of(two.request())
        request = RefundRequest(
            refund_no=two.channel.new_refund_no(),
            payment=payment,
            amount_fen=990,
            currency="CNY",
            reason="",
            created_at_ms=payment.created_at_ms,
        )
        assert (await two.channel.refund(request)).verdict is Verdict.UNKNOWN
        link = two.first.connected[0]
        no = host_reply(held[0], sale_fields(held[0], "61"))
        link.deliver(frame(encode_with_mac(no, two.first.mac)))
        yes = host_reply(held[0], sale_fields(held[0], "00"))
        link.deliver(frame(encode_with_mac(yes, two.first.mac)))
        await asyncio.sleep(0.1)
        [word] = two.words
        assert isinstance(word, RefundWord)
        assert (word.order_no, word.refund_no) == (payment.order_no, request.refund_no)
        assert word.answer.amount_fen == request.amount_fen
        await two.channel.close()

    play(work())


def test_closing_waits_for_what_is_in_flight_on_every_connection() -> None:
    async def work() -> None:
        two = TwoHosts(connections="2", timeout_s="5")
        await two.channel.start()
        await asyncio.sleep(0.1)
        held: list[Message] = []
        two.first.answer = held.append
        paying = [asyncio.create_task(two.pay()) for _ in range(2)]
        await asyncio.sleep(0.1)
        closing = asyncio.create_task(two.channel.close())
        await asyncio.sleep(1)
        assert (await two.pay()).verdict is Verdict.NOT_SENT
        for message in held:
            two.first.connected[0].deliver(frame(encode_with_mac(approve(message), two.first.mac)))
        await closing
        assert {(await one).verdict for one in paying} == {Verdict.SUCCEEDED}
        assert two.first.open == two.second.open == []

    play(work())
