"""Orders that the payer completes: native, jsapi, h5 and app. Pure.

Rules: an order is paid by nobody yet; making it again under the same number is safe. What the
JS bridge (or an app) is given is signed with the merchant's key over exactly its four lines.
Reference ``channels.md`` B2, D.
"""

from collections.abc import Mapping
from typing import Final

from channels.one_call import Unwritable
from channels.payer_orders import OrderAnswer, OrderRequest
from channels.port import HttpRequest, HttpResponse, Verdict
from channels.wechat.account import PlatformKeys, WechatAccount
from channels.wechat.codes import ORDER_V3, v3_outcome
from channels.wechat.texts import cut_bytes, v3_time
from channels.wechat.v3 import (
    APP,
    H5,
    JSAPI,
    NATIVE,
    Distrusted,
    Stamped,
    V3Api,
    ours,
    request_of,
    text_of,
    verified,
)
from channels.wechat.v3_wire import DESCRIPTION_BYTES
from domain.money import payable_fen
from signing.wechat import RSA_SCHEME, pay_sign

_STORE_LENGTH: Final = 32
_ANSWERS: Final = {NATIVE: "code_url", JSAPI: "prepay_id", H5: "h5_url", APP: "prepay_id"}


def build_order(
    api: V3Api,
    request: OrderRequest,
    account: WechatAccount,
    keys: PlatformKeys,
    stamped: Stamped,
) -> HttpRequest:
    """An order by one of :data:`NATIVE`, :data:`JSAPI`, :data:`H5`, :data:`APP`.

    Raises:
        domain.money.MoneyError: the amount is not one.
        Unwritable: it lacks what the interface needs.
    """
    notify_url = request.notify_url or account.notify_url
    if not notify_url:
        raise Unwritable("an order needs a notify_url, of its own or the account's")
    content = ours(account) | {
        "description": cut_bytes(request.subject, DESCRIPTION_BYTES),
        "out_trade_no": request.order_no,
        "time_expire": v3_time(request.expires_at_ms),
        "notify_url": notify_url,
        "amount": {"total": payable_fen(request.amount_fen), "currency": request.currency},
    }
    if api is JSAPI:
        content["payer"] = _payer(request, account)
    scene = _scene(api, request)
    if scene:
        content["scene_info"] = scene
    return request_of(api, content, account, keys, stamped)


def read_order(
    api: V3Api,
    response: HttpResponse,
    account: WechatAccount,
    keys: PlatformKeys,
    stamped: Stamped,
) -> OrderAnswer:
    """What was made: a code to show, a page to open, or what the wallet is given."""
    try:
        said = verified(response, keys, stamped.now_ms)
        if said.status == 200:
            made = text_of(said.fields, _ANSWERS[api])
            if not made:
                raise Distrusted("not an answer to this kind of order")
            return _made(api, made, account, stamped)
    except Distrusted as fault:
        return OrderAnswer(
            verdict=Verdict.UNKNOWN,
            channel_code=fault.code,
            channel_message=fault.why,
            advice=fault.advice,
        )
    outcome = v3_outcome(ORDER_V3, said.status, said.code)
    return OrderAnswer(
        verdict=outcome.verdict,
        reason=outcome.reason,
        advice=outcome.advice,
        channel_code=said.code or f"HTTP {said.status}",
        channel_message=said.message,
        answered=said.is_answer and outcome.advice is None,
        unlisted=outcome.unlisted,
    )


def _made(api: V3Api, made: str, account: WechatAccount, stamped: Stamped) -> OrderAnswer:
    if api is NATIVE:
        return OrderAnswer(verdict=Verdict.SUCCEEDED, code=made)
    if api is H5:
        return OrderAnswer(verdict=Verdict.SUCCEEDED, page_url=made)
    parameters = (page_parameters if api is JSAPI else app_parameters)(made, account, stamped)
    return OrderAnswer(verdict=Verdict.SUCCEEDED, parameters=parameters)


def page_parameters(prepay_id: str, account: WechatAccount, stamped: Stamped) -> Mapping[str, str]:
    """What ``WeixinJSBridge`` is given, letter by letter."""
    timestamp, package = str(stamped.now_ms // 1000), f"prepay_id={prepay_id}"
    appid = account.payer_appid
    return {
        "appId": appid,
        "timeStamp": timestamp,
        "nonceStr": stamped.nonce,
        "package": package,
        "signType": "RSA" if account.key.scheme == RSA_SCHEME else "SM2",
        "paySign": pay_sign(account.key, appid, timestamp, stamped.nonce, package),
    }


def app_parameters(prepay_id: str, account: WechatAccount, stamped: Stamped) -> Mapping[str, str]:
    """What an app's SDK is given; its signature covers the prepay id alone."""
    timestamp, appid = str(stamped.now_ms // 1000), account.payer_appid
    return {
        "appid": appid,
        "partnerid": account.sub_mchid or account.mchid,
        "prepayid": prepay_id,
        "package": "Sign=WXPay",
        "noncestr": stamped.nonce,
        "timestamp": timestamp,
        "sign": pay_sign(account.key, appid, timestamp, stamped.nonce, prepay_id),
    }


def _payer(request: OrderRequest, account: WechatAccount) -> dict[str, object]:
    if not request.payer_id:
        raise Unwritable("a page's order needs its payer")
    if not account.is_partner:
        return {"openid": request.payer_id}
    return {"sub_openid" if account.sub_appid else "sp_openid": request.payer_id}


def _scene(api: V3Api, request: OrderRequest) -> dict[str, object]:
    scene: dict[str, object] = {}
    if request.payer_ip:
        scene["payer_client_ip"] = request.payer_ip
    elif api is H5:
        raise Unwritable("an H5 order needs its payer's address")
    if api is H5:
        scene["h5_info"] = {"type": "Wap"}
    if scene and request.terminal_id:
        scene["device_id"] = request.terminal_id[:_STORE_LENGTH]
    if scene and request.store_id:
        scene["store_info"] = {"id": request.store_id[:_STORE_LENGTH]}
    return scene
