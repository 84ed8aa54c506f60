"""The simulated APIv3: JSON, signed both ways (reference ``channels.md`` B2).

Rules: the request's signature is checked over the raw bytes before anything is done; every
answer is signed (a refused signature too, by the platform certificate), but the bytes of a
bill are not. Names that an interface does not know are PARAM_ERROR, as the vendor has it.
"""

import gzip
import hashlib
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import unquote

import orjson

from sandbox.effects import HANG_UP, Effect
from sandbox.form import FormError, parse_form
from sandbox.http_wire import HttpRequest, response
from sandbox.wechat_acts import Refusal
from sandbox.wechat_bill import KINDS, BillNotThere, BillWanted, bill_text
from sandbox.wechat_books import BooksFull
from sandbox.wechat_keys import NotSigned, Signer
from sandbox.wechat_state import WeChatState
from sandbox.wechat_v3_methods import (
    close_order,
    make_order,
    make_refund,
    pay_code,
    query_order,
    query_refund,
    reverse_order,
)

JSON: Final = b"application/json; charset=utf-8"
DOWNLOAD_LIFE_MS: Final = 30_000
ACCOUNTS: Final = ("BASIC", "OPERATION", "FEES")

_BILL_ERRORS: Final = MappingProxyType(
    {
        "NO_STATEMENT_EXIST": "请求的账单文件不存在，请检查当前商户号在指定日期内是否有成功的交易",
        "STATEMENT_CREATING": "账单生成中，请先检查当前商户号在指定日期内是否有成功的交易或退款，若有则在T+1日上午10点后再重新下载",
        "PARAM_ERROR": "参数错误，请检查账单日期和类型",
    }
)


@dataclass(frozen=True, slots=True)
class Call:
    """One believed request. ``names`` are the parts of its path, ``is_partner`` its variant."""

    names: Mapping[str, str]
    is_partner: bool
    query: Mapping[str, str]
    body: dict[str, Any] = field(repr=False)
    scheme: str
    base_url: str


@dataclass(frozen=True, slots=True)
class Done:
    """What an operation came to; ``raw`` is a file, which is not signed."""

    value: object = None
    status: int = 200
    raw: bytes | None = field(default=None, repr=False)


_Operation = Callable[[Call, WeChatState, int], Done | None]


def handle(request: HttpRequest, state: WeChatState, now_ms: int) -> Effect:
    """Answer one call of APIv3."""
    target = request.path + (f"?{request.query.decode('latin-1')}" if request.query else "")
    try:
        proof = state.keys.check(
            request.header("Authorization"), request.method, target, request.body, now_ms
        )
    except NotSigned as fault:
        signer = state.keys.by_certificate
        return _error(Refusal("SIGN_ERROR", fault.why, status=401), signer, state, now_ms)
    signer_or_none = state.keys.signer(proof.scheme, request.header("Wechatpay-Serial"))
    if signer_or_none is None:
        no = Refusal("PARAM_ERROR", "Wechatpay-Serial 对应的平台证书或公钥不存在")
        return _error(no, state.keys.by_certificate, state, now_ms)
    try:
        done = _perform(request, proof.scheme, state, now_ms)
    except Refusal as refused:
        return _error(refused, signer_or_none, state, now_ms)
    except BooksFull:
        no = Refusal("SYSTEM_ERROR", "系统异常，请稍后重试", status=500)
        return _error(no, signer_or_none, state, now_ms)
    if done is None:
        return HANG_UP
    if done.raw is not None:
        return Effect(response(200, done.raw, b"application/octet-stream", keep_alive=True))
    return _answer(done.status, done.value, signer_or_none, state, now_ms)


def refusal(request: HttpRequest, state: WeChatState, now_ms: int, code: str) -> Effect:
    """A fault on demand: ``code`` is ``500``, ``429 FREQUENCY_LIMITED`` or ``PARAM_ERROR``."""
    status, _, word = code.partition(" ") if code[0].isdigit() else ("400", " ", code)
    no = Refusal(word or "SYSTEM_ERROR", "沙箱按要求返回的错误", status=int(status))
    scheme = request.header("Authorization").partition(" ")[0]
    signer = state.keys.signer(scheme, request.header("Wechatpay-Serial"))
    return _error(no, signer or state.keys.by_certificate, state, now_ms)


def _error(no: Refusal, signer: Signer, state: WeChatState, now_ms: int) -> Effect:
    return _answer(no.status, {"code": no.v3, "message": no.message}, signer, state, now_ms)


def _answer(status: int, value: object, signer: Signer, state: WeChatState, now_ms: int) -> Effect:
    body = b"" if value is None else orjson.dumps(value)
    headers = {
        "Request-ID": state.keys.new_nonce(),
        **signer.headers(body, state.keys.new_nonce(), now_ms),
    }
    lines = "".join(f"{name}: {text}\r\n" for name, text in headers.items()).encode()
    return Effect(response(status, body, JSON, keep_alive=True, headers=lines))


def _perform(request: HttpRequest, scheme: str, state: WeChatState, now_ms: int) -> Done | None:
    found = route(request.method, request.path)
    if found is None:
        raise Refusal("RESOURCE_NOT_EXISTS", "无可用的平台接口，请检查请求路径", status=404)
    operation, template, names = found
    try:
        query = parse_form(request.query) if request.query else {}
    except FormError:
        raise Refusal("PARAM_ERROR", "查询参数无法解析") from None
    body: object = {}
    if request.method == "POST":
        try:
            body = orjson.loads(request.body)
        except orjson.JSONDecodeError:
            raise Refusal("INVALID_REQUEST", "HTTP请求体不是有效的JSON") from None
    if not isinstance(body, dict):
        raise Refusal("INVALID_REQUEST", "HTTP请求体不是JSON对象")
    is_partner = "/partner/" in template
    host = request.header("Host")
    base_url = f"{'https' if state.config.tls else 'http'}://{host}"
    return operation(Call(names, is_partner, query, body, scheme, base_url), state, now_ms)


def _certificates(call: Call, state: WeChatState, now_ms: int) -> Done:
    """Platform certificates, encrypted; ``algorithm_type`` chooses RSA (default), SM2 or ALL."""
    wanted = call.query.get("algorithm_type", "RSA")
    listed = [
        {
            "serial_no": one.serial,
            "effective_time": one.effective,
            "expire_time": one.expires,
            "encrypt_certificate": state.keys.encrypt(
                one.pem, "certificate", is_national=one.is_national
            ),
        }
        for one in state.keys.certificates
        if wanted == "ALL" or one.is_national == (wanted == "SM2")
    ]
    return Done({"data": listed})


def _bill(call: Call, state: WeChatState, now_ms: int, kind: str) -> Done:
    sub_mchid, day = call.query.get("sub_mchid", ""), call.query.get("bill_date", "")
    tar_type = call.query.get("tar_type", "")
    if tar_type not in ("", "GZIP") or not state.knows(sub_mchid):
        raise Refusal("PARAM_ERROR", "tar_type或sub_mchid错误")
    try:
        text = bill_text(BillWanted(kind, day, sub_mchid), state, now_ms)
    except BillNotThere as no:
        raise Refusal(no.v3_code, _BILL_ERRORS[no.v3_code]) from None
    # SHA-1 is the hash that the interface fixes; it tells damage, not forgery.
    digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    token = _token(state, [kind, day, sub_mchid, tar_type, now_ms])
    url = f"{call.base_url}/v3/billdownload/file?token={token}"
    return Done({"hash_type": "SHA1", "hash_value": digest, "download_url": url})


def _trade_bill(call: Call, state: WeChatState, now_ms: int) -> Done:
    kind = call.query.get("bill_type", "ALL")
    if kind not in KINDS:
        raise Refusal("PARAM_ERROR", "bill_type错误")
    return _bill(call, state, now_ms, kind)


def _flow_bill(call: Call, state: WeChatState, now_ms: int) -> Done:
    account = call.query.get("account_type", "BASIC")
    if account not in ACCOUNTS:
        raise Refusal("PARAM_ERROR", "account_type错误")
    if account != "BASIC":
        raise Refusal("NO_STATEMENT_EXIST", _BILL_ERRORS["NO_STATEMENT_EXIST"])
    return _bill(call, state, now_ms, "FUNDFLOW")


def _download(call: Call, state: WeChatState, now_ms: int) -> Done:
    kind, day, sub_mchid, tar_type, made_at_ms = _from_token(state, call.query.get("token", ""))
    if now_ms - made_at_ms > DOWNLOAD_LIFE_MS:
        raise Refusal("INVALID_REQUEST", "下载链接已过期，请重新申请账单")
    # As of the moment that the hash was made: what was charged since is tomorrow's affair.
    raw = bill_text(BillWanted(kind, day, sub_mchid), state, made_at_ms).encode()
    return Done(raw=gzip.compress(raw, mtime=0) if tar_type == "GZIP" else raw)


def _seal(state: WeChatState, text: bytes) -> bytes:
    key = f"bills {state.config.apiv3_key}".encode()
    return hmac.new(key, text, hashlib.sha256).digest()[:16]


def _token(state: WeChatState, content: list[object]) -> str:
    text = orjson.dumps(content)
    return urlsafe_b64encode(_seal(state, text) + text).decode().rstrip("=")


def _from_token(state: WeChatState, token: str) -> Any:
    try:
        raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (Base64Error, ValueError):
        raw = b""
    if not hmac.compare_digest(_seal(state, raw[16:]), raw[:16]):
        raise Refusal("PARAM_ERROR", "token无效")
    return orjson.loads(raw[16:])


def _of(act: Callable[..., object], status: int = 200) -> _Operation:
    """An operation on orders or refunds; ``None`` of :func:`pay_code` hangs up."""

    def operation(call: Call, state: WeChatState, now_ms: int) -> Done | None:
        value = act(call, state, now_ms)
        return None if value is None and status == 200 else Done(value, status)

    return operation


_PAY: Final = "/v3/pay/transactions"
_PARTNER_PAY: Final = "/v3/pay/partner/transactions"
_ORDERS: Final[Mapping[tuple[str, str], _Operation]] = MappingProxyType(
    {
        ("POST", "/native"): _of(make_order),
        ("POST", "/jsapi"): _of(make_order),
        ("POST", "/h5"): _of(make_order),
        ("POST", "/app"): _of(make_order),
        ("POST", "/codepay"): _of(pay_code),
        ("GET", "/id/{transaction_id}"): _of(query_order),
        ("GET", "/out-trade-no/{out_trade_no}"): _of(query_order),
        ("POST", "/out-trade-no/{out_trade_no}/close"): _of(close_order, 204),
        ("POST", "/out-trade-no/{out_trade_no}/reverse"): _of(reverse_order),
    }
)
_REFUNDS: Final = "/v3/refund/domestic/refunds"
ROUTES: Final[Mapping[tuple[str, str], _Operation]] = MappingProxyType(
    {
        **{(verb, base + path): operation
           for base in (_PAY, _PARTNER_PAY) for (verb, path), operation in _ORDERS.items()},
        ("POST", _REFUNDS): _of(make_refund),
        ("GET", f"{_REFUNDS}/{{out_refund_no}}"): _of(query_refund),
        ("GET", "/v3/certificates"): _certificates,
        ("GET", "/v3/bill/tradebill"): _trade_bill,
        ("GET", "/v3/bill/fundflowbill"): _flow_bill,
        ("GET", "/v3/billdownload/file"): _download,
    }
)  # fmt: skip
"""By method and the path as the vendor writes it: also the names that faults match."""

_PATTERNS: Final = tuple(
    (verb, re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path))), path, operation)
    for (verb, path), operation in ROUTES.items()
)


def route(method: str, path: str) -> tuple[_Operation, str, dict[str, str]] | None:
    """The operation of a request, its path's template and the path's parts."""
    for verb, pattern, template, operation in _PATTERNS:
        match = pattern.fullmatch(path) if verb == method else None
        if match is not None:
            names = {name: unquote(value) for name, value in match.groupdict().items()}
            names["kind"] = template.rpartition("/")[2]
            return operation, template, names
    return None
