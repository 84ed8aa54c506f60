"""WeChat Pay orders that a payer pays by himself: codes, pages, apps, and who the payer is."""

import base64
from dataclasses import replace
from typing import Any

import orjson
import pytest

from channels.payer_orders import (
    FaceRequest,
    codes_of,
    faces_of,
    pages_of,
)
from channels.port import HttpResponse, Verdict
from channels.wechat.v3 import Stamped
from channels.wechat.v3_order_wire import app_parameters
from signing.rsa import verify_sha256
from tests.channels.rigs import rsa_key
from tests.channels.wechat_asks import OK, D, U, payer_order
from tests.channels.wechat_rigs import (
    APPID,
    AUTH_CODE,
    BASE_URL,
    MCHID,
    NOW_MS,
    SUB_APPID,
    SUB_MCHID,
    WechatRefundRig,
    WechatRig,
    v2_answer,
    v2_refused,
    v3_answer,
    v3_refused,
)


async def test_a_code_for_one_order() -> None:
    rig = WechatRig()
    codes = codes_of(rig.channel)
    assert codes is not None
    rig.answers(v3_answer({"code_url": "weixin://wxpay/bizpayurl?pr=x"}))
    made = await codes.create_code(payer_order())
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
    made = await pages.create_page_order(payer_order(payer_id="oOPENID", payer_ip="10.0.0.1"))
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
    made = await rig.wechat.create_app_order(payer_order())
    assert rig.asked[0][0] == "/v3/pay/transactions/app"
    assert rig.asked[0][1].keys() == {
        "appid", "mchid", "description", "out_trade_no", "time_expire", "notify_url", "amount",
    }  # fmt: skip
    assert (made.verdict, made.parameters["prepayid"]) == (OK, "wx26112410033135")
    rig.answers(v3_answer({"code_url": "weixin://x"}))
    assert (await rig.wechat.create_app_order(payer_order())).verdict is U


def test_an_app_is_given_its_own_parameters() -> None:
    """Its signature covers the prepay id alone, not ``prepay_id=…``."""
    rig = WechatRig()
    given = app_parameters("wx26112410033135", rig.account, Stamped(NOW_MS, "NONCE"))
    assert (given["partnerid"], given["package"]) == (MCHID, "Sign=WXPay")
    lines = f"{APPID}\n{given['timestamp']}\nNONCE\nwx26112410033135\n"
    signature = base64.b64decode(given["sign"])
    assert verify_sha256(rsa_key("merchant").public_key(), lines.encode(), signature)


async def test_a_shops_payer_is_named_under_the_shops_application() -> None:
    rig = WechatRig(sub_mchid=SUB_MCHID, sub_appid=SUB_APPID)
    pages = pages_of(rig.channel)
    assert pages is not None
    rig.answers(v3_answer({"prepay_id": "wx1"}))
    made = await pages.create_page_order(payer_order(payer_id="oOPENID"))
    assert rig.asked[0][0] == "/v3/pay/partner/transactions/jsapi"
    assert rig.asked[0][1]["payer"] == {"sub_openid": "oOPENID"}
    assert made.parameters["appId"] == SUB_APPID


async def test_a_page_in_another_browser_is_sent_away() -> None:
    rig = WechatRig()
    pages = pages_of(rig.channel)
    assert pages is not None
    rig.answers(v3_answer({"h5_url": "https://wx.tenpay.com/x"}))
    made = await pages.create_page_order(payer_order(payer_ip="10.0.0.1"))
    assert made.page_url == "https://wx.tenpay.com/x"
    assert rig.asked[0][1]["scene_info"] == {
        "payer_client_ip": "10.0.0.1",
        "h5_info": {"type": "Wap"},
    }
    assert (await pages.create_page_order(payer_order())).verdict is Verdict.NOT_SENT


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
    assert (await codes.create_code(payer_order())).verdict is verdict


async def test_an_order_without_an_address_for_notices_is_not_made() -> None:
    rig = WechatRig(notify_url="")
    codes = codes_of(rig.channel)
    assert codes is not None
    assert (await codes.create_code(payer_order())).verdict is Verdict.NOT_SENT
    rig.answers(v3_answer({"code_url": "x"}))
    assert (await codes.create_code(payer_order(notify_url="https://a.example/n"))).verdict is OK


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


@pytest.mark.parametrize("change", [{"amount_fen": 0}, {"amount_fen": 19.9}, {"payer_ip": ""}])
async def test_an_order_that_cannot_be_written_says_nothing_of_the_channel(
    change: dict[str, Any],
) -> None:
    """One shop's nonsense must not close WeChat Pay to all others; a refund's neither."""
    rig = WechatRig()
    page = payer_order(payer_ip="10.0.0.1", **change) if "payer_ip" not in change else payer_order()
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
    assert not (await rig.wechat.create_code(payer_order())).unwritable


async def test_a_code_about_a_payer_that_no_table_knows_is_counted() -> None:
    """Of an order, of a page's payer, of a code's, of a face; what is listed is not."""
    rig = WechatRig()
    face = FaceRequest(device_data="RAW", device_id="D1", store_id="S1", store_name="Shop")
    for code, unlisted in (("NEW_CODE", True), ("SYSTEMERROR", False), ("PARAM_ERROR", False)):
        rig.answers(v2_refused(code))
        assert (await rig.wechat.openid_of(AUTH_CODE)).unlisted is unlisted
        assert (await rig.wechat.begin_face(face)).unlisted is unlisted
        rig.answers(v3_refused(400, code.replace("SYSTEMERROR", "ORDERPAID")))
        assert (await rig.wechat.create_code(payer_order())).unlisted is unlisted
    for errcode, unlisted in ((40029, False), (-1, False), (49999, True)):
        rig.answers(HttpResponse(200, {}, orjson.dumps({"errcode": errcode})))
        payer = await rig.wechat.payer_of("CODE1")
        assert (payer.channel_code, payer.unlisted) == (str(errcode), unlisted)
    rig.answers(v2_answer({"openid": "oOPENID"}))
    assert not (await rig.wechat.openid_of(AUTH_CODE)).unlisted
    rig.answers(v2_answer({"authinfo": "AUTH", "expires_in": "60", "result_code": ""}))
    begun = await rig.wechat.begin_face(face)
    assert (begun.verdict, begun.unlisted) == (OK, False)
