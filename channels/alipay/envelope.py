"""The envelope of every Alipay call: a signed form out, a verified answer in. Pure.

Rules:

* An answer is believed only after its signature verified over the raw bytes, and
  only the verified bytes are read. The signature does not cover *which call* was
  answered, so each reader also demands what only its own call answers.
* Every answer that names another order, seller or shape is ``Distrusted``.
* In certificate mode the answer names the certificate that verifies it. Contents are
  encrypted before they are signed, and answers verified before they are decrypted.
* Times are Beijing's, whatever the machine's zone is.
* An account's transport decides whether a call is a form (here) or REST (``v3.py``); who
  builds and reads it does not know.

Reference ``channels.md`` A1.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Final
from urllib.parse import quote_plus

import orjson

from channels.alipay.account import AlipayAccount, Transport
from channels.alipay.codes import GATEWAY_REFUSALS
from channels.alipay.distrust import Distrusted
from channels.alipay.v3 import fields_v3, request_v3
from channels.port import HttpRequest, HttpResponse
from domain.clock import beijing
from domain.record import brief
from signing.alipay import AlipaySignatureError, sign, sign_octets, verified_json
from signing.alipay_aes import AesError, decrypt, encrypt

_HEADERS: Final = {"Content-Type": "application/x-www-form-urlencoded;charset=utf-8"}
_LONG_NUMBER: Final = re.compile(r"[0-9]{12,}")

_ASCII: Final = "".join(map(chr, range(128)))
# the plus sign before the blank that becomes one; the percent sign is quoted before these
_QUOTED: Final = tuple(
    (character, quote_plus(character))
    for character in sorted(_ASCII, key=lambda one: one != "+")
    if quote_plus(character) != character and character != "%"
)

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.~-]*+")
_FOREIGN: Final = re.compile(r"[^\x00-\x7f]+")

Fields = Mapping[str, object]


def form_quoted(text: str) -> str:
    """``quote_plus``, at a fifth of its cost (a form has 700 characters, its subject Chinese)."""
    if _PLAIN.fullmatch(text):
        return text
    text = text.replace("%", "%25")
    if not text.isascii():  # first, for what is ASCII alone is searched much faster
        text = _FOREIGN.sub(_escaped, text)
    for character, quoted in _QUOTED:
        if character in text:
            text = text.replace(character, quoted)
    return text


def _escaped(foreign: re.Match[str]) -> str:
    return f"%{foreign[0].encode().hex('%').upper()}"


def _base64_quoted(text: str) -> str:
    return text.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")


def request_of(
    method: str,
    content: Mapping[str, object],
    account: AlipayAccount,
    now_ms: int,
    nonce: str = "",
    notify_url: str = "",
) -> HttpRequest:
    """A call of ``method``, signed; ``content`` is its ``biz_content``.

    ``nonce`` is what version 3 wants fresh with every request.
    """
    if account.transport is Transport.V3:
        return request_v3(method, content, account, now_ms, nonce, notify_url)
    common = _common_of(method, account, now_ms, notify_url, encrypts=bool(account.aes_key))
    written = _written(content, account)
    signed = f"{common.before}biz_content={written}{common.after}"
    return _post(
        f"{common.form}&biz_content={form_quoted(written)}",
        sign_octets(signed.encode(), account.private_key),
        account,
    )


def form_of(
    method: str, more: Mapping[str, str], account: AlipayAccount, now_ms: int
) -> HttpRequest:
    """A call to the gateway of version 2 without a ``biz_content``; ``more`` is what it says."""
    common = _common_of(method, account, now_ms, "", encrypts=False)
    parts = [common.form, *(f"{name}={form_quoted(value)}" for name, value in more.items())]
    return _post("&".join(parts), sign({**common.params, **more}, account.private_key), account)


def _post(form: str, signature: str, account: AlipayAccount) -> HttpRequest:
    return HttpRequest(
        method="POST",
        url=account.gateway_url,
        headers=_HEADERS,
        body=f"{form}&sign={_base64_quoted(signature)}".encode("ascii"),
        timeout_s=account.timeout_s,
    )


@brief
class _Common:
    """What the calls of a method say in the same second, as they are written and as signed.

    ``before`` and ``after`` are what is signed around a ``biz_content``.
    """

    params: Mapping[str, str]
    form: str
    before: str
    after: str


def _common_of(
    method: str, account: AlipayAccount, now_ms: int, notify_url: str, *, encrypts: bool
) -> _Common:
    return _common(
        method,
        beijing_time(now_ms),
        notify_url,
        account.app_id,
        (account.app_cert_sn, account.root_cert_sn),
        account.app_auth_token,
        encrypts,
    )


@lru_cache(maxsize=256)
def _common(
    method: str,
    timestamp: str,
    notify_url: str,
    app_id: str,
    certificates: tuple[str, str],
    app_auth_token: str,
    encrypts: bool,
) -> _Common:
    params = {
        "app_id": app_id,
        "method": method,
        "format": "JSON",
        "charset": "utf-8",
        "sign_type": "RSA2",
        "timestamp": timestamp,
        "version": "1.0",
    }
    app_cert_sn, root_cert_sn = certificates
    if app_cert_sn:
        params |= {"app_cert_sn": app_cert_sn, "alipay_root_cert_sn": root_cert_sn}
    if app_auth_token:
        params["app_auth_token"] = app_auth_token
    if notify_url:
        params["notify_url"] = notify_url
    if encrypts:
        params["encrypt_type"] = "AES"
    signed = [(name, value) for name, value in sorted(params.items()) if value]
    return _Common(
        MappingProxyType(params),
        "&".join([f"{name}={form_quoted(value)}" for name, value in params.items()]),
        "".join([f"{name}={value}&" for name, value in signed if name < "biz_content"]),
        "".join([f"&{name}={value}" for name, value in signed if name > "biz_content"]),
    )


def _written(content: Mapping[str, object], account: AlipayAccount) -> str:
    """``biz_content``, encrypted before it is signed where the account wants that."""
    plain = orjson.dumps(content)
    return encrypt(account.aes_key, plain) if account.aes_key else plain.decode()


def verified(
    response: HttpResponse, response_key: str, account: AlipayAccount, order_no: str
) -> Fields:
    """The members of a believable answer; ``order_no`` is ``""`` where it is about none.

    Raises:
        Distrusted: it cannot be believed, or is about another order or seller.
    """
    if account.transport is Transport.V3:
        fields: Fields = fields_v3(response, account)
    else:
        fields = _fields_v2(response, response_key, account)
    if text_of(fields, "out_trade_no") not in ("", order_no):
        raise Distrusted("the answer names another order")
    if account.seller_id and text_of(fields, "seller_id") not in ("", account.seller_id):
        raise Distrusted("the answer names another seller")
    return fields


def _fields_v2(response: HttpResponse, response_key: str, account: AlipayAccount) -> Fields:
    if response.status != 200:
        raise Distrusted("no answer of Alipay's gateway", f"HTTP {response.status}")
    try:
        fields = verified_json(response.body, response_key, account.alipay_keys.of_answer)
        if isinstance(fields, str) and account.aes_key:  # verified over the ciphertext
            fields = orjson.loads(decrypt(account.aes_key, fields))
    except AlipaySignatureError as fault:
        claimed = _claimed_code(response.body)
        raise Distrusted(str(fault), claimed, misconfigured=claimed in GATEWAY_REFUSALS) from None
    except AesError as fault:
        raise Distrusted(str(fault), misconfigured=True) from None
    except orjson.JSONDecodeError:
        raise Distrusted("the answer is not JSON") from None
    if not isinstance(fields, dict):
        raise Distrusted("the answer is not an object")
    return fields


def _claimed_code(body: bytes) -> str:
    """The code that an answer without a good signature claims: for alarms, never believed."""
    try:
        outer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    for inner in outer.values() if isinstance(outer, dict) else ():
        code = inner.get("code") if isinstance(inner, dict) else None
        if isinstance(code, str) and len(code) == 5 and code.isascii() and code.isdigit():
            return code
    return ""


def require_order(fields: Fields, order_no: str) -> None:
    """Raise :class:`Distrusted` unless the answer names our order."""
    if fields.get("out_trade_no") != order_no:
        raise Distrusted("the answer does not name our order")


def text_of(fields: Fields, name: str) -> str:
    """A member that is text, ``""`` for any other."""
    value = fields.get(name, "")
    return value if isinstance(value, str) else ""


def message_of(fields: Fields) -> str:
    """The vendor's words; digits long enough to be a payment code are taken out."""
    return _LONG_NUMBER.sub("…", text_of(fields, "sub_msg") or text_of(fields, "msg"))[:200]


@lru_cache(maxsize=64)
def time_ms(text: str) -> int:
    """``2017-03-21 15:07:29`` in Beijing as ms since the epoch; 0 for anything else."""
    try:
        return int(datetime.fromisoformat(f"{text}+08:00").timestamp()) * 1000
    except (ValueError, OverflowError):
        return 0


def beijing_time(at_ms: int) -> str:
    """A time as Alipay writes them."""
    return _second(at_ms // 1000)


@lru_cache(maxsize=64)
def _second(at_s: int) -> str:
    return f"{beijing(at_s * 1000):%Y-%m-%d %H:%M:%S}"
