"""The holes that payment gateways really had, as far as UnionPay's two links could have them.

One or more for each (reference ``channels.md`` G, by its number there); ``docs/unionpay.md``
lists them with those that are tested elsewhere, and the last test here holds the list true.
1 is XML's: neither link speaks it.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import pytest

from channels.bills import BillRefused
from channels.inbound import InboundRequest, NoticeRefused, PaymentWord, RefundWord, Word
from channels.port import (
    HttpResponse,
    PaymentRef,
    PayRequest,
    RefundRequest,
    Verdict,
    refunds_of,
)
from channels.unionpay.card_wire import (
    Reply,
    build_reversal,
    build_sale,
    original_of,
    read_reversal,
    read_sale,
)
from channels.unionpay.files import BILLS
from channels.unionpay.qr_notices import read_notice
from channels.unionpay.qr_wire import read_query
from channels.unionpay.qr_wire import read_reversal as read_qr_reversal
from domain.errors import ConfigurationError
from domain.money import MoneyError
from pos_protocol.codec import CodecError, decode, encode_with_mac
from signing.unionpay import rsa_signature
from tests.channels.qr_rigs import (
    MER_ID,
    QR_CODE,
    UnionPayQrRefundRig,
    UnionPayQrRig,
    acp_answer,
    echo,
    found,
)
from tests.channels.rigs import MASTER, PAN, TERMINAL, CardRig, answering, approve, ref_of
from tests.channels.unionpay_files import lines, zipped, zm_row
from tests.support.acp_chain import chain
from tests.support.holes import check_holes

ORDER = TERMINAL + "000123" + "000456"
NOW_MS = 1_795_331_737_042  # 2026-11-22 15:15:37 in Beijing
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Shanghai"])
def machine_zone(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield
    os.environ.pop("TZ") if before is None else os.environ.__setitem__("TZ", before)
    time.tzset()


def sold(rig: CardRig, code: str = "00", **changes: str) -> Verdict:
    """What a sale comes to that is answered so, under a good MAC."""
    request = rig.request(ORDER)
    assert request.card is not None
    asked = decode(build_sale(request, request.card, rig.account, rig.keys))
    answer = answering(code, **changes)(asked)
    assert answer is not None and not isinstance(answer, bytes)
    payload = encode_with_mac(answer, rig.host.mac)
    reply = Reply(payload, decode(payload))
    return read_sale(reply, request, rig.account, (rig.keys,)).verdict


def notice(rig: UnionPayQrRig, **changes: str) -> InboundRequest:
    """A notification, signed by UnionPay's own key unless it says otherwise."""
    own = chain()[2]
    fields = {
        "version": "5.1.0", "signMethod": "01", "signPubKeyCert": own.pem, "merId": MER_ID,
        "orderId": "ORDERNUMBER1", "txnTime": "20261122151537", "txnType": "01",
        "txnSubType": "06", "respCode": "00", "txnAmt": "1990", "currencyCode": "156",
        "queryId": "951811221515371234568", **changes,
    }  # fmt: skip
    fields.setdefault("signature", rsa_signature(fields, own.key))
    body = urlencode(fields).encode()
    return InboundRequest(method="POST", headers={}, body=body)


def heard(rig: UnionPayQrRig, **changes: str) -> Word:
    return read_notice(notice(rig, **changes), rig.account, rig.clock.ms)


# --- 2: a good signature, the wrong order


@pytest.mark.parametrize(
    "changes",
    [
        {"f4": "000000000001"},
        {"f11": "000457"},
        {"f41": "77000002"},
        {"f42": "898000000000002"},
        {"f49": "840"},
        {"f3": "200000"},
    ],
)
def test_g2_a_card_answer_under_a_good_mac_counts_for_its_own_sale_alone(
    changes: dict[str, str],
) -> None:
    rig = CardRig()
    assert sold(rig) is Verdict.SUCCEEDED
    assert sold(rig, **changes) is Verdict.UNKNOWN


async def test_g2_a_code_of_another_order_or_merchant_pays_nothing() -> None:
    rig = UnionPayQrRig()
    request = rig.request()
    for change in ({"orderId": "ANOTHERORDER"}, {"merId": "777290058110099"}, {"txnTime": "2026"}):
        rig.answers(lambda asked, change=change: found(asked | change))  # type: ignore[misc]
        assert (await rig.channel.query(ref_of(request))).verdict is Verdict.UNKNOWN


# --- 3: replay


async def test_g3_an_answer_that_was_heard_before_answers_no_other_order() -> None:
    """Recorded and played again, signature and all."""
    rig = UnionPayQrRig()
    first, second = rig.request(), rig.request()
    recorded = found(rig.asked(first.order_no, "20261122151537"))
    rig.answers(lambda asked: recorded)
    assert (await rig.channel.query(ref_of(first))).verdict is Verdict.SUCCEEDED
    assert (await rig.channel.query(ref_of(second))).verdict is Verdict.UNKNOWN


def test_g3_a_notice_however_often_is_only_a_reason_to_ask() -> None:
    rig = UnionPayQrRig()
    for _ in range(3):
        word = heard(rig)
        assert isinstance(word, PaymentWord)
        assert (word.ask_first, word.answer.verdict) == (True, Verdict.PENDING)


async def test_g3_a_card_answer_played_again_finds_nobody() -> None:
    """Its trace is not in flight any more; of another sale it is counted and not booked."""
    rig = CardRig()
    await rig.start()
    assert (await rig.channel.pay(rig.request())).verdict is Verdict.SUCCEEDED
    recorded = encode_with_mac(approve(rig.host.requests[0]), rig.host.mac)
    rig.host.answer = lambda message: recorded
    assert (await rig.channel.pay(rig.request())).verdict is Verdict.UNKNOWN
    await rig.close()


# --- 4: a probe instead of a signature


@pytest.mark.parametrize("signature", ["%%%", "WECHATPAY/SIGNTEST/x", "不", "A", ""])
def test_g4_a_signature_that_is_no_base64_is_refused_and_crashes_nothing(signature: str) -> None:
    with pytest.raises(NoticeRefused) as refused:
        heard(UnionPayQrRig(), signature=signature)
    assert refused.value.reply.status == 400


# --- 5: money as a float


def test_g5_a_card_amount_is_whole_fen_or_is_not_sent() -> None:
    rig = CardRig()
    request = rig.request(ORDER)
    assert request.card is not None
    for amount_fen in (1, 980, 1990, 10_000_000_000):
        one = replace(request, amount_fen=amount_fen)
        sent = decode(build_sale(one, request.card, rig.account, rig.keys))
        assert int(sent.text(4)) == amount_fen
    for wrong in (19.9, -1, 10**12):
        with pytest.raises((CodecError, MoneyError)):
            build_sale(
                replace(request, amount_fen=wrong),  # type: ignore[arg-type]  # on purpose
                request.card,
                rig.account,
                rig.keys,
            )


# --- 6: the machine's time zone


@pytest.mark.usefixtures("machine_zone")
def test_g6_the_day_of_a_card_order_is_beijings() -> None:
    """23:30 in Beijing is 15:30 in UTC and 10:30 in New York: the same day everywhere."""
    at_ms = NOW_MS + 8 * 3_600_000 + 20 * 60_000
    assert original_of(ORDER, at_ms) == "000123000456" + "1122"
    assert original_of(ORDER, at_ms + 3_600_000) == "000123000456" + "1123"


# --- 7: a retry under a new number


async def test_g7_every_repeat_of_a_code_payment_has_the_same_number_and_time() -> None:
    rig = UnionPayQrRig()
    request = rig.request("ORDERNUMBER1")
    ref = ref_of(request)
    rig.respond = lambda asked: HttpResponse(502, {}, b"")
    for _ in range(2):
        await rig.channel.pay(request)
        await rig.channel.query(ref)
        await rig.channel.cancel(ref)
    named = {(sent["orderId"], sent["txnTime"]) for sent in rig.requests}
    assert named == {("ORDERNUMBER1", "20261122151537")}


async def test_g7_every_repeat_of_a_card_message_has_the_same_number() -> None:
    rig = CardRig()
    await rig.start()
    rig.host.answer = lambda message: None
    request = rig.request()
    refunds = refunds_of(rig.channel)
    assert refunds is not None
    refund = RefundRequest(
        refund_no=refunds.new_refund_no(), payment=ref_of(request), amount_fen=5,
        currency="CNY", reason="", created_at_ms=NOW_MS,
    )  # fmt: skip
    await rig.channel.pay(request)
    for _ in range(2):
        await rig.channel.cancel(ref_of(request))
        await refunds.refund(refund)
    await rig.close()
    assert set(rig.numbers) == {request.order_no, refund.refund_no}


# --- 8: polling while somebody waits


async def test_g8_a_call_sends_one_message_and_polls_nothing() -> None:
    """Asking again is the gateway's, on a schedule that is data; a till's patience cuts it."""
    rig = UnionPayQrRig()
    await rig.channel.pay(rig.request())
    assert len(rig.requests) == 1
    assert rig.channel.schedule.query_after_s == (1, 2, 4, 8, 16, 32)


# --- 9: the order's number under its refund


async def test_g9_every_operation_has_an_order_id_of_its_own() -> None:
    rig = UnionPayQrRefundRig()
    for amount_fen in (500, 490):
        await rig.ability.refund(rig.refund_request(amount_fen))
    numbers = [sent["orderId"] for sent in rig.requests]
    assert len({*numbers, rig.payment.order_no}) == 3
    assert {sent["origQryId"] for sent in rig.requests} == {rig.payment.trade_no}


# --- 10: fields that the operation does not know


async def test_g10_nothing_is_sent_that_the_operation_does_not_know() -> None:
    rig = UnionPayQrRig(terminal_id="01080209")
    await rig.channel.pay(replace(rig.request(), store_id="S1", terminal_id="T1"))
    assert rig.requests[0].keys() == {
        "version", "encoding", "accessType", "merId", "certId", "signMethod", "txnType",
        "txnSubType", "bizType", "channelType", "orderId", "txnTime", "txnAmt",
        "currencyCode", "qrNo", "termId", "backUrl", "signature",
    }  # fmt: skip


# --- 11: an undo that is not through, taken as done


@pytest.mark.parametrize("code", ["03", "04", "05", "06", "12", "34", "35", "Z9", ""])
def test_g11_only_a_listed_yes_ends_the_reversal_of_a_code(code: str) -> None:
    rig = UnionPayQrRig()
    ref = ref_of(rig.request("ORDERNUMBER1"))
    asked = rig.asked("ORDERNUMBER1", "20261122151537", "99", "01")

    def undone(told: str) -> Verdict:
        body = acp_answer(echo(asked, told))
        return read_qr_reversal(HttpResponse(200, {}, body), rig.account, ref, NOW_MS).verdict

    assert undone(code) is Verdict.UNKNOWN
    assert undone("00") is Verdict.SUCCEEDED


@pytest.mark.parametrize("code", ["06", "09", "68", "94", "96", "98", "A0"])
def test_g11_only_a_listed_yes_ends_the_reversal_of_a_sale(code: str) -> None:
    rig = CardRig()
    ref = ref_of(rig.request(ORDER))
    asked = decode(build_reversal(ref, rig.account, rig.keys))

    def undone(told: str) -> Verdict:
        answer = answering(told)(asked)
        assert answer is not None and not isinstance(answer, bytes)
        payload = encode_with_mac(answer, rig.host.mac)
        reply = Reply(payload, decode(payload))
        return read_reversal(reply, ref, rig.account, (rig.keys,)).verdict

    assert undone(code) is Verdict.UNKNOWN
    assert undone("00") is Verdict.SUCCEEDED


# --- 12: bytes that somebody in between wrote anew


def test_g12_a_card_answer_that_was_changed_anywhere_is_no_approval() -> None:
    """One bit of any byte under the MAC, or of the MAC: never a yes, never a crash."""
    rig = CardRig()
    request = rig.request(ORDER)
    assert request.card is not None
    asked = decode(build_sale(request, request.card, rig.account, rig.keys))
    payload = encode_with_mac(approve(asked), rig.host.mac)
    covered = range(11, len(payload))  # behind TPDU and header
    for place in covered:
        changed = bytearray(payload)
        changed[place] ^= 1
        try:
            message = decode(bytes(changed))
        except CodecError:
            continue
        reply = Reply(bytes(changed), message)
        answer = read_sale(reply, request, rig.account, (rig.keys,))
        assert answer.verdict is not Verdict.SUCCEEDED, place


def test_g12_an_answer_of_acp_is_verified_as_it_came() -> None:
    """Its fields in another order are the same answer; one value written anew is none."""
    rig = UnionPayQrRig()
    ref = ref_of(rig.request("ORDERNUMBER1"))
    body = acp_answer(found(rig.asked("ORDERNUMBER1", "20261122151537"), note="a b/c"))

    def read(raw: bytes) -> Verdict:
        return read_query(HttpResponse(200, {}, raw), rig.account, ref, NOW_MS).verdict

    assert read(body) is Verdict.SUCCEEDED
    assert read(body.replace(b"note=a b/c", b"note=a+b/c")) is Verdict.UNKNOWN
    assert read(body.replace(b"note=a b/c", b"note=a%20b%2Fc")) is Verdict.UNKNOWN
    assert read(body + b"&more=1") is Verdict.UNKNOWN
    first, _, rest = body.partition(b"&")
    assert read(rest + b"&" + first) is Verdict.SUCCEEDED


# --- 13: names inside an archive


def test_g13_a_name_inside_an_archive_becomes_no_path(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    path = inside / "day.zip"
    name = "../../INN15090688ZM_802310048993424"
    path.write_bytes(zipped({name: lines([zm_row("ORDERA", 1990, 12)])}))
    with pytest.raises(BillRefused, match="leads out"):
        BILLS.open("zm", path)
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["day.zip", "in"]


# --- 14: columns that moved


@pytest.mark.parametrize("place", [40, 70, 112, 170, 215])
def test_g14_a_record_whose_columns_moved_is_refused(tmp_path: Path, place: int) -> None:
    row = zm_row("ORDERA", 1990, 12)
    moved = row[:place] + b"0" + row[place:-1]
    path = tmp_path / "INN15090688ZM_1"
    path.write_bytes(lines([moved]))
    with pytest.raises(BillRefused):
        list(BILLS.open("zm", path))


# --- 15: the notice of a part refund


@pytest.mark.parametrize("txn_type", ["04", "31", "33"])
def test_g15_the_notice_of_a_return_is_no_payment(txn_type: str) -> None:
    changes = {"txnType": txn_type, "txnSubType": "00", "txnAmt": "500", "orderId": "REFUNDNO1"}
    word = heard(UnionPayQrRig(), **changes, reqReserved="ORDERNUMBER1")
    assert isinstance(word, RefundWord)
    assert (word.order_no, word.refund_no, word.ask_first) == ("ORDERNUMBER1", "REFUNDNO1", True)


# --- 16: downgrades


@pytest.mark.parametrize(
    "changes", [{"version": "5.0.0"}, {"signMethod": "11"}, {"signMethod": "12"}, {"version": ""}]
)
def test_g16_no_weaker_signature_is_taken(changes: dict[str, str]) -> None:
    with pytest.raises(NoticeRefused):
        heard(UnionPayQrRig(), **changes)


@pytest.mark.parametrize("name", ["base_url", "file_url", "authorise_url"])
def test_g16_a_way_without_tls_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        UnionPayQrRig(clock=None, **{name: "http://gateway.95516.com"})


def test_g16_an_approval_of_a_card_needs_its_mac() -> None:
    rig = CardRig()
    request = rig.request(ORDER)
    assert request.card is not None
    asked = decode(build_sale(request, request.card, rig.account, rig.keys))
    payload = encode_with_mac(approve(asked), lambda covered: b"00000000")
    reply = Reply(payload, decode(payload))
    assert read_sale(reply, request, rig.account, (rig.keys,)).verdict is Verdict.UNKNOWN


# --- 17: numbers of another merchant


def test_g17_a_notice_for_another_merchant_is_refused() -> None:
    with pytest.raises(NoticeRefused):
        heard(UnionPayQrRig(), merId="777290058110099")


async def test_g17_a_number_of_another_terminal_is_never_sent() -> None:
    rig = CardRig()
    await rig.start()
    foreign = replace(ref_of(rig.request(ORDER)), order_no="77000002" + ORDER[8:])
    assert (await rig.channel.cancel(foreign)).verdict is Verdict.DECLINED
    request = replace(rig.request(ORDER), order_no=foreign.order_no)
    assert (await rig.channel.pay(request)).verdict is Verdict.NOT_SENT
    await rig.close()
    assert rig.numbers == []


# --- 18: secrets in texts


async def test_g18_no_card_no_key_and_no_code_is_in_any_text() -> None:
    rig, codes = CardRig(), UnionPayQrRig()
    await rig.start()
    request = rig.request()
    assert request.card is not None
    texts = [repr(request), repr(await rig.channel.pay(request)), repr(rig.account)]
    texts += [repr(rig.channel), str(rig.channel.health()), repr(rig.keys)]
    rig.host.answer = lambda message: b"\x60" * 40
    texts.append(repr(await rig.channel.pay(rig.request())))
    await rig.close()
    payment: PayRequest = codes.request()
    texts += [repr(payment), repr(await codes.channel.pay(payment)), repr(codes.account)]
    refund = UnionPayQrRefundRig()
    ref: PaymentRef = refund.payment
    texts += [repr(ref), repr(await refund.ability.refund(refund.refund_request(5)))]
    with pytest.raises(NoticeRefused) as refused:
        heard(codes, signature="A", accNo=PAN)
    texts.append(str(refused.value))
    secrets = (PAN, request.card.track2, MASTER.hex(), MASTER.hex().upper(), QR_CODE, "PRIVATE")
    for text in texts:
        assert not any(secret in text for secret in secrets)


# --- the list


def test_the_list_of_holes_names_every_hole_and_only_tests_that_exist() -> None:
    check_holes("unionpay.md", __file__)
