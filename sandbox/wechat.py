"""The simulated WeChat Pay: both API versions and the wallet's OAuth behind one listener.

Rules: ``handle(request, state, now_ms)`` decides everything and returns the whole answer,
head included, so that a fault can reach its headers. :func:`operation_of` names a request
for faults: the path as the vendor documents it.
"""

from typing import Final
from urllib.parse import urlencode

import orjson

from sandbox import wechat_v2, wechat_v3
from sandbox.effects import Effect
from sandbox.form import FormError, parse_form
from sandbox.http_wire import HttpRequest, response
from sandbox.wechat_acts import openid_of
from sandbox.wechat_state import WeChatState
from sandbox.wechat_v3 import JSON

AUTHORIZE: Final = "/connect/oauth2/authorize"
ACCESS_TOKEN: Final = "/sns/oauth2/access_token"  # noqa: S105 - a path
_SIGNATURE_MARKS: Final = (b"Wechatpay-Signature: ", b"<sign><![CDATA[")


def operation_of(request: HttpRequest) -> str:
    """The path's template, so that a fault can name ``…/out-trade-no/{out_trade_no}``."""
    found = wechat_v3.route(request.method, request.path)
    return request.path if found is None else found[1]


def handle(request: HttpRequest, state: WeChatState, now_ms: int) -> Effect:
    """Answer one request."""
    if request.path.startswith("/v3/"):
        return wechat_v3.handle(request, state, now_ms)
    if request.path in wechat_v2.PATHS:
        return wechat_v2.handle(request, state, now_ms)
    if request.path in (AUTHORIZE, ACCESS_TOKEN) and request.method == "GET":
        return _oauth(request, state, now_ms)
    return Effect(response(404, b"{}", JSON, keep_alive=True))


def refusal(request: HttpRequest, state: WeChatState, now_ms: int, code: str) -> Effect:
    """A fault on demand: the channel's own refusal ``code`` (``429 FREQUENCY_LIMITED``)."""
    if request.path.startswith("/v3/"):
        return wechat_v3.refusal(request, state, now_ms, code)
    return wechat_v2.refusal(request, state, code)


def spoil(answer: bytes) -> bytes:
    """One letter of the signature changed, or the last byte of what is not signed (a bill)."""
    for mark in _SIGNATURE_MARKS:
        at = answer.find(mark)
        if at >= 0:
            at += len(mark)
            swapped = b"B" if answer[at : at + 1] == b"A" else b"A"
            return answer[:at] + swapped + answer[at + 1 :]
    return answer[:-1] + bytes([answer[-1] ^ 1]) if answer else answer


def _oauth(request: HttpRequest, state: WeChatState, now_ms: int) -> Effect:
    """snsapi_base: the wallet is sent back with a code, which tells the payer's openid once.

    Who the payer is, the sandbox cannot know: the query's ``payer`` names one.
    """
    try:
        query = parse_form(request.query)
    except FormError:
        return _json({"errcode": 41002, "errmsg": "appid missing"})
    if query.get("appid") != state.config.appid:
        return _json({"errcode": 40013, "errmsg": "invalid appid"})
    if request.path == AUTHORIZE:
        return _send_back(query, state, now_ms)
    if query.get("secret") != state.config.app_secret:
        return _json({"errcode": 40125, "errmsg": "invalid appsecret"})
    payer = state.take_oauth_code(query.get("code", ""), now_ms)
    if payer is None or query.get("grant_type") != "authorization_code":
        return _json({"errcode": 40029, "errmsg": "invalid code"})
    return _json(
        {
            "access_token": state.keys.new_nonce(),
            "expires_in": 7200,
            "refresh_token": state.keys.new_nonce(),
            "openid": openid_of(payer),
            "scope": "snsapi_base",
        }
    )


def _send_back(query: dict[str, str], state: WeChatState, now_ms: int) -> Effect:
    back = query.get("redirect_uri", "")
    is_safe = back.startswith(("https://", "http://")) and not any(c in back for c in "\r\n ")
    if query.get("response_type") != "code" or not is_safe:
        return Effect(response(400, b"{}", JSON, keep_alive=True))
    code = state.new_oauth_code(query.get("payer", "sandbox"), now_ms)
    more = urlencode({"code": code, "state": query.get("state", "")})
    target = f"{back}{'&' if '?' in back else '?'}{more}"
    location = f"Location: {target}\r\n".encode("ascii", "ignore")
    return Effect(response(302, b"", JSON, keep_alive=True, headers=location))


def _json(value: object) -> Effect:
    return Effect(response(200, orjson.dumps(value), JSON, keep_alive=True))
