"""The card link: many in flight, signed on, kept alive, restored."""

import asyncio
from collections.abc import Callable

import pytest

from channels.inbound import PaymentWord
from channels.own_line import LateWord
from channels.port import AnswerLost, NotSent, Verdict
from channels.unionpay import card_in_flight, card_line, card_link
from channels.unionpay.card_adapter import CardChannel
from channels.unionpay.card_link import CardLink
from channels.unionpay.card_session import CardSession
from channels.unionpay.card_wire import build_echo
from channels.unionpay.plugin import CARD_SETTINGS
from domain.errors import ConfigurationError
from pos_protocol.codec import Message, encode_with_mac
from pos_protocol.framing import frame
from signing.pos import WorkingKeys
from tests.channels.rigs import CardRig, approve, ref_of


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same rules in a hundredth of the time."""
    monkeypatch.setattr(card_line, "BACKOFF_S", (0.01, 0.02))
    monkeypatch.setattr(card_line, "TICK_S", 0.01)
    monkeypatch.setattr(card_line, "SIGN_ON_PAUSE_S", 0.0)
    monkeypatch.setattr(card_line, "SIGN_ON_TIMEOUT_S", 0.05)
    monkeypatch.setattr(card_link, "KEY_WAIT_S", 0.2)
    monkeypatch.setattr(card_in_flight, "SWEEP_S", 0.01)


def adapter_of(rig: CardRig) -> CardChannel:
    assert isinstance(rig.channel, CardChannel)
    return rig.channel


def link_of(rig: CardRig) -> CardLink:
    return adapter_of(rig)._link


def session_of(rig: CardRig) -> CardSession:
    return link_of(rig)._line._sessions[0]


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition of the fakes, at most five seconds."""
    for _ in range(1_000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came true")


async def started(**settings: str) -> CardRig:
    rig = CardRig(**settings)
    await rig.start()
    return rig


async def test_many_in_flight_are_answered_out_of_order() -> None:
    rig = await started(timeout_s="5")
    held: list[Message] = []
    rig.host.answer = held.append
    requests = [rig.request() for _ in range(50)]
    paying = [asyncio.create_task(rig.channel.pay(request)) for request in requests]
    await until(lambda: len(held) == 50)
    for message in reversed(held):
        rig.host.connected[-1].deliver(frame(encode_with_mac(approve(message), rig.host.mac)))
    answers = await asyncio.gather(*paying)
    assert [answer.order_no for answer in answers] == [request.order_no for request in requests]
    assert {answer.verdict for answer in answers} == {Verdict.SUCCEEDED}
    await rig.close()


async def test_the_same_number_in_flight_twice_is_unknown_and_sent_once() -> None:
    rig = await started(timeout_s="0.3")
    rig.will_hang()
    request = rig.request()
    first, second = await asyncio.gather(rig.channel.pay(request), rig.channel.pay(request))
    assert (first.verdict, second.verdict) == (Verdict.UNKNOWN, Verdict.UNKNOWN)
    assert rig.numbers == [request.order_no]
    await rig.close()


async def test_a_sale_and_its_reversal_may_be_in_flight_together() -> None:
    rig = await started(timeout_s="0.3")
    rig.host.answer = lambda message: approve(message) if message.mti == "0400" else None
    request = rig.request()
    paying = asyncio.create_task(rig.channel.pay(request))
    await until(lambda: rig.numbers)
    assert (await rig.channel.cancel(ref_of(request))).verdict is Verdict.SUCCEEDED
    assert (await paying).verdict is Verdict.UNKNOWN
    await rig.close()


async def test_over_the_bound_nothing_is_sent() -> None:
    rig = await started(max_in_flight="2", timeout_s="0.3")
    rig.will_hang()
    answers = await asyncio.gather(*(rig.channel.pay(rig.request()) for _ in range(3)))
    assert [answer.verdict for answer in answers] == [
        Verdict.UNKNOWN,
        Verdict.UNKNOWN,
        Verdict.NOT_SENT,
    ]
    await rig.close()


async def test_a_late_answer_is_counted_and_told() -> None:
    rig = await started(timeout_s="0.3")
    words: list[LateWord] = []
    adapter_of(rig).when_late(words.append)
    held: list[Message] = []
    rig.host.answer = held.append
    request = rig.request()
    assert (await rig.channel.pay(request)).verdict is Verdict.UNKNOWN
    rig.host.connected[-1].deliver(frame(encode_with_mac(approve(held[0]), rig.host.mac)))
    await until(lambda: words)
    assert adapter_of(rig).line_statistics()[0]["late"] == 1
    assert isinstance(words[0], PaymentWord)
    assert (words[0].order_no, words[0].answer.amount_fen) == (request.order_no, 1990)
    assert words[0].answer.verdict is Verdict.SUCCEEDED
    rig.will_approve()
    assert (await rig.channel.pay(rig.request())).verdict is Verdict.SUCCEEDED
    await rig.close()


async def test_not_connected_is_told_at_once_and_mended_by_itself() -> None:
    rig = CardRig()
    rig.host.refusing = True
    await rig.start()
    assert not rig.channel.health().ready
    assert (await rig.channel.pay(rig.request())).verdict is Verdict.NOT_SENT
    rig.host.refusing = False
    await until(lambda: rig.channel.health().ready)
    assert (await rig.channel.pay(rig.request())).verdict is Verdict.SUCCEEDED
    await rig.close()


async def test_a_lost_link_makes_those_in_flight_unknown_and_reconnects() -> None:
    rig = await started(timeout_s="30")
    rig.will_hang()
    paying = [asyncio.create_task(rig.channel.pay(rig.request())) for _ in range(3)]
    await until(lambda: len(rig.numbers) == 3)
    rig.host.connected[-1].drop()
    answers = await asyncio.gather(*paying)
    assert {answer.verdict for answer in answers} == {Verdict.UNKNOWN}
    await until(lambda: rig.channel.health().ready)
    assert rig.host.sign_ons == 2
    await rig.close()


async def test_a_stream_that_cannot_be_cut_drops_the_link() -> None:
    rig = await started(timeout_s="30")
    rig.will_hang()
    paying = asyncio.create_task(rig.channel.pay(rig.request()))
    await until(lambda: rig.numbers)
    rig.host.connected[-1].deliver(b"\xff\xff\x00")
    assert (await paying).verdict is Verdict.UNKNOWN
    await until(lambda: len(rig.host.connected) == 2)
    await rig.close()


async def test_silence_is_tested_by_an_echo() -> None:
    rig = await started(echo_after_s="1")
    session_of(rig).heard_s -= 1
    await until(lambda: rig.host.echoes == 1)
    assert rig.channel.health().ready
    await rig.close()


async def test_an_echo_without_answer_drops_the_link() -> None:
    rig = await started(echo_after_s="1", echo_timeout_s="0.1")
    rig.host.answers_echo = False
    session_of(rig).heard_s -= 1
    await until(lambda: len(rig.host.connected) == 2)
    await rig.close()


async def test_a_refused_sign_on_keeps_the_channel_closed() -> None:
    rig = CardRig()
    rig.host.sign_on_code = "97"
    await rig.start()
    health = rig.channel.health()
    assert not health.ready
    assert "97" in health.detail
    await rig.close()


async def test_working_keys_that_do_not_check_keep_the_channel_closed() -> None:
    rig = CardRig()
    rig.host.working = WorkingKeys(b"\1" * 16, b"\2" * 8)
    handle = rig.host.handle

    def spoilt(message: Message) -> bytes | None:
        answer = handle(message)
        return answer if answer is None else answer[:-8] + bytes(8)

    rig.host.handle = spoilt  # type: ignore[method-assign]  # the host's keys arrive spoilt
    await rig.start()
    assert not rig.channel.health().ready
    await rig.close()


@pytest.mark.parametrize("code", ["77", "99", "A0"])
async def test_an_answer_that_says_so_makes_the_link_sign_on_again(code: str) -> None:
    rig = await started()
    rig.host.working = WorkingKeys(b"\3" * 16, b"\4" * 8)
    rig.host.answer = lambda message: encode_with_mac(
        Message(
            message.tpdu,
            message.header,
            "0210",
            {**{n: message.fields[n] for n in (3, 4, 11, 41, 42)}, 39: code},
        ),
        rig.host.mac,
    )
    assert (await rig.channel.pay(rig.request())).verdict is not Verdict.SUCCEEDED
    await until(lambda: rig.host.sign_ons == 2)
    await until(lambda: rig.channel.health().ready)
    rig.will_approve()
    assert (await rig.channel.pay(rig.request())).verdict is Verdict.SUCCEEDED
    await rig.close()


async def test_the_header_can_ask_for_a_sign_on_too() -> None:
    rig = await started()
    rig.host.answer = lambda message: Message(
        message.tpdu, bytes.fromhex("602203000000"), "0210", approve(message).fields
    )
    assert (await rig.channel.pay(rig.request())).verdict is Verdict.SUCCEEDED
    await until(lambda: rig.host.sign_ons == 2)
    await rig.close()


async def test_a_payment_during_a_sign_on_waits_for_the_keys() -> None:
    rig = await started()
    link = link_of(rig)
    link._line.keys = None
    link._line._signing_on = True
    link._line.settled.clear()
    paying = asyncio.create_task(rig.channel.pay(rig.request()))
    await asyncio.sleep(0.02)
    assert not rig.numbers
    link._line._signing_on = False
    assert (await paying).verdict is Verdict.SUCCEEDED
    await rig.close()


async def test_closing_lets_those_in_flight_finish_and_nobody_else_in() -> None:
    rig = await started(timeout_s="5")
    held: list[Message] = []
    rig.host.answer = held.append
    paying = asyncio.create_task(rig.channel.pay(rig.request()))
    await until(lambda: held)
    closing = asyncio.create_task(rig.close())
    await asyncio.sleep(0.01)
    assert (await rig.channel.pay(rig.request())).verdict is Verdict.NOT_SENT
    rig.host.connected[-1].deliver(frame(encode_with_mac(approve(held[0]), rig.host.mac)))
    await closing
    assert (await paying).verdict is Verdict.SUCCEEDED
    assert len(held) == 1


async def test_nothing_is_left_waiting_after_an_exchange() -> None:
    rig = await started(timeout_s="0.3")
    link, number = link_of(rig), rig.channel.new_order_no()
    rig.host.answers_echo = False
    with pytest.raises(AnswerLost):
        await link.exchange(build_echo(rig.account), "nobody", number)
    assert not len(link.in_flight)
    rig.host.connected[-1].stuck = True
    with pytest.raises(NotSent):
        await link.exchange(build_echo(rig.account), "nobody", number)
    assert not len(link.in_flight)
    assert session_of(rig).pending == 0
    await rig.close()


async def test_a_reversal_of_another_terminals_number_is_for_a_human() -> None:
    rig = await started()
    ref = ref_of(rig.request("99999999000001000001"))
    assert (await rig.channel.cancel(ref)).verdict is Verdict.DECLINED
    assert not rig.numbers
    await rig.close()


BAD_SETTINGS = [
    ("port", "70000"),
    ("port", "-1"),
    ("merchant_id", "short"),
    ("terminal_id", "7700-001"),
    ("tpdu", "60"),
    ("header", "zz"),
    ("mac", "md5"),
    ("mac", "cup-sm4"),
    ("declines_need_mac", "perhaps"),
    ("max_in_flight", "0"),
    ("undo_retry_s", ""),
]


@pytest.mark.parametrize(("name", "value"), BAD_SETTINGS)
def test_a_setting_that_cannot_be_used_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        CardRig(**{name: value})


def test_every_setting_explains_itself() -> None:
    assert all(setting.help for setting in CARD_SETTINGS)
    assert {setting.name for setting in CARD_SETTINGS if setting.secret} == {"tmk"}
