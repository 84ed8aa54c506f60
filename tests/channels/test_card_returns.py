"""Holds, completions, refunds and balances of the card adapter, beyond the contracts."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from channels.card import CardAction, CardData, HoldRef, TerminalPin
from channels.card_abilities import balance_of, takes_action
from channels.port import RefundRequest, Verdict
from channels.unionpay.card_codes import COMPLETION_CODES, REFUND_CODES, SALE_CODES
from channels.unionpay.card_messages import REFUND, VOIDS
from channels.unionpay.card_refund_wire import build_refund, read_refund, refund_message
from channels.unionpay.card_time import host_time_ms
from channels.unionpay.card_wire import Reply
from domain.clock import beijing
from domain.decline import DeclineReason
from gateway.breaker import is_failure
from pos_protocol.codec import Message, decode, encode, encode_with_mac
from signing.pos import CipherKey
from tests.channels.refund_rigs import SALE_NO, CardRefundRig
from tests.channels.rigs import (
    HELD,
    PAN,
    TERMINAL,
    AlipayRig,
    CardRig,
    CompletionRig,
    HostAnswer,
    answering,
    host_reply,
    ref_of,
    sale_fields,
    unsigned,
    with_wrong_mac,
)

NUMBER = TERMINAL + "000001" + "000456"
NOON_MS = 1_795_320_000_000
"""2026-11-22 12:00:00 in Beijing."""
HOUR_MS = 3_600_000


@pytest.fixture
async def rig() -> AsyncIterator[CardRefundRig]:
    rig = CardRefundRig()
    await rig.start()
    yield rig
    await rig.close()


def whole(rig: CardRefundRig, paid_ms: int, refunded_ms: int, **more: object) -> RefundRequest:
    payment = replace(rig.payment, created_at_ms=paid_ms, paid_at_ms=paid_ms)
    request = replace(rig.refund_request(1990, NUMBER), payment=payment, created_at_ms=refunded_ms)
    return replace(request, **more)  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize("action", [CardAction.SALE, CardAction.COMPLETE])
def test_the_whole_on_the_same_beijing_day_is_a_void(action: CardAction) -> None:
    rig = CardRefundRig()
    request = whole(rig, NOON_MS, NOON_MS + 11 * HOUR_MS)
    request = replace(request, payment=replace(request.payment, action=action))
    assert refund_message(request) is VOIDS[action]


@pytest.mark.parametrize(
    "change",
    [
        {"amount_fen": 1989},
        {"created_at_ms": NOON_MS + 12 * HOUR_MS},
        {"refund_no": TERMINAL + "000002" + "000456"},
    ],
    ids=["a part", "the next day", "the next batch"],
)
def test_everything_else_is_a_refund(change: dict[str, object]) -> None:
    rig = CardRefundRig()
    assert refund_message(whole(rig, NOON_MS, NOON_MS, **change)) is REFUND


def test_near_midnight_the_day_is_the_hosts() -> None:
    """Begun at 23:59:59 and taken at 00:00:01: the date of F61 is the host's."""
    rig = CardRefundRig()
    midnight_ms = NOON_MS + 12 * HOUR_MS
    request = whole(rig, midnight_ms - 1000, midnight_ms + HOUR_MS)
    request = replace(request, payment=replace(request.payment, paid_at_ms=midnight_ms + 1000))
    assert refund_message(request) is VOIDS[CardAction.SALE]
    assert decode(build_refund(request, rig.account, rig.keys)).text(61)[12:] == "1123"


@pytest.mark.parametrize("repeated", [False, True])
def test_a_repeat_is_the_same_bytes(repeated: bool) -> None:
    rig = CardRefundRig()
    for amount_fen in (1990, 500):
        request = rig.refund_request(amount_fen, NUMBER)
        again = replace(request, repeated=repeated)
        first = build_refund(request, rig.account, rig.keys)
        assert build_refund(again, rig.account, rig.keys) == first


def verdict_of(
    code: str, rig: CardRefundRig, request: RefundRequest, *, mac: bool = True
) -> Verdict:
    asked = decode(build_refund(request, rig.account, rig.keys))
    reply = host_reply(asked, sale_fields(asked, code))
    raw = encode_with_mac(reply, rig.host.mac) if mac else encode(reply)
    return read_refund(Reply(raw, decode(raw)), request, rig.account, (rig.keys,)).verdict


@pytest.mark.parametrize("code", sorted(REFUND_CODES))
def test_every_listed_refund_code_has_its_verdict_and_a_no_its_reason(code: str) -> None:
    """A yes needs its MAC, a no may come without."""
    rig, rule = CardRefundRig(), REFUND_CODES[code]
    request = rig.refund_request(500, NUMBER)
    assert verdict_of(code, rig, request) is rule.verdict
    assert (rule.reason is not None) == (rule.verdict is Verdict.DECLINED) == rule.unsigned
    unsigned_verdict = Verdict.DECLINED if rule.unsigned else Verdict.UNKNOWN
    assert verdict_of(code, rig, request, mac=False) is unsigned_verdict


OPEN = ["10", "68", "77", "90", "91", "92", "94", "96", "98", "99", "A0", "A7", "ZZ"]


@pytest.mark.parametrize("code", OPEN)
def test_codes_that_leave_a_refund_open_are_not_listed(code: str) -> None:
    rig = CardRefundRig()
    assert code not in REFUND_CODES
    assert verdict_of(code, rig, rig.refund_request(500, NUMBER)) is Verdict.UNKNOWN


@pytest.mark.parametrize("code", ["25", "64", "61", "22"])
def test_what_is_wrong_with_the_original_is_a_definitive_no(code: str) -> None:
    assert REFUND_CODES[code].verdict is Verdict.DECLINED


@pytest.mark.parametrize("code", ["25", "61", "14", "03"])
async def test_the_no_to_a_repeat_is_believed_only_of_a_host_with_a_memory(code: str) -> None:
    """The first may have returned the money, and this is what it looks like afterwards."""
    for alike, verdict in (("false", Verdict.UNKNOWN), ("true", Verdict.DECLINED)):
        rig = CardRefundRig(repeats_answered_alike=alike)
        await rig.start()
        rig.host.answer = answering(code)
        request = rig.refund_request(500)
        assert (await rig.ability.refund(request)).verdict is Verdict.DECLINED
        again = await rig.ability.refund(replace(request, repeated=True))
        await rig.close()
        assert (again.verdict, again.channel_code) == (verdict, code)
        assert not is_failure(again)


async def test_a_question_about_a_refund_sends_nothing(rig: CardRefundRig) -> None:
    asked = await rig.ability.query_refund(rig.refund_request(500))
    assert (asked.verdict, asked.not_found) == (Verdict.UNKNOWN, True)
    assert not rig.refund_numbers


async def test_a_refund_that_cannot_be_ours_is_refused_and_never_sent(rig: CardRefundRig) -> None:
    """Unless it may have been sent before: then nobody can say."""
    good = rig.refund_request(500)
    foreign = "88" + SALE_NO[2:]
    for bad in (
        replace(good, refund_no=foreign),
        replace(good, payment=replace(good.payment, order_no=foreign)),
        replace(good, payment=replace(good.payment, action=CardAction.AUTHORISE)),
        replace(good, payment=replace(good.payment, reference="é")),
        replace(good, currency="USD"),
    ):
        answer = await rig.ability.refund(bad)
        assert (answer.verdict, answer.reason) == (
            Verdict.DECLINED,
            DeclineReason.CONFIGURATION,
        )
        again = await rig.ability.refund(replace(bad, repeated=True))
        assert again.verdict is Verdict.UNKNOWN
    assert not rig.refund_numbers


async def test_a_refund_has_a_trace_of_its_own_and_leaves_the_card_out(rig: CardRefundRig) -> None:
    request = rig.refund_request(500)
    await rig.ability.refund(request)
    [message] = rig.host.requests
    assert rig.refund_numbers == [request.refund_no]
    assert request.refund_no != request.payment.order_no
    assert not {2, 14, 23, 26, 35, 36, 52, 53, 55} & message.fields.keys()


def test_a_card_link_holds_and_completes_and_others_only_sell() -> None:
    card, alipay = CardRig().channel, AlipayRig().channel
    assert all(takes_action(card, action) for action in CardAction)
    assert [takes_action(alipay, action) for action in CardAction] == [
        action is CardAction.SALE for action in CardAction
    ]
    assert balance_of(alipay) is None


@pytest.mark.parametrize("code", ["25", "64"])
async def test_a_completion_is_told_what_is_wrong_with_its_hold(code: str) -> None:
    """A sale with the same word stays open: it makes no sense there."""
    assert code not in SALE_CODES
    assert COMPLETION_CODES[code].verdict is Verdict.DECLINED
    for make, verdict in ((CompletionRig, Verdict.DECLINED), (CardRig, Verdict.UNKNOWN)):
        rig = make()
        await rig.start()
        rig.host.answer = answering(code)
        assert (await rig.channel.pay(rig.request())).verdict is verdict
        await rig.close()


@pytest.mark.parametrize(
    ("action", "original"),
    [
        (CardAction.COMPLETE, None),
        (CardAction.COMPLETE, HoldRef(order_no="88" + SALE_NO[2:], held_at_ms=0)),
        (CardAction.SALE, HELD),
        (CardAction.AUTHORISE, HELD),
    ],
)
async def test_only_a_completion_names_a_hold_and_it_is_ours(
    action: CardAction, original: HoldRef | None
) -> None:
    rig = CardRig()
    await rig.start()
    answer = await rig.channel.pay(replace(rig.request(), action=action, original=original))
    await rig.close()
    assert (answer.verdict, answer.unwritable) == (Verdict.NOT_SENT, True)
    assert not rig.numbers


def test_an_authorisation_code_shows_in_no_text() -> None:
    request = CompletionRig().request(NUMBER)
    assert HELD.auth_code not in repr((request, request.original, ref_of(request)))


def card() -> CardData:
    return CardData(pan=PAN, entry_mode="022", track2=f"{PAN}=30121010000000000")


def told(fen: str = "C000000012345") -> HostAnswer:
    return answering("00", f54=f"1002156{fen}")


async def balance(answer: HostAnswer, card: CardData) -> tuple[CardRig, object, Verdict]:
    rig = CardRig(timeout_s="0.1")
    await rig.start()
    rig.host.answer = answer
    ability = balance_of(rig.channel)
    assert ability is not None
    found = await ability.balance(card)
    await rig.close()
    assert (found.amounts != ()) == (found.verdict is Verdict.SUCCEEDED)
    assert (found.reason is not None) == (found.verdict is Verdict.DECLINED)
    assert "12345" not in repr(found)
    return rig, found.amounts, found.verdict


async def test_a_balance_is_asked_under_a_number_of_its_own() -> None:
    rig, amounts, _ = await balance(told(), card())
    assert amounts == (("10", "02", "156", 12345),)
    assert rig.numbers[0] != rig.channel.new_order_no()
    assert 4 not in rig.host.requests[0].fields


def without(*numbers: int) -> HostAnswer:
    def answer(message: Message) -> Message:
        fields = sale_fields(message, "00", f54="1002156C000000012345")
        return host_reply(message, {n: v for n, v in fields.items() if n not in numbers})

    return answer


UNTRUSTED: dict[str, HostAnswer] = {
    "silence": lambda message: None,
    "no MAC": unsigned("00"),
    "a wrong MAC": with_wrong_mac("00"),
    "no amount": answering("00"),
    "no whole amount": answering("00", f54="1002156C00000001234"),
    "no sign": told("X000000012345"),
    "another trace": answering("00", f11="999999", f54="1002156C000000012345"),
    "another processing code": answering("00", f3="000000", f54="1002156C000000012345"),
    "no processing code": without(3),
    "switch down": answering("96"),
}


@pytest.mark.parametrize("name", UNTRUSTED)
async def test_a_balance_that_cannot_be_trusted_is_unknown(name: str) -> None:
    assert (await balance(UNTRUSTED[name], card()))[2] is Verdict.UNKNOWN


@pytest.mark.parametrize("code", ["14", "55", "40"])
async def test_a_refused_balance_has_its_reason(code: str) -> None:
    assert (await balance(answering(code), card()))[2] is Verdict.DECLINED


async def test_a_balance_with_an_unreadable_pin_block_is_never_sent() -> None:
    pin = TerminalPin(bytes(8), CipherKey(bytes(range(16))), with_pan=True)
    rig, _, verdict = await balance(told(), replace(card(), pin=pin))
    assert verdict is Verdict.DECLINED
    assert not rig.numbers


@pytest.mark.parametrize(
    ("date", "time", "near", "found"),
    [
        ("1122", "151538", NOON_MS, "2026-11-22 15:15:38"),
        ("0101", "000001", 1_798_732_799_000, "2027-01-01 00:00:01"),
        ("1231", "235959", 1_798_732_801_000, "2026-12-31 23:59:59"),
        ("0229", "120000", 1_835_409_600_000, "2028-02-29 12:00:00"),
    ],
)
def test_the_hosts_time_is_in_the_nearest_year(date: str, time: str, near: int, found: str) -> None:
    assert f"{beijing(host_time_ms(date, time, near)):%Y-%m-%d %H:%M:%S}" == found


@pytest.mark.parametrize(("date", "time"), [("", ""), ("1322", "151538"), ("1122", "246060")])
def test_what_is_no_time_is_none(date: str, time: str) -> None:
    assert host_time_ms(date, time, NOON_MS) == 0
