"""The WeChat Pay adapter: which interface is used for what, and what its answers come to."""

import asyncio
import base64
from dataclasses import replace

import orjson
import pytest

from channels.payer_orders import (
    FaceRequest,
    codes_of,
    faces_of,
    pages_of,
)
from channels.port import AnswerLost, HttpResponse, Verdict
from channels.wechat.v3 import Stamped
from channels.wechat.v3_wire import build_query
from domain.decline import DeclineReason
from signing.rsa import verify_sha256
from tests.channels.rigs import rsa_key
from tests.channels.wechat_asks import OK, D, P, U, paths, payer_order, ref
from tests.channels.wechat_rigs import (
    APPID,
    AUTH_CODE,
    BASE_URL,
    MCHID,
    NOW_MS,
    SUB_APPID,
    SUB_MCHID,
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


async def test_a_code_goes_over_micropay_and_its_fields_are_the_lists() -> None:
    rig = WechatRig()
    answer = await rig.channel.pay(rig.request(store_id="S1", terminal_id="77000001"))
    assert answer.verdict is OK
    path, fields = rig.asked[0]
    assert path == "/pay/micropay"
    assert (fields["total_fee"], fields["auth_code"]) == ("1990", AUTH_CODE)
    assert fields["scene_info"] == '{"store_info": {"id": "S1"}}'
    assert fields["device_info"] == "77000001"
    assert rig.requests[0].identity is None


async def test_a_face_goes_over_facepay_with_its_openid() -> None:
    rig = WechatRig()
    assert (await rig.channel.pay(rig.request(auth_code="FACE-TOKEN|oOPENID"))).verdict is OK
    await rig.channel.query(ref(rig, "face"))
    await rig.channel.cancel(ref(rig, "face"))
    path, fields = rig.asked[0]
    assert (path, fields["face_code"], fields["openid"]) == (
        "/pay/facepay",
        "FACE-TOKEN",
        "oOPENID",
    )
    assert paths(rig)[1:] == ["/pay/facepayquery"] * 2 + ["/secapi/pay/facepayreverse"]


async def test_codepay_is_behind_its_flag() -> None:
    rig = CodepayRig()
    assert (await rig.channel.pay(rig.request())).verdict is OK
    await rig.channel.cancel(ref(rig))
    assert paths(rig) == [
        "/v3/pay/transactions/codepay",
        "/v3/pay/transactions/out-trade-no/NUMBER0001",
        "/v3/pay/transactions/out-trade-no/NUMBER0001/reverse",
    ]
    body = rig.asked[0][1]
    assert body["scene_info"]["store_info"] == {"out_id": "posgate"}
    assert rig.requests[1].url.endswith(f"?mchid={MCHID}")


async def test_a_service_provider_uses_its_own_paths_and_names() -> None:
    rig = CodepayRig(sub_mchid=SUB_MCHID, sub_appid=SUB_APPID)
    await rig.channel.pay(rig.request())
    await rig.channel.query(ref(rig))
    path, body = rig.asked[0]
    assert path == "/v3/pay/partner/transactions/codepay"
    assert (body["sp_mchid"], body["sub_mchid"]) == (MCHID, SUB_MCHID)
    assert (body["sp_appid"], body["sub_appid"]) == (APPID, SUB_APPID)
    assert "mchid" not in body
    assert rig.requests[1].url.endswith(f"?sp_mchid={MCHID}&sub_mchid={SUB_MCHID}")


async def test_every_apiv3_request_is_signed_over_its_exact_bytes() -> None:
    """And says under which key it wants its answer."""
    rig = CodepayRig()
    await rig.channel.pay(rig.request(subject="门店-消费"))
    (request,) = rig.requests
    header = dict(
        part.split("=", 1) for part in request.headers["Authorization"].split(" ", 1)[1].split(",")
    )
    given = {name: value.strip('"') for name, value in header.items()}
    message = (
        f"POST\n/v3/pay/transactions/codepay\n{given['timestamp']}\n{given['nonce_str']}\n".encode()
        + request.body
        + b"\n"
    )
    signature = base64.b64decode(given["signature"])
    assert verify_sha256(rsa_key("merchant").public_key(), message, signature)
    assert given["timestamp"] == str(NOW_MS // 1000)
    assert request.headers["Wechatpay-Serial"].startswith("PUB_KEY_ID_")


async def test_a_refund_in_work_is_pending_and_a_stuck_one_alarms() -> None:
    rig = WechatRefundRig()
    request = rig.refund_request(500)
    for state, verdict in (("PROCESSING", P), ("ABNORMAL", U), ("CLOSED", D), ("SUCCESS", OK)):
        rig.answers(v3_answer(rig.refunded(request.refund_no, 500, status=state)))
        answer = await rig.ability.refund(request)
        assert (answer.verdict, answer.channel_code) == (verdict, state)
        assert (answer.amount_fen is None) == (verdict is not OK)


async def test_a_refusal_is_believed_once_no_such_refund_is_known() -> None:
    """Else a repeat that WeChat Pay refuses would deny the money that the first one returned."""
    rig = WechatRefundRig()
    request = rig.refund_request(500)
    refusal = v3_refused(400, "INVALID_REQUEST")
    rig.answers(refusal, v3_refused(404, "RESOURCE_NOT_EXISTS"))
    refused = await rig.ability.refund(request)
    assert (refused.verdict, refused.reason) == (D, DeclineReason.NOT_PERMITTED)
    rig.answers(refusal, v3_answer(rig.refunded(request.refund_no, 500)))
    assert (await rig.ability.refund(request)).verdict is OK
    rig.answers(refusal, v3_refused(500, "SYSTEM_ERROR"))
    assert (await rig.ability.refund(request)).verdict is U


async def test_refunds_of_apiv2_are_accepted_then_asked_about() -> None:
    rig = WechatRefundRig(refund_api="v2")
    request = rig.refund_request(500)
    accepted = {
        "out_trade_no": request.payment.order_no,
        "out_refund_no": request.refund_no,
        "refund_id": "50300",
        "refund_fee": "500",
        "total_fee": "1990",
    }
    rig.answers(v2_answer(accepted))
    assert (await rig.ability.refund(request)).verdict is P
    assert rig.requests[-1].identity is not None
    for change in ({"refund_fee": "499"}, {"out_refund_no": "X"}, {"out_trade_no": ""}):
        rig.answers(v2_answer(accepted | change))
        assert (await rig.ability.refund(request)).verdict is U
    told = {
        "out_trade_no": request.payment.order_no,
        "out_refund_no_0": request.refund_no,
        "refund_fee_0": "500",
        "refund_count": "1",
    }
    for state, verdict in (
        ("SUCCESS", OK), ("PROCESSING", P), ("REFUNDCLOSE", D), ("CHANGE", U), ("NEW", U),
    ):  # fmt: skip
        rig.answers(v2_answer(told | {"refund_status_0": state}))
        answer = await rig.ability.query_refund(request)
        assert (answer.verdict, answer.channel_code) == (verdict, state)
    rig.answers(v2_refused("REFUNDNOTEXIST"))
    assert (await rig.ability.query_refund(request)).not_found
    rig.answers(v2_refused("TRADE_OVERDUE"), v2_refused("REFUNDNOTEXIST"))
    assert (await rig.ability.refund(request)).verdict is D
    rig.answers(v2_refused("NOTENOUGH"))
    assert (await rig.ability.refund(request)).verdict is U


def test_a_payment_is_asked_about_by_either_number() -> None:
    rig = WechatRig()
    theirs = replace(ref(rig, "qr"), order_no="", trade_no="4200000925")
    stamped = Stamped(NOW_MS, "NONCE")
    for asked, path in (
        (ref(rig, "qr"), "out-trade-no/NUMBER0001"),
        (theirs, "id/4200000925"),
    ):
        built = build_query(asked, rig.account, rig.keys, stamped)
        assert built.url == f"{BASE_URL}/v3/pay/transactions/{path}?mchid={MCHID}"


@pytest.mark.parametrize("method", ["auth_code", "face", "qr"])
async def test_by_their_number_the_answer_must_name_that_number(method: str) -> None:
    """What it says of the order is then ours to find; of another number it says nothing."""
    rig, number = WechatRig(), "4200000925202611224997714292"
    asked = ref(rig, method, order_no="", trade_no=number)
    answers: dict[str, bytes | HttpResponse] = {
        "auth_code": v2_paid("NUMBER0001", trade_state="SUCCESS"),
        "face": v2_paid("NUMBER0001", trade_state="SUCCESS"),
        "qr": v3_answer(v3_paid("NUMBER0001")),
    }
    rig.answers(answers[method])
    found = await rig.channel.query(asked)
    assert (found.verdict, found.order_no, found.trade_no) == (OK, "NUMBER0001", number)
    path, fields = rig.asked[0]
    assert path.endswith(f"/id/{number}") if method == "qr" else "out_trade_no" not in fields
    assert fields.get("transaction_id", number) == number
    for other in ("", "4200000925202611220000000000"):
        assert (await rig.channel.query(replace(asked, trade_no=other))).verdict is U


async def test_what_never_left_is_not_sent() -> None:
    rig = WechatRig()
    rig.will_be_unreachable()
    codes, faces, pages = codes_of(rig.channel), faces_of(rig.channel), pages_of(rig.channel)
    assert codes is not None
    assert faces is not None
    assert pages is not None
    face = FaceRequest(device_data="RAW", device_id="D1", store_id="S1", store_name="Shop")
    for answer in (
        await codes.create_code(payer_order()),
        await faces.begin_face(face),
        await pages.payer_of("CODE"),
        await rig.wechat.openid_of(AUTH_CODE),
    ):
        assert answer.verdict is Verdict.NOT_SENT
    rig._raise(AnswerLost("timed out"))
    assert (await codes.create_code(payer_order())).verdict is U


async def test_a_number_too_long_or_an_amount_that_is_none_never_leaves() -> None:
    rig = WechatRig()
    for bad in (0, -1, True, 19.9):
        answer = await rig.channel.pay(rig.request(amount_fen=bad))
        assert (answer.verdict, answer.unwritable) == (Verdict.NOT_SENT, True)
    assert (await rig.channel.pay(rig.request(auth_code=""))).unwritable
    assert rig.requests == []


async def test_an_injection_stays_a_subject() -> None:
    rig = WechatRig()
    await rig.channel.pay(rig.request(subject="</body><total_fee>1</total_fee><body>]]>"))
    assert rig.asked[0][1]["total_fee"] == "1990"


async def test_a_fault_of_ours_is_unknown_and_a_cancellation_passes() -> None:
    rig = WechatRig()
    rig._raise(RuntimeError("code 130000000000000001"))
    answer = await rig.channel.pay(rig.request())
    assert (answer.verdict, answer.channel_message) == (U, "RuntimeError")
    rig.will_hang()
    task = asyncio.create_task(rig.channel.cancel(ref(rig)))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_schedule_of_the_in_store_flow() -> None:
    """Asked every 5 s for 45 s; nothing is reversed before it is 15 s old."""
    schedule = WechatRig().channel.schedule
    assert schedule.query_after_s == (5.0,) * 9
    assert schedule.undo_not_before_s == 16.0  # from its making, which is before its sending


def test_no_secret_in_any_text() -> None:
    rig = WechatRig()
    shown = repr((rig.channel, rig.account, rig.keys, rig.wechat._ways, rig.given))
    for secret in ("0123456789ABCDEF", "abcdefghijklmnop", "app-secret", "BEGIN"):
        assert secret not in shown


async def test_only_fields_that_an_interface_knows_are_sent() -> None:
    """Hole 10: WeChat Pay refuses a whole request for one field that it does not know."""
    rig = CodepayRig()
    request = rig.request(store_id="S1", terminal_id="T1")
    await rig.channel.pay(request)
    assert orjson.loads(rig.requests[0].body).keys() == {
        "appid", "mchid", "description", "out_trade_no", "payer", "amount", "scene_info",
    }  # fmt: skip
