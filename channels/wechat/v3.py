"""The envelope of every APIv3 call: signed JSON out, a verified answer in. Pure.

Rules (reference ``channels.md`` B2):

* The signature covers the method, the path with its query, and the exact body; an answer is
  verified over the exact bytes received, errors too. An unsigned one is never believed.
* Each interface has its list of fields in both variants, and nothing else is sent: WeChat Pay
  refuses whatever it does not know (hole 10). A service provider's names differ, and so does
  the path.
* ``Wechatpay-Serial`` names the key that we want to be answered with.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import orjson

from channels.one_call import Unwritable
from channels.port import Advice, HttpRequest, HttpResponse
from channels.wechat.account import PlatformKeys, WechatAccount
from channels.wechat.texts import code_word
from signing.wechat import (
    Stamp,
    WechatSignatureError,
    authorization,
    message_of,
    verify_message,
)

Fields = Mapping[str, object]
_LONG_NUMBER: Final = re.compile(r"[0-9]{12,}")


class Distrusted(Exception):
    """The answer cannot be believed; ``code`` is what it claims, for the log.

    ``unknown_serial``: signed under a key that we do not hold: new ones may be fetched.
    """

    def __init__(
        self,
        why: str,
        code: str = "",
        *,
        misconfigured: bool = False,
        unknown_serial: bool = False,
    ) -> None:
        super().__init__(why)
        self.why = why
        self.code = code
        self.advice = Advice.CONFIGURATION if misconfigured else None
        self.unknown_serial = unknown_serial


@dataclass(frozen=True, slots=True)
class Stamped:
    """What a request takes from the moment it is made."""

    now_ms: int
    nonce: str


@dataclass(frozen=True, slots=True)
class V3Api:
    """An interface by its method and path, and the fields of its body (dots go inwards)."""

    method: str
    direct: str
    partner: str
    fields: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A verified answer: its HTTP status and its members (none of a 204)."""

    status: int
    fields: Fields

    @property
    def is_good(self) -> bool:
        """Whether the call was done."""
        return self.status in (200, 204)

    @property
    def code(self) -> str:
        """The code of a refusal; ``""`` for whatever does not look like one."""
        return code_word(text_of(self.fields, "code"))

    @property
    def is_answer(self) -> bool:
        """Whether WeChat Pay speaks of the trade, rather than of a fault of its own."""
        return self.status < 500 and self.status != 429

    @property
    def message(self) -> str:
        """The vendor's words; digits long enough to be a payment code are taken out."""
        return _LONG_NUMBER.sub("…", text_of(self.fields, "message"))[:200]


_OURS_DIRECT: Final = ("appid", "mchid")
_OURS_PARTNER: Final = ("sp_appid", "sp_mchid", "sub_appid", "sub_mchid")
_ORDER: Final = (
    "description",
    "out_trade_no",
    "time_expire",
    "attach",
    "notify_url",
    "goods_tag",
    "amount.total",
    "amount.currency",
    "scene_info.payer_client_ip",
    "scene_info.device_id",
    "scene_info.store_info.id",
)


def _order_api(kind: str, *more: str) -> V3Api:
    fields = (*_OURS_DIRECT, *_OURS_PARTNER, *_ORDER, *more)
    direct, partner = f"/v3/pay/transactions/{kind}", f"/v3/pay/partner/transactions/{kind}"
    return V3Api("POST", direct, partner, frozenset(fields))


def _trade_api(tail: str, *fields: str, method: str = "POST") -> V3Api:
    direct, partner = f"/v3/pay/transactions/{tail}", f"/v3/pay/partner/transactions/{tail}"
    return V3Api(method, direct, partner, frozenset(fields))


def _shared_api(method: str, path: str, *fields: str) -> V3Api:
    return V3Api(method, path, path, frozenset(fields))


NATIVE: Final = _order_api("native")
JSAPI: Final = _order_api("jsapi", "payer.openid", "payer.sp_openid", "payer.sub_openid")
H5: Final = _order_api("h5", "scene_info.h5_info.type")
APP: Final = _order_api("app")
CODEPAY: Final = _trade_api(
    "codepay",
    *_OURS_DIRECT,
    *_OURS_PARTNER,
    "description",
    "out_trade_no",
    "attach",
    "goods_tag",
    "payer.auth_code",
    "amount.total",
    "amount.currency",
    "scene_info.device_id",
    "scene_info.device_ip",
    "scene_info.store_info.id",
    "scene_info.store_info.out_id",
)
QUERY_BY_OURS: Final = _trade_api("out-trade-no/{number}", method="GET")
QUERY_BY_THEIRS: Final = _trade_api("id/{number}", method="GET")
CLOSE: Final = _trade_api("out-trade-no/{number}/close", "mchid", "sp_mchid", "sub_mchid")
REVERSE: Final = _trade_api("out-trade-no/{number}/reverse", *_OURS_DIRECT, *_OURS_PARTNER)
REFUND: Final = _shared_api(
    "POST",
    "/v3/refund/domestic/refunds",
    "sub_mchid",
    "out_trade_no",
    "out_refund_no",
    "reason",
    "notify_url",
    "amount.refund",
    "amount.total",
    "amount.currency",
)
REFUND_QUERY: Final = _shared_api("GET", "/v3/refund/domestic/refunds/{number}")
CERTIFICATES: Final = _shared_api("GET", "/v3/certificates")
TRADE_BILL: Final = _shared_api("GET", "/v3/bill/tradebill")
FUND_FLOW: Final = _shared_api("GET", "/v3/bill/fundflowbill")


def request_of(
    api: V3Api,
    content: Fields,
    account: WechatAccount,
    keys: PlatformKeys,
    stamped: Stamped,
    *,
    number: str = "",
    query: str = "",
) -> HttpRequest:
    """A call of ``api``, signed.

    Raises:
        Unwritable: a field that the interface does not know.
    """
    unknown = set(_leaves(content)) - api.fields
    if unknown:
        raise Unwritable(f"{api.direct} knows no {', '.join(sorted(unknown))}")
    path = (api.partner if account.is_partner else api.direct).replace("{number}", number)
    target = f"{path}?{query}" if query else path
    body = orjson.dumps(content) if api.method == "POST" else b""
    return _signed(api.method, account.base_url + target, target, body, account, keys, stamped)


def get_signed(
    url: str, account: WechatAccount, keys: PlatformKeys, stamped: Stamped
) -> HttpRequest:
    """A signed GET of a URL that WeChat Pay gave: a file.

    Raises:
        Unwritable: it is at another host than the account's; our signature goes nowhere else.
    """
    if not url.startswith(account.base_url + "/"):
        raise Unwritable("a file at another host")
    parts = urlsplit(url)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return _signed("GET", url, target, b"", account, keys, stamped)


def _signed(
    method: str,
    url: str,
    target: str,
    body: bytes,
    account: WechatAccount,
    keys: PlatformKeys,
    stamped: Stamped,
) -> HttpRequest:
    timestamp = str(stamped.now_ms // 1000)
    signed = message_of(method, target, timestamp, stamped.nonce, body)
    headers = {
        "Authorization": authorization(
            account.key, account.mchid, account.merchant_serial, timestamp, stamped.nonce, signed
        ),
        "Accept": "application/json",
        "User-Agent": "posgate",
    }
    if body:
        headers["Content-Type"] = "application/json"
    if keys.serial:
        headers["Wechatpay-Serial"] = keys.serial
    return HttpRequest(
        method=method, url=url, headers=headers, body=body, timeout_s=account.timeout_s
    )


def ours(account: WechatAccount) -> dict[str, object]:
    """Who we are, in the names of the account's variant."""
    if not account.is_partner:
        return {"appid": account.appid, "mchid": account.mchid}
    named: dict[str, object] = {"sp_appid": account.appid, "sp_mchid": account.mchid}
    if account.sub_appid:
        named["sub_appid"] = account.sub_appid
    return named | {"sub_mchid": account.sub_mchid}


def verified(response: HttpResponse, keys: PlatformKeys, now_ms: int) -> Said:
    """A believable answer, whatever it says.

    Raises:
        Distrusted: it cannot be believed.
    """
    try:
        verify_message(Stamp.of(response.headers), response.body, keys.known, now_ms)
    except WechatSignatureError as fault:
        raise Distrusted(
            str(fault),
            f"HTTP {response.status}",
            misconfigured=response.status in (400, 401, 403),
            unknown_serial=fault.unknown_serial,
        ) from None
    return Said(status=response.status, fields=json_object(response.body))


def json_object(body: bytes) -> Fields:
    """The members of a JSON object; nothing at all is an empty one.

    Raises:
        Distrusted: it is no object.
    """
    if not body:
        return {}
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Distrusted("the answer is not JSON") from None
    if not isinstance(fields, dict):
        raise Distrusted("the answer is not an object")
    return fields


def require_ours(fields: Fields, account: WechatAccount) -> None:
    """Raise :class:`Distrusted` unless it names our numbers, and no other application."""
    mchid = "sp_mchid" if account.is_partner else "mchid"
    appid = "sp_appid" if account.is_partner else "appid"
    if text_of(fields, mchid) != account.mchid:
        raise Distrusted("the answer does not name our merchant number")
    if text_of(fields, appid) not in ("", account.appid):
        raise Distrusted("the answer names another application")
    if account.is_partner and text_of(fields, "sub_mchid") != account.sub_mchid:
        raise Distrusted("the answer does not name our shop")
    if account.sub_appid and text_of(fields, "sub_appid") not in ("", account.sub_appid):
        raise Distrusted("the answer names another application of the shop")


def require_order(fields: Fields, order_no: str) -> None:
    """Raise :class:`Distrusted` unless it names our order."""
    if not order_no or fields.get("out_trade_no") != order_no:
        raise Distrusted("the answer does not name our order")


def text_of(fields: Fields, name: str) -> str:
    """A member that is text, ``""`` for any other."""
    value = fields.get(name, "")
    return value if isinstance(value, str) else ""


def amount_of(fields: Fields, name: str) -> int:
    """``amount.<name>`` in fen.

    Raises:
        Distrusted: it is missing or no amount.
    """
    amounts = fields.get("amount")
    value = amounts.get(name) if isinstance(amounts, dict) else None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 10**12:
        raise Distrusted("no amount that can be read", name)
    return value


def currency_of(fields: Fields) -> str:
    """``amount.currency`` as it stands, ``""`` where it tells none."""
    amounts = fields.get("amount")
    return text_of(amounts, "currency") if isinstance(amounts, dict) else ""


def _leaves(content: Fields, prefix: str = "") -> list[str]:
    found: list[str] = []
    for name, value in content.items():
        if type(value) is dict:  # an abstract class's isinstance costs as much as the rest
            found += _leaves(value, f"{prefix}{name}.")
        else:
            found.append(prefix + name)
    return found
