"""The envelope of every Alipay call: a signed form out, a verified answer in. Pure.

Rules:

* An answer is believed only after its signature verified over the raw bytes, and
  only the verified bytes are read. The signature does not cover *which call* was
  answered, so each reader also demands what only its own call answers.
* Every answer that names another order, seller or shape is :class:`Distrusted`.
* Times are Beijing's.

Reference ``channels.md`` A1.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote_plus

import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from channels.alipay.codes import GATEWAY_REFUSALS
from channels.port import HttpRequest, HttpResponse
from domain.clock import beijing
from signing.alipay import AlipaySignatureError, sign, verify_response

_HEADERS: Final = {"Content-Type": "application/x-www-form-urlencoded;charset=utf-8"}
_LONG_NUMBER: Final = re.compile(r"[0-9]{12,}")

_ASCII: Final = "".join(map(chr, range(128)))
# the percent sign before what becomes one, the plus sign before the blank that becomes one
_QUOTED: Final = tuple(
    (character, quote_plus(character))
    for character in sorted(_ASCII, key=lambda one: (one != "%", one != "+"))
    if quote_plus(character) != character
)

Fields = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AlipayAccount:
    """An application at Alipay; ``seller_id`` is compared where an answer names one."""

    gateway_url: str
    app_id: str
    seller_id: str
    timeout_s: float
    private_key: RSAPrivateKey
    alipay_key: RSAPublicKey


class Distrusted(Exception):
    """The answer cannot be believed; ``code`` is what it claims, for the log."""

    def __init__(self, why: str, code: str = "", *, misconfigured: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.code = code
        self.misconfigured = misconfigured


def form_quoted(text: str) -> str:
    """``quote_plus``, at a fifth of its cost for plain ASCII (a form has 700 characters)."""
    if not text.isascii():
        return quote_plus(text)
    for character, quoted in _QUOTED:
        if character in text:
            text = text.replace(character, quoted)
    return text


def request_of(
    method: str, content: Mapping[str, str], account: AlipayAccount, now_ms: int
) -> HttpRequest:
    """A call of ``method``, signed; ``content`` is its ``biz_content``."""
    params = {
        "app_id": account.app_id,
        "method": method,
        "format": "JSON",
        "charset": "utf-8",
        "sign_type": "RSA2",
        "timestamp": f"{beijing(now_ms):%Y-%m-%d %H:%M:%S}",
        "version": "1.0",
        "biz_content": orjson.dumps(content).decode(),
    }
    params["sign"] = sign(params, account.private_key)
    form = "&".join([f"{name}={form_quoted(value)}" for name, value in params.items()])
    return HttpRequest(
        method="POST",
        url=account.gateway_url,
        headers=_HEADERS,
        body=form.encode("ascii"),
        timeout_s=account.timeout_s,
    )


def verified(
    response: HttpResponse, response_key: str, account: AlipayAccount, order_no: str
) -> Fields:
    """The members of a believable answer.

    Raises:
        Distrusted: it cannot be believed, or is about another order or seller.
    """
    if response.status != 200:
        raise Distrusted("no answer of Alipay's gateway", f"HTTP {response.status}")
    try:
        fields = orjson.loads(verify_response(response.body, response_key, account.alipay_key))
    except AlipaySignatureError as fault:
        claimed = _claimed_code(response.body)
        raise Distrusted(str(fault), claimed, misconfigured=claimed in GATEWAY_REFUSALS) from None
    except orjson.JSONDecodeError:
        raise Distrusted("the answer is not JSON") from None
    if not isinstance(fields, dict):
        raise Distrusted("the answer is not an object")
    if text_of(fields, "out_trade_no") not in ("", order_no):
        raise Distrusted("the answer names another order")
    if account.seller_id and text_of(fields, "seller_id") not in ("", account.seller_id):
        raise Distrusted("the answer names another seller")
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
