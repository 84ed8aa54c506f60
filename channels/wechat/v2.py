"""The envelope of every APIv2 call: signed XML out, a verified answer in. Pure.

Rules (reference ``channels.md`` B1):

* ``return_code`` FAIL is unsigned: it is never believed, and mostly means our set-up.
* Everything else must carry the account's own kind of signature. Only then ``result_code``
  and ``err_code`` are read.
* A signature does not cover *which call* was answered, so readers demand what only their own
  call answers (:func:`require_own`). Whoever else is named makes an answer distrusted; a yes
  must name us.
* Each interface has its list of fields, and nothing else is sent.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from channels.one_call import Unwritable
from channels.port import Advice, HttpRequest, HttpResponse
from channels.wechat.account import WechatAccount
from channels.wechat.texts import code_word
from channels.wechat.v2_xml import XmlRefused, read_fields, writable, write_fields
from signing.wechat_v2 import HMAC_SHA256, is_signed, sign

Fields = Mapping[str, str]

_HEADERS: Final = {"Content-Type": "text/xml; charset=utf-8"}
_LONG_NUMBER: Final = re.compile(r"[0-9]{12,}")
_OURS: Final = ("appid", "mch_id", "sub_mch_id", "sub_appid")
_COMMON: Final = (*_OURS, "nonce_str", "sign_type")


@dataclass(frozen=True, slots=True)
class V2Api:
    """An interface: its path, whether it wants our certificate, and the fields it knows."""

    path: str
    fields: frozenset[str]
    mutual_tls: bool = False
    hmac_only: bool = False


def _api(path: str, *fields: str, mutual_tls: bool = False, hmac_only: bool = False) -> V2Api:
    return V2Api(path, frozenset((*_COMMON, *fields)), mutual_tls, hmac_only)


_PAY: Final = ("body", "out_trade_no", "total_fee", "fee_type", "spbill_create_ip")
_SHOP: Final = ("device_info", "scene_info", "attach", "goods_tag", "detail")
_NUMBERS: Final = ("transaction_id", "out_trade_no")

MICROPAY: Final = _api("/pay/micropay", *_PAY, *_SHOP, "auth_code")
QUERY: Final = _api("/pay/orderquery", *_NUMBERS)
REVERSE: Final = _api("/secapi/pay/reverse", *_NUMBERS, mutual_tls=True)
FACEPAY: Final = _api("/pay/facepay", *_PAY, *_SHOP, "openid", "face_code")
FACE_QUERY: Final = _api("/pay/facepayquery", *_NUMBERS)
FACE_REVERSE: Final = _api("/secapi/pay/facepayreverse", *_NUMBERS, mutual_tls=True)
REFUND: Final = _api(
    "/secapi/pay/refund",
    *_NUMBERS,
    "out_refund_no",
    "total_fee",
    "refund_fee",
    "refund_fee_type",
    "refund_desc",
    "notify_url",
    mutual_tls=True,
)
REFUND_QUERY: Final = _api("/pay/refundquery", *_NUMBERS, "out_refund_no", "refund_id")
OPENID: Final = _api("/tools/authcodetoopenid", "auth_code")
FACE_AUTH: Final = _api(
    "/face/get_wxpayface_authinfo",
    "store_id",
    "store_name",
    "device_id",
    "rawdata",
    "now",
    "version",
)
BILL: Final = _api("/pay/downloadbill", "bill_date", "bill_type", "tar_type")
FUND_FLOW: Final = _api(
    "/pay/downloadfundflow",
    "bill_date",
    "account_type",
    "tar_type",
    mutual_tls=True,
    hmac_only=True,
)


class Distrusted(Exception):
    """The answer cannot be believed; ``code`` is what it claims, for the log."""

    def __init__(self, why: str, code: str = "", *, misconfigured: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.code = code
        self.advice = Advice.CONFIGURATION if misconfigured else None


def request_of(
    api: V2Api, content: Fields, account: WechatAccount, nonce: str, *, base_url: str = ""
) -> HttpRequest:
    """A call of ``api``, signed; empty values are left out.

    Raises:
        Unwritable: a field that the interface does not know, no APIv2 key, or no
            certificate where it wants one.
    """
    if not account.api_v2_key:
        raise Unwritable("the account has no APIv2 key")
    kind = HMAC_SHA256 if api.hmac_only else account.sign_type
    params = {
        "appid": account.appid,
        "mch_id": account.mchid,
        "sub_appid": account.sub_appid,
        "sub_mch_id": account.sub_mchid,
        "nonce_str": nonce,
        "sign_type": kind,
        **content,
    }
    params = {name: writable(value) for name, value in params.items() if value}
    if not params.keys() <= api.fields:
        raise Unwritable(f"{api.path} knows no {', '.join(sorted(params.keys() - api.fields))}")
    if api.mutual_tls and account.identity is None:
        raise Unwritable(f"{api.path} needs the merchant's certificate")
    params["sign"] = sign(params, account.api_v2_key, kind)
    return HttpRequest(
        method="POST",
        url=(base_url or account.base_url) + api.path,
        headers=_HEADERS,
        body=write_fields(params),
        timeout_s=account.timeout_s,
        identity=account.identity if api.mutual_tls else None,
    )


def verified(response: HttpResponse, account: WechatAccount, order_no: str = "") -> Fields:
    """The fields of a believable answer.

    Raises:
        Distrusted: it cannot be believed, or is about another order or merchant.
    """
    if response.status != 200:
        raise Distrusted("no answer of WeChat Pay's", f"HTTP {response.status}")
    try:
        fields = read_fields(response.body)
    except XmlRefused as fault:
        raise Distrusted(str(fault)) from None
    believe(fields, account, order_no)
    return fields


def believe(fields: Fields, account: WechatAccount, order_no: str = "") -> None:
    """Go on only where ``fields`` are signed, and about no other merchant or order.

    Raises:
        Distrusted: they are not.
    """
    if fields.get("return_code") != "SUCCESS":
        raise Distrusted("refused as a whole, unsigned", "return_code", misconfigured=True)
    if not is_signed(fields, account.api_v2_key, account.sign_type):
        code = code_of(fields)
        raise Distrusted("the signature does not verify", code, misconfigured=True)
    _refuse_others(fields, account)
    if order_no and fields.get("out_trade_no", "") not in ("", order_no):
        raise Distrusted("the answer names another order", code_of(fields))


def _refuse_others(fields: Fields, account: WechatAccount) -> None:
    ours = (account.appid, account.mchid, account.sub_mchid, account.sub_appid)
    for name, expected in zip(_OURS, ours, strict=True):
        if name == "sub_appid" and not expected:
            continue  # the shop has one that we were not told
        if fields.get(name, "") not in ("", expected):
            raise Distrusted("the answer names another merchant", code_of(fields))


def require_us(fields: Fields) -> None:
    """Raise :class:`Distrusted` unless our application and number are named at all."""
    if not (fields.get("appid") and fields.get("mch_id")):
        raise Distrusted("the answer does not name us", code_of(fields))


def require_own(fields: Fields, *, foreign: frozenset[str]) -> None:
    """Raise :class:`Distrusted` for an answer with what only another call answers."""
    if not foreign.isdisjoint(fields):
        raise Distrusted("an answer to another call", code_of(fields))


def require_order(fields: Fields, order_no: str) -> None:
    """Raise :class:`Distrusted` unless the answer names our order."""
    if not order_no or fields.get("out_trade_no") != order_no:
        raise Distrusted("the answer does not name our order")


def fen_of(fields: Fields, name: str) -> int:
    """An amount in fen.

    Raises:
        Distrusted: it is missing or no amount.
    """
    text = fields.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise Distrusted("no amount that can be read", name)
    return int(text)


def code_of(fields: Fields) -> str:
    """What a log calls the answer; short, and never a payer's."""
    return code_word(fields.get("err_code", "") or fields.get("result_code", ""))


def message_of(fields: Fields) -> str:
    """The vendor's words; digits long enough to be a payment code are taken out."""
    return _LONG_NUMBER.sub("…", fields.get("err_code_des", ""))[:200]
