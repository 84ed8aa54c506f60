"""The WeChat Pay adapter: which interface is used for what, and how an undo comes to its end."""

import asyncio
import base64
from dataclasses import replace
from typing import Any

import orjson
import pytest

from channels.payer_orders import (
    FaceRequest,
    OrderRequest,
    codes_of,
    faces_of,
    pages_of,
)
from channels.port import AnswerLost, HttpResponse, NotSent, PaymentRef, Verdict
from channels.wechat.v3 import Stamped
from channels.wechat.v3_order_wire import app_parameters
from channels.wechat.v3_wire import build_query
from domain.decline import DeclineReason
from signing.rsa import verify_sha256
from tests.channels.rigs import ref_of, rsa_key
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

OK, U, D, P = Verdict.SUCCEEDED, Verdict.UNKNOWN, Verdict.DECLINED, Verdict.PENDING


def ref(rig: WechatRig, method: str = "auth_code", **more: Any) -> PaymentRef:
    return replace(ref_of(rig.request("NUMBER0001")), method=method, **more)


def paths(rig: WechatRig) -> list[str]:
    return [path for path, _ in rig.asked]


def order(**more: Any) -> OrderRequest:
    given: dict[str, Any] = {
        "order_no": "NUMBER0001",
        "amount_fen": 1990,
        "currency": "CNY",
        "subject": "Tea",
        "created_at_ms": NOW_MS,
        "expires_at_ms": NOW_MS + 300_000,
    }
    return OrderRequest(**(given | more))


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


async def test_a_code_for_one_order() -> None:
    rig = WechatRig()
    codes = codes_of(rig.channel)
    assert codes is not None
    rig.answers(v3_answer({"code_url": "weixin://wxpay/bizpayurl?pr=x"}))
    made = await codes.create_code(order())
    assert (made.verdict, made.code) == (OK, "weixin://wxpay/bizpayurl?pr=x")
    assert rig.asked[0] == (
        "/v3/pay/transactions/native",
        {
            "appid": APPID,
            "mchid": MCHID,
            "description": "Tea",
            "out_trade_no": "NUMBER0001",
            "time_expire": "2026-11-22T15:20:37+08:00",
            "notify_url": "https://shop.example/notify/wechat/wx1",
            "amount": {"total": 1990, "currency": "CNY"},
        },
    )
    assert "bizpayurl" not in repr(made)


async def test_a_page_for_one_payer_is_signed_over_its_four_lines() -> None:
    rig = WechatRig()
    pages = pages_of(rig.channel)
    assert pages is not None
    rig.answers(v3_answer({"prepay_id": "wx26112410033135"}))
    made = await pages.create_page_order(order(payer_id="oOPENID", payer_ip="10.0.0.1"))
    assert rig.asked[0][1]["payer"] == {"openid": "oOPENID"}
    given = made.parameters
    assert list(given) == ["appId", "timeStamp", "nonceStr", "package", "signType", "paySign"]
    assert (given["signType"], given["package"]) == ("RSA", "prepay_id=wx26112410033135")
    lines = "\n".join([APPID, given["timeStamp"], given["nonceStr"], given["package"], ""])
    signature = base64.b64decode(given["paySign"])
    assert verify_sha256(rsa_key("merchant").public_key(), lines.encode(), signature)


async def test_an_order_of_a_merchants_own_app() -> None:
    rig = WechatRig()
    rig.answers(v3_answer({"prepay_id": "wx26112410033135"}))
    made = await rig.wechat.create_app_order(order())
    assert rig.asked[0][0] == "/v3/pay/transactions/app"
    assert rig.asked[0][1].keys() == {
        "appid", "mchid", "description", "out_trade_no", "time_expire", "notify_url", "amount",
    }  # fmt: skip
    assert (made.verdict, made.parameters["prepayid"]) == (OK, "wx26112410033135")
    rig.answers(v3_answer({"code_url": "weixin://x"}))
    assert (await rig.wechat.create_app_order(order())).verdict is U


def test_an_app_is_given_its_own_parameters() -> None:
    """Its signature covers the prepay id alone, not ``prepay_id=…``."""
    rig = WechatRig()
    given = app_parameters("wx26112410033135", rig.account, Stamped(NOW_MS, "NONCE"))
    assert (given["partnerid"], given["package"]) == (MCHID, "Sign=WXPay")
    lines = f"{APPID}\n{given['timestamp']}\nNONCE\nwx26112410033135\n"
    signature = base64.b64decode(given["sign"])
    assert verify_sha256(rsa_key("merchant").public_key(), lines.encode(), signature)


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


async def test_a_shops_payer_is_named_under_the_shops_application() -> None:
    rig = WechatRig(sub_mchid=SUB_MCHID, sub_appid=SUB_APPID)
    pages = pages_of(rig.channel)
    assert pages is not None
    rig.answers(v3_answer({"prepay_id": "wx1"}))
    made = await pages.create_page_order(order(payer_id="oOPENID"))
    assert rig.asked[0][0] == "/v3/pay/partner/transactions/jsapi"
    assert rig.asked[0][1]["payer"] == {"sub_openid": "oOPENID"}
    assert made.parameters["appId"] == SUB_APPID


async def test_a_page_in_another_browser_is_sent_away() -> None:
    rig = WechatRig()
    pages = pages_of(rig.channel)
    assert pages is not None
    rig.answers(v3_answer({"h5_url": "https://wx.tenpay.com/x"}))
    made = await pages.create_page_order(order(payer_ip="10.0.0.1"))
    assert made.page_url == "https://wx.tenpay.com/x"
    assert rig.asked[0][1]["scene_info"] == {
        "payer_client_ip": "10.0.0.1",
        "h5_info": {"type": "Wap"},
    }
    assert (await pages.create_page_order(order())).verdict is Verdict.NOT_SENT


@pytest.mark.parametrize(
    ("response", "verdict"),
    [
        (v3_answer({"prepay_id": "wx1"}), U),  # an answer to another kind of order
        (v3_answer({"code_url": "x"}, signer="somebody"), U),
        (v3_answer({}), U),
        (v3_refused(403, "NO_AUTH"), D),
        (v3_refused(400, "INVALID_REQUEST"), U),
        (v3_refused(403, "OUT_TRADE_NO_USED"), U),
        (v3_refused(500, "NO_AUTH"), U),
    ],
)
async def test_what_is_no_order(response: HttpResponse, verdict: Verdict) -> None:
    rig = WechatRig()
    codes = codes_of(rig.channel)
    assert codes is not None
    rig.answers(response)
    assert (await codes.create_code(order())).verdict is verdict


async def test_an_order_without_an_address_for_notices_is_not_made() -> None:
    rig = WechatRig(notify_url="")
    codes = codes_of(rig.channel)
    assert codes is not None
    assert (await codes.create_code(order())).verdict is Verdict.NOT_SENT
    rig.answers(v3_answer({"code_url": "x"}))
    assert (await codes.create_code(order(notify_url="https://a.example/n"))).verdict is OK


async def test_the_browser_is_sent_away_and_its_code_becomes_an_openid() -> None:
    rig = WechatRig()
    pages = pages_of(rig.channel)
    assert pages is not None
    url = pages.authorise_url("https://pay.example/q?a=1&b=2", "S T")
    assert url == (
        f"https://open.weixin.qq.com/connect/oauth2/authorize?appid={APPID}"
        "&redirect_uri=https%3A%2F%2Fpay.example%2Fq%3Fa%3D1%26b%3D2&response_type=code"
        "&scope=snsapi_base&state=S%20T#wechat_redirect"
    )
    rig.answers(HttpResponse(200, {}, b'{"access_token":"x","openid":"oOPENID"}'))
    payer = await pages.payer_of("CODE1")
    assert (payer.verdict, payer.payer_id) == (OK, "oOPENID")
    assert rig.requests[0].url == (
        f"{BASE_URL}/sns/oauth2/access_token?appid={APPID}&secret=app-secret&code=CODE1"
        "&grant_type=authorization_code"
    )
    assert "app-secret" not in repr(rig.requests[0])
    for bad in (b'{"errcode":40029,"errmsg":"invalid code"}', b"[]", b"", b'{"openid":5}'):
        rig.answers(HttpResponse(200, {}, bad))
        assert (await pages.payer_of("CODE1")).verdict is U


async def test_a_face_begins_on_its_own_host() -> None:
    rig = WechatRig()
    faces = faces_of(rig.channel)
    assert faces is not None
    request = FaceRequest(device_data="RAW", device_id="D1", store_id="S1", store_name="Shop")
    rig.answers(v2_answer({"authinfo": "AUTH", "expires_in": "86400"}))
    begun = await faces.begin_face(request)
    assert (begun.verdict, begun.device_data, begun.expires_in_s) == (OK, "AUTH", 86400)
    path, fields = rig.asked[0]
    assert path == "/face/get_wxpayface_authinfo"
    assert (fields["rawdata"], fields["now"], fields["version"]) == ("RAW", "1795331737", "1")
    for bad in (
        v2_answer({"authinfo": "AUTH", "expires_in": "soon"}),
        v2_refused("PARAM_ERROR"),
        b"",
    ):
        rig.answers(bad)
        assert (await faces.begin_face(request)).verdict is U


async def test_whose_code_it_is() -> None:
    rig = WechatRig()
    rig.answers(v2_answer({"openid": "oOPENID"}))
    payer = await rig.wechat.openid_of(AUTH_CODE)
    assert (payer.verdict, payer.payer_id) == (OK, "oOPENID")
    assert rig.asked[0][0] == "/tools/authcodetoopenid"
    rig.answers(v2_refused("AUTH_CODE_INVALID"))
    assert (await rig.wechat.openid_of(AUTH_CODE)).verdict is U


async def test_what_never_left_is_not_sent() -> None:
    rig = WechatRig()
    rig.will_be_unreachable()
    codes, faces, pages = codes_of(rig.channel), faces_of(rig.channel), pages_of(rig.channel)
    assert codes is not None
    assert faces is not None
    assert pages is not None
    face = FaceRequest(device_data="RAW", device_id="D1", store_id="S1", store_name="Shop")
    for answer in (
        await codes.create_code(order()),
        await faces.begin_face(face),
        await pages.payer_of("CODE"),
        await rig.wechat.openid_of(AUTH_CODE),
    ):
        assert answer.verdict is Verdict.NOT_SENT
    rig._raise(AnswerLost("timed out"))
    assert (await codes.create_code(order())).verdict is U


async def test_a_number_too_long_or_an_amount_that_is_none_never_leaves() -> None:
    rig = WechatRig()
    for bad in (0, -1, True, 19.9):
        answer = await rig.channel.pay(rig.request(amount_fen=bad))
        assert (answer.verdict, answer.unwritable) == (Verdict.NOT_SENT, True)
    assert (await rig.channel.pay(rig.request(auth_code=""))).unwritable
    assert rig.requests == []


@pytest.mark.parametrize("change", [{"amount_fen": 0}, {"amount_fen": 19.9}, {"payer_ip": ""}])
async def test_an_order_that_cannot_be_written_says_nothing_of_the_channel(
    change: dict[str, Any],
) -> None:
    """One shop's nonsense must not close WeChat Pay to all others; a refund's neither."""
    rig = WechatRig()
    page = order(payer_ip="10.0.0.1", **change) if "payer_ip" not in change else order()
    for answer in (
        await rig.wechat.create_page_order(page),
        await rig.wechat.create_code(replace(page, amount_fen=-1)),
        await rig.wechat.create_app_order(replace(page, amount_fen=True)),
    ):
        assert (answer.verdict, answer.unwritable) == (Verdict.NOT_SENT, True)
    for api in ("v2", "v3"):
        refunds = WechatRefundRig(refund_api=api)
        for bad in (0, -1, True):
            request = replace(refunds.refund_request(500), amount_fen=bad)
            refused = await refunds.ability.refund(request)
            assert (refused.verdict, refused.unwritable) == (Verdict.NOT_SENT, True)
        assert refunds.requests == []
    assert rig.requests == []
    rig.will_be_unreachable()
    assert not (await rig.wechat.create_code(order())).unwritable


async def test_a_code_about_a_payer_that_no_table_knows_is_counted() -> None:
    """Of an order, of a page's payer, of a code's, of a face; what is listed is not."""
    rig = WechatRig()
    face = FaceRequest(device_data="RAW", device_id="D1", store_id="S1", store_name="Shop")
    for code, unlisted in (("NEW_CODE", True), ("SYSTEMERROR", False), ("PARAM_ERROR", False)):
        rig.answers(v2_refused(code))
        assert (await rig.wechat.openid_of(AUTH_CODE)).unlisted is unlisted
        assert (await rig.wechat.begin_face(face)).unlisted is unlisted
        rig.answers(v3_refused(400, code.replace("SYSTEMERROR", "ORDERPAID")))
        assert (await rig.wechat.create_code(order())).unlisted is unlisted
    for errcode, unlisted in ((40029, False), (-1, False), (49999, True)):
        rig.answers(HttpResponse(200, {}, orjson.dumps({"errcode": errcode})))
        payer = await rig.wechat.payer_of("CODE1")
        assert (payer.channel_code, payer.unlisted) == (str(errcode), unlisted)
    rig.answers(v2_answer({"openid": "oOPENID"}))
    assert not (await rig.wechat.openid_of(AUTH_CODE)).unlisted
    rig.answers(v2_answer({"authinfo": "AUTH", "expires_in": "60", "result_code": ""}))
    begun = await rig.wechat.begin_face(face)
    assert (begun.verdict, begun.unlisted) == (OK, False)


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


async def test_not_sent_of_an_undo_is_unknown() -> None:
    rig = CodepayRig()
    rig._raise(NotSent("refused"))
    assert (await rig.channel.cancel(ref(rig))).verdict is U


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
