"""What the simulated Alipay serves beside its gateways: authorising, and bills.

``GET /bills/…`` is where a bill's URL leads: the zip, or 403 once the URL is too old.
``GET /oauth2/publicAppAuthorize.htm?app_id&scope&redirect_uri&state`` sends the wallet's
browser back at once, with an ``auth_code`` (a payer agrees to ``auth_base`` unasked).
``payer`` in the query is the sandbox's own: who it is.
"""

from typing import Final
from urllib.parse import urlencode, urlsplit

from sandbox.alipay import AlipayState
from sandbox.alipay_books import BooksFull
from sandbox.alipay_orders import PAYER_ID
from sandbox.connection import HttpAnswer
from sandbox.effects import Effect
from sandbox.form import FormError, parse_form
from sandbox.http_wire import HttpRequest, response

AUTHORISE_PATH: Final = "/oauth2/publicAppAuthorize.htm"
BILLS_PREFIX: Final = "/bills/"
_SCOPES: Final = frozenset(("auth_base", "auth_user"))
_TEXT: Final = b"text/plain;charset=utf-8"


def handle(request: HttpRequest, state: AlipayState, now_ms: int) -> HttpAnswer:
    """Answer one request that is not the gateway's."""
    if request.method == "GET" and request.path == AUTHORISE_PATH:
        return _authorise(request, state, now_ms)
    if request.method == "GET" and request.path.startswith(BILLS_PREFIX):
        bill = state.bills.fetch(request.path.removeprefix(BILLS_PREFIX), now_ms)
        if bill is None:
            return _plain(403, "the URL has expired")
        return HttpAnswer(Effect(bill), 200, b"application/zip")
    return HttpAnswer(Effect(b"{}"), 404)


def _authorise(request: HttpRequest, state: AlipayState, now_ms: int) -> HttpAnswer:
    try:
        asked = parse_form(request.query)
    except FormError:
        return _plain(400, "the query cannot be read")
    back = asked.get("redirect_uri", "")
    if asked.get("app_id") != state.app_id or asked.get("scope") not in _SCOPES:
        return _plain(400, "app_id or scope is not right")
    if urlsplit(back).scheme not in ("http", "https") or not (
        back.isascii() and back.isprintable()
    ):
        return _plain(400, "redirect_uri is not right")
    try:
        code = state.orders.authorise(asked.get("payer") or PAYER_ID, now_ms)
    except BooksFull:
        return _plain(503, "too many payers")
    given = {"app_id": state.app_id, "scope": asked["scope"], "auth_code": code}
    if "state" in asked:
        given["state"] = asked["state"]
    location = f"{back}{'&' if '?' in back else '?'}{urlencode(given)}"
    header = b"Location: %b\r\n" % location.encode()
    whole = response(302, b"", _TEXT, keep_alive=request.keep_alive, headers=header)
    return HttpAnswer(Effect(whole), 302, is_whole=True)


def _plain(status: int, words: str) -> HttpAnswer:
    return HttpAnswer(Effect(words.encode()), status, _TEXT)
