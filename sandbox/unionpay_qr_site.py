"""What the simulated UnionPay serves to a wallet's browser: who is the payer.

``GET /qrcGtwWeb-web/api/userAuth?version&redirectUrl`` sends the browser back at once with
``userAuthCode`` and ``respCode``. ``payer`` in the query is the sandbox's own: who it is.
"""

from typing import Final
from urllib.parse import urlencode, urlsplit

from sandbox.connection import HttpAnswer
from sandbox.effects import Effect
from sandbox.form import FormError, parse_form
from sandbox.http_wire import HttpRequest, response

AUTHORISE_PATH: Final = "/qrcGtwWeb-web/api/userAuth"
PAYER: Final = "payer0001"
TEXT: Final = b"text/plain;charset=utf-8"


def handle(request: HttpRequest) -> HttpAnswer:
    """Answer one request that is no call of ACP."""
    if request.method != "GET" or request.path != AUTHORISE_PATH:
        return HttpAnswer(Effect(b"not found"), 404, TEXT)
    try:
        asked = parse_form(request.query)
    except FormError:
        return HttpAnswer(Effect(b"the query cannot be read"), 400, TEXT)
    back = asked.get("redirectUrl", "")
    if urlsplit(back).scheme not in ("http", "https") or not (
        back.isascii() and back.isprintable()
    ):
        return HttpAnswer(Effect(b"redirectUrl is not right"), 400, TEXT)
    given = {"userAuthCode": asked.get("payer") or PAYER, "respCode": "00"}
    location = f"{back}{'&' if '?' in back else '?'}{urlencode(given)}"
    header = b"Location: %b\r\n" % location.encode()
    whole = response(302, b"", TEXT, keep_alive=request.keep_alive, headers=header)
    return HttpAnswer(Effect(whole), 302, is_whole=True)
