"""What APIv2 tells of a payer before one pays: an openid for a code, leave for a face. Pure.

Rules: as ``v2.py``. Nothing here moves money; an openid and what a face device is given are
nobody's to see. Both are abilities of the adapter; no door offers them yet. Reference
``channels.md`` B1.
"""

from channels.payer_orders import FaceAnswer, FaceRequest, PayerAnswer
from channels.port import HttpRequest, HttpResponse, Verdict
from channels.wechat.account import WechatAccount
from channels.wechat.payer_codes import FACE_V2, OPENID_V2
from channels.wechat.v2 import (
    FACE_AUTH,
    OPENID,
    Distrusted,
    code_of,
    message_of,
    request_of,
    verified,
)

_LONGEST_LEAVE_S = 7 * 24 * 3600


def build_openid(auth_code: str, account: WechatAccount, nonce: str) -> HttpRequest:
    """``authcodetoopenid``: whose code it is, without paying."""
    return request_of(OPENID, {"auth_code": auth_code}, account, nonce)


def read_openid(response: HttpResponse, account: WechatAccount) -> PayerAnswer:
    """The payer's openid at our application."""
    try:
        fields = verified(response, account)
    except Distrusted as fault:
        return PayerAnswer(
            verdict=Verdict.UNKNOWN, channel_code=fault.code, channel_message=fault.why
        )
    openid = fields.get("openid", "") if fields.get("result_code") == "SUCCESS" else ""
    code = code_of(fields)
    return PayerAnswer(
        verdict=Verdict.SUCCEEDED if openid else Verdict.UNKNOWN,
        payer_id=openid,
        channel_code=code,
        channel_message=message_of(fields),
        unlisted=not openid and code not in OPENID_V2 and code != "SUCCESS",
    )


def build_face(
    request: FaceRequest, account: WechatAccount, nonce: str, now_ms: int
) -> HttpRequest:
    """``get_wxpayface_authinfo``: leave for a device to begin, on a host of its own."""
    content = {
        "store_id": request.store_id,
        "store_name": request.store_name,
        "device_id": request.device_id,
        "rawdata": request.device_data,
        "now": str(now_ms // 1000),
        "version": "1",
    }
    return request_of(FACE_AUTH, content, account, nonce, base_url=account.face_url)


def read_face(response: HttpResponse, account: WechatAccount) -> FaceAnswer:
    """What the device's SDK is given, and for how long."""
    try:
        fields = verified(response, account)
    except Distrusted as fault:
        return FaceAnswer(
            verdict=Verdict.UNKNOWN, channel_code=fault.code, channel_message=fault.why
        )
    authinfo, seconds = fields.get("authinfo", ""), fields.get("expires_in", "")
    code = code_of(fields)
    good = bool(authinfo) and seconds.isascii() and seconds.isdigit() and len(seconds) <= 9
    return FaceAnswer(
        verdict=Verdict.SUCCEEDED if good else Verdict.UNKNOWN,
        device_data=authinfo if good else "",
        expires_in_s=min(int(seconds), _LONGEST_LEAVE_S) if good else 0,
        channel_code=code,
        channel_message=message_of(fields),
        unlisted=not good and code not in FACE_V2 and code != "SUCCESS",
    )
