r"""The simulated Alipay's REST gateway (reference ``channels.md`` A2, written apart).

Rules:

* A path is a method of version 2: ``/v3/alipay/trade/pay``. The bill's URL is asked for with
  GET, all else with POST and a JSON body (or its ciphertext as ``text/plain``).
* ``Authorization: ALIPAY-SHA256withRSA app_id=…[,app_cert_sn=…],nonce=…,timestamp=…,sign=…``
  signs ``head\nMETHOD\nuri?query\nbody\n[app auth token\n]`` and is checked before anything is
  done; a nonce is good once, a time within ten minutes.
* Answers are signed over ``timestamp\nnonce\nbody\n`` in headers. A success is 200 and the
  fields of version 2 without ``code`` and ``msg`` (but 10003 stays, with 200); a refusal is
  400 and ``{"code","message","links"}``; what is down is 500.
"""

import base64
import binascii
import hashlib
import re
from typing import Final

import orjson

from sandbox.alipay import AlipayState, GatewayRequest, is_known, perform
from sandbox.alipay_calls import Biz, Node, ordered
from sandbox.alipay_dress import Undecipherable
from sandbox.connection import HttpAnswer
from sandbox.effects import HANG_UP, Effect
from sandbox.form import FormError, parse_form
from sandbox.http_wire import HttpRequest, response
from signing.rsa import sign_sha256, verify_sha256

PREFIX: Final = "/v3/"
_SCHEME: Final = "ALIPAY-SHA256withRSA "
_HEAD: Final = re.compile(
    r"app_id=([^,]+)(?:,app_cert_sn=([^,]+))?,nonce=([^,]{1,64}),timestamp=([0-9]{13})"
    r",sign=([A-Za-z0-9+/=]+)",
    re.ASCII,
)
_WINDOW_MS: Final = 600_000
_BY_GET: Final = frozenset(("alipay.data.dataservice.bill.downloadurl.query",))
_JSON: Final = b"application/json;charset=utf-8"


class _Refused(Exception):
    """Refused before any method sees it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code)
        self.status = status
        self.body: Node = {"code": code, "message": message, "links": []}


def method_of(path: str) -> str:
    """``alipay.trade.pay`` of its path."""
    return path.removeprefix(PREFIX).replace("/", ".")


def handle(request: HttpRequest, state: AlipayState, now_ms: int) -> HttpAnswer:
    """Answer one REST call."""
    method = method_of(request.path)
    try:
        biz = _accept(request, method, state, now_ms)
    except _Refused as refused:
        return _answer(refused.status, refused.body, request, state, now_ms)
    params = {name: value for name, value in biz.items() if isinstance(value, str)}
    node = perform(GatewayRequest(method, params), biz, state, now_ms)
    if node is None:
        return HttpAnswer(HANG_UP)
    return _answer(*_as_v3(node), request, state, now_ms)


def refusal(request: HttpRequest, state: AlipayState, now_ms: int, code: str) -> Effect:
    """A fault on demand: what ``code`` says, signed, to a call that is in order."""
    try:
        biz = _accept(request, method_of(request.path), state, now_ms)
    except _Refused as refused:
        return _answer(refused.status, refused.body, request, state, now_ms).effect
    return _answer(*_as_v3(ordered(code, biz)), request, state, now_ms).effect


def _as_v3(node: Node) -> tuple[int, Node]:
    code = node.get("code", "10000")
    if code == "20000":
        return 500, {"code": "UNKNOWN_ERROR", "message": "系统繁忙", "links": []}
    if "sub_code" in node or code not in ("10000", "10003"):
        told = node.get("sub_code", code)
        return 400, {"code": told, "message": node.get("sub_msg", ""), "links": []}
    fields = {name: value for name, value in node.items() if name not in ("code", "msg")}
    return 200, ({**fields, "code": code, "msg": node["msg"]} if code == "10003" else fields)


def _accept(request: HttpRequest, method: str, state: AlipayState, now_ms: int) -> Biz:
    if not is_known(method) or (request.method == "GET") is not (method in _BY_GET):
        raise _Refused(404, "NOT_FOUND", "接口不存在")
    _authenticate(request, state, now_ms)
    if method in _BY_GET:
        try:
            return parse_form(request.query)
        except FormError:
            raise _Refused(400, "INVALID_PARAMETER", "参数无效") from None
    body = request.body
    if state.dress.aes_key:
        if request.header("alipay-encrypt-type") != "AES":
            raise _Refused(400, "INVALID_PARAMETER", "请求未加密")
        try:
            body = state.dress.decrypt(body)
        except Undecipherable:
            raise _Refused(400, "DECRYPTION_ERROR", "解密失败") from None
    try:
        biz = orjson.loads(body)
    except orjson.JSONDecodeError:
        biz = None
    if not isinstance(biz, dict):
        raise _Refused(400, "INVALID_PARAMETER", "请求体不是 JSON")
    return biz


def _authenticate(request: HttpRequest, state: AlipayState, now_ms: int) -> None:
    header = request.header("authorization")
    found = _HEAD.fullmatch(header.removeprefix(_SCHEME))
    if not header.startswith(_SCHEME) or found is None:
        raise _Refused(401, "MISSING_AUTHORIZATION", "Authorization 不正确")
    app_id, app_sn, nonce, timestamp, sign = found.groups()
    if app_id != state.app_id:
        raise _Refused(401, "INVALID_APP_ID", "无效的AppID参数")
    dress = state.dress
    if dress.app_sn and (
        app_sn != dress.app_sn or request.header("alipay-root-cert-sn") != dress.root_sn
    ):
        raise _Refused(401, "INVALID_CERT_SN", "证书序列号不正确")
    token = request.header("alipay-app-auth-token")
    if token != state.app_auth_token:
        raise _Refused(403, "INVALID_APP_AUTH_TOKEN", "无效的应用授权令牌")
    uri = f"{request.path}?{request.query.decode()}" if request.query else request.path
    head = header.removeprefix(_SCHEME).rpartition(",sign=")[0]
    signed = f"{head}\n{request.method}\n{uri}\n".encode() + request.body
    signed += f"\n{token}\n".encode() if token else b"\n"
    try:
        signature = base64.b64decode(sign, validate=True)
    except binascii.Error:
        signature = b""
    if not verify_sha256(dress.app_key, signed, signature):
        raise _Refused(401, "INVALID_SIGNATURE", "验签出错")
    if abs(int(timestamp) - now_ms) > _WINDOW_MS or not state.nonces.is_new(nonce):
        raise _Refused(401, "INVALID_TIMESTAMP", "请求已过期或重复")


def _answer(
    status: int, node: Node, request: HttpRequest, state: AlipayState, now_ms: int
) -> HttpAnswer:
    body = orjson.dumps(node)
    if state.dress.aes_key and status == 200:
        body = state.dress.encrypt(body)
    nonce = hashlib.sha256(b"%d%b" % (now_ms, body)).hexdigest()[:32]
    signature = base64.b64encode(
        sign_sha256(state.own_key, f"{now_ms}\n{nonce}\n".encode() + body + b"\n")
    )
    headers = b"alipay-timestamp: %d\r\nalipay-nonce: %b\r\nalipay-signature: %b\r\n" % (
        now_ms,
        nonce.encode(),
        signature,
    )
    if state.dress.own_sn:
        headers += b"alipay-sn: %b\r\n" % state.dress.own_sn.encode()
    whole = response(status, body, _JSON, keep_alive=request.keep_alive, headers=headers)
    return HttpAnswer(Effect(whole), status, is_whole=True)


def spoil(whole: bytes) -> bytes:
    """The answer with one letter of its signature changed (for :mod:`sandbox.faults`)."""
    at = whole.find(b"alipay-signature: ") + len(b"alipay-signature: ")
    if at < len(b"alipay-signature: "):
        return whole
    swapped = b"B" if whole[at : at + 1] == b"A" else b"A"
    return whole[:at] + swapped + whole[at + 1 :]
