"""The simulated Alipay gateway: ``handle(request, state, now_ms) -> Effect``.

Rules (reference ``channels.md`` A1, written apart from ``signing/alipay.py`` so that
both ends of the wire are written twice):

* A request is a form, its parameters in the query string, the body or both. The
  signature covers every non-empty parameter but ``sign``, sorted, ``k=v`` joined with
  ``&``, values not URL-encoded; RSA2 only. It is checked before anything is done.
* An answer's node is written once; exactly those bytes are signed. Slashes are
  escaped, as the vendor's writer does, so that a reader who re-serialises fails.
* An unknown ``app_id`` is answered unsigned in the method's node (no key is known to
  sign with), as is a call without a usable method, in ``error_response``. Every
  other refusal is signed.
"""

import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from types import MappingProxyType
from typing import Final

import orjson

from domain.record import brief
from sandbox.alipay_bill import BillDesk
from sandbox.alipay_books import AlipayBooks, BooksFull
from sandbox.alipay_calls import Biz, Node, Refusal, ordered
from sandbox.alipay_dress import Undecipherable, dress_of
from sandbox.alipay_faces import FACE_PAYER, Faces
from sandbox.alipay_methods import METHODS, pay
from sandbox.alipay_notices import NoticeSender
from sandbox.alipay_orders import OpenOrders
from sandbox.config import AlipaySandboxConfig
from sandbox.effects import HANG_UP, Effect
from sandbox.form import FormError, parse_form
from sandbox.nonces import Nonces
from sandbox.notifier import Notice
from signing.rsa import load_private_key, sign_sha256, verify_sha256

Params = Mapping[str, str]
PAY: Final = "alipay.trade.pay"
PRECREATE: Final = "alipay.trade.precreate"
CREATE: Final = "alipay.trade.create"
AUTHORISED: Final = "alipay.system.oauth.token"
BILL: Final = "alipay.data.dataservice.bill.downloadurl.query"
FACE: Final = "zoloz.authentication.customer.smilepay.initialize"
FTOKEN: Final = "zoloz.authentication.customer.ftoken.query"
_WITHOUT_BIZ: Final = frozenset((AUTHORISED,))
"""Methods whose parameters stand beside the common ones."""
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)
_RESPONSE_KEYS: Final[Mapping[str, bytes]] = MappingProxyType(
    {
        method: method.replace(".", "_").encode() + b"_response"
        for method in (PAY, PRECREATE, CREATE, AUTHORISED, BILL, FACE, FTOKEN, *METHODS)
    }
)
_ERROR_KEY: Final = b"error_response"
_PLAIN_KEYS: Final = frozenset((_ERROR_KEY, *(_RESPONSE_KEYS[one] for one in _WITHOUT_BIZ)))
"""Answers that are never encrypted."""


class _Refused(Exception):
    """A call that the gateway refuses before any method sees it."""

    def __init__(self, code: str, sub_code: str, sub_msg: str, *, signed: bool = True) -> None:
        super().__init__(sub_code)
        self.node: Node = {
            "code": code,
            "msg": "Missing Required Arguments" if code == "40001" else "Invalid Arguments",
            "sub_code": sub_code,
            "sub_msg": sub_msg,
        }
        self.signed = signed


@brief
class GatewayRequest:
    """The parameters of one call; ``None`` if they cannot be read. ``method`` may be empty."""

    method: str
    params: Mapping[str, str] | None = field(repr=False)


class AlipayState:
    """The app's keys and the channel's books; lives as long as the sandbox."""

    def __init__(
        self, config: AlipaySandboxConfig, *, user_paying_after_ms: int, max_orders: int
    ) -> None:
        self.app_id = config.app_id
        self.dress = dress_of(config)
        self.app_auth_token = config.app_auth_token
        self.own_key = load_private_key(config.alipay_private_key_pem)
        self.user_paying_after_ms = user_paying_after_ms
        self.books = AlipayBooks(max_orders)
        self.orders = OpenOrders(self.books, max_orders, user_paying_after_ms)
        self.faces = Faces(max_orders)
        self.bills = BillDesk(self.books, config.seller_id)
        self.nonces = Nonces()
        self.sender = NoticeSender(
            app_id=config.app_id, seller_id=config.seller_id, key=self.own_key
        )

    def notices(self) -> Iterator[Notice]:
        """What merchants are to be told, each once."""
        happened, self.books.happened[:] = list(self.books.happened), []
        for one in happened:
            yield self.sender.of(one.trade, one.event, one.refund_no, one.at_ms)


def read_request(query: bytes, body: bytes) -> GatewayRequest:
    """Join the parameters of URL and form body; a repeated name makes them unreadable."""
    try:
        params = parse_form(query + b"&" + body if query and body else query or body)
    except FormError:
        return GatewayRequest("", None)
    return GatewayRequest(params.get("method", ""), params)


def handle(request: GatewayRequest, state: AlipayState, now_ms: int) -> Effect:
    """Answer one call of ``/gateway.do``."""
    key = _RESPONSE_KEYS.get(request.method, _ERROR_KEY)
    try:
        biz = _accept(request, state)
    except _Refused as refused:
        return Effect(_envelope(key, refused.node, state if refused.signed else None))
    node = perform(request, biz, state, now_ms)
    if request.method == AUTHORISED and node is not None and "sub_code" in node:
        key = _ERROR_KEY  # this method's refusals come so
    return HANG_UP if node is None else Effect(_envelope(key, node, state))


def refusal(request: GatewayRequest, state: AlipayState, code: str) -> Effect:
    """A fault on demand: what ``code`` says, signed, to a call that is in order."""
    key = _RESPONSE_KEYS.get(request.method, _ERROR_KEY)
    try:
        return Effect(_envelope(key, ordered(code, _accept(request, state)), state))
    except _Refused as refused:
        return Effect(_envelope(key, refused.node, state if refused.signed else None))


def _accept(request: GatewayRequest, state: AlipayState) -> Mapping[str, object]:
    """The ``biz_content`` of a call that is complete, known and truly signed."""
    params = request.params
    if params is None:
        raise _Refused("40002", "isv.invalid-parameter", "参数无效", signed=False)
    if not request.method:
        raise _Refused("40001", "isv.missing-method", "缺少方法名参数", signed=False)
    if request.method not in _RESPONSE_KEYS:
        raise _Refused("40002", "isv.invalid-method", "不存在的方法名", signed=False)
    if not params.get("app_id"):
        raise _Refused("40001", "isv.missing-app-id", "缺少AppID参数", signed=False)
    if params["app_id"] != state.app_id:
        raise _Refused("40002", "isv.invalid-app-id", "无效的AppID参数", signed=False)
    _check_common(params, request.method)
    if not _is_signed(params, state):
        raise _Refused(
            "40002",
            "isv.invalid-signature",
            "验签出错，建议检查签名字符串或签名私钥与应用公钥是否匹配",
        )
    _check_dress(params, request.method, state)
    if request.method in _WITHOUT_BIZ:
        return params
    content = params["biz_content"].encode()
    try:
        biz = orjson.loads(state.dress.decrypt(content) if state.dress.aes_key else content)
    except Undecipherable:
        raise _Refused("40002", "isv.decryption-error", "解密出错") from None
    except orjson.JSONDecodeError:
        biz = None
    if not isinstance(biz, dict):
        raise _Refused("40002", "isv.invalid-parameter", "biz_content 不是有效的 JSON")
    return biz


_MISSING: Final = (
    ("sign", "isv.missing-signature", "缺少签名参数"),
    ("sign_type", "isv.missing-signature-type", "缺少签名类型参数"),
    ("timestamp", "isv.missing-timestamp", "缺少时间戳参数"),
    ("version", "isv.missing-version", "缺少版本参数"),
    ("biz_content", "isv.missing-parameter", "缺少 biz_content 参数"),
)


def _check_common(params: Mapping[str, str], method: str) -> None:
    for name, sub_code, sub_msg in _MISSING:
        if not params.get(name) and (name != "biz_content" or method not in _WITHOUT_BIZ):
            raise _Refused("40001", sub_code, sub_msg)
    if params["sign_type"] != "RSA2":
        raise _Refused("40002", "isv.invalid-signature-type", "无效的签名类型")
    if params.get("charset", "utf-8").lower() != "utf-8":
        raise _Refused("40002", "isv.invalid-charset", "字符集错误")
    if params.get("format", "JSON").lower() != "json":
        raise _Refused("40002", "isv.invalid-format", "无效的数据格式")
    if params["version"] != "1.0":
        raise _Refused("40002", "isv.invalid-version", "非法的版本参数")
    if _TIMESTAMP.fullmatch(params["timestamp"]) is None:
        raise _Refused("40002", "isv.invalid-timestamp", "非法的时间戳参数")


def _check_dress(params: Params, method: str, state: AlipayState) -> None:
    """Certificates, encryption and the merchant's token, as the app is registered."""
    dress = state.dress
    named = (params.get("app_cert_sn", ""), params.get("alipay_root_cert_sn", ""))
    if dress.app_sn and named != (dress.app_sn, dress.root_sn):
        raise _Refused("40002", "isv.invalid-app-cert-sn", "证书序列号不正确")
    encrypts = dress.aes_key and method not in _WITHOUT_BIZ  # contents alone are encrypted
    if encrypts and params.get("encrypt_type") != "AES":
        raise _Refused("40002", "isv.invalid-encrypt-type", "不支持的加密类型")
    if params.get("app_auth_token", "") != state.app_auth_token:
        raise _Refused("20001", "aop.invalid-app-auth-token", "无效的应用授权令牌")


def _is_signed(params: Mapping[str, str], state: AlipayState) -> bool:
    """RSA2 over the sorted, non-empty parameters but ``sign``."""
    signed = "&".join([f"{k}={v}" for k, v in sorted(params.items()) if v and k != "sign"])
    try:
        signature = binascii.a2b_base64(params["sign"], strict_mode=True)
    except (binascii.Error, ValueError):
        return False
    return verify_sha256(state.dress.app_key, signed.encode(), signature)


def _pay(biz: Biz, params: Params, state: AlipayState, now_ms: int) -> Node | None:
    """A face's token pays as an approved code does; the payer is whose face it is."""
    notify_url = params.get("notify_url", "")
    if biz.get("scene") != "security_code":
        return pay(biz, state.books, state.user_paying_after_ms, notify_url, now_ms)
    token = biz.get("auth_code")
    if not isinstance(token, str) or not state.faces.use(
        token, str(biz.get("out_trade_no", "")), now_ms
    ):
        raise Refusal("ACQ.PAYMENT_AUTH_CODE_INVALID", "支付失败，请重新刷脸")
    return pay(biz, state.books, state.user_paying_after_ms, notify_url, now_ms, face=FACE_PAYER)


_Act = Callable[[Biz, Params, AlipayState, int], Node | None]
_ACTS: Final[Mapping[str, _Act]] = MappingProxyType(
    {
        PAY: _pay,
        PRECREATE: lambda biz, params, state, now_ms: state.orders.precreate(
            biz, params.get("notify_url", ""), now_ms
        ),
        CREATE: lambda biz, params, state, now_ms: state.orders.create(
            biz, params.get("notify_url", ""), now_ms
        ),
        AUTHORISED: lambda _biz, params, state, now_ms: state.orders.token(params, now_ms),
        BILL: lambda biz, _params, state, now_ms: state.bills.url(biz, now_ms),
        FACE: lambda biz, _params, state, now_ms: state.faces.initialize(biz, now_ms),
        FTOKEN: lambda biz, _params, state, now_ms: state.faces.query(biz, now_ms),
    }
)
"""The methods that need more than the books."""


def is_known(method: str) -> bool:
    """Whether there is such a method."""
    return method in _RESPONSE_KEYS


def perform(request: GatewayRequest, biz: Biz, state: AlipayState, now_ms: int) -> Node | None:
    """The node of an accepted call; ``None`` to hang up."""
    params = request.params or {}
    act = _ACTS.get(request.method)
    try:
        if act is not None:
            return act(biz, params, state, now_ms)
        return METHODS[request.method](biz, state.books, now_ms)
    except Refusal as no:
        return {
            "code": no.code,
            "msg": "Business Failed" if no.code == "40004" else "Invalid Arguments",
            "sub_code": no.sub_code,
            "sub_msg": no.sub_msg,
        }
    except BooksFull:
        return {
            "code": "20000",
            "msg": "Service Currently Unavailable",
            "sub_code": "isp.unknow-error",
            "sub_msg": "系统繁忙",
        }


def _envelope(key: bytes, node: Node, signer: AlipayState | None) -> bytes:
    raw = orjson.dumps(node).replace(b"/", b"\\/")
    if signer is None:
        return b'{"%b":%b}' % (key, raw)
    dress = signer.dress
    if dress.aes_key and key not in _PLAIN_KEYS and "sub_code" not in node:
        raw = b'"%b"' % dress.encrypt(raw)
    signature = binascii.b2a_base64(sign_sha256(signer.own_key, raw), newline=False)
    if dress.own_sn:
        return b'{"%b":%b,"alipay_cert_sn":"%b","sign":"%b"}' % (
            key, raw, dress.own_sn.encode(), signature,
        )  # fmt: skip
    return b'{"%b":%b,"sign":"%b"}' % (key, raw, signature)


def spoil(answer: bytes) -> bytes:
    """The answer with one letter of its signature changed (for :mod:`sandbox.faults`)."""
    mark = answer.rfind(b'"sign":"')
    if mark < 0:
        return answer
    at = mark + len(b'"sign":"')
    swapped = b"B" if answer[at : at + 1] == b"A" else b"A"
    return answer[:at] + swapped + answer[at + 1 :]
