"""Who the payer in WeChat's browser is: OAuth with ``snsapi_base``. Pure.

Rules (reference ``channels.md`` D): the browser is sent away and comes back with a code that
is good once; the code and the application's secret give an openid. Nothing of it is signed,
and it authorises nothing: an openid only says whose wallet the order is for.
"""

from typing import Final
from urllib.parse import quote

from channels.payer_orders import PayerAnswer
from channels.port import HttpRequest, HttpResponse, Verdict
from channels.wechat.account import WechatAccount
from channels.wechat.payer_codes import OAUTH
from channels.wechat.v3 import Distrusted, json_object, text_of

_LONGEST_OPENID: Final = 128


def authorise_url(page: str, account: WechatAccount, return_url: str, state: str) -> str:
    """Where the browser is sent; ``page`` is WeChat's."""
    return (
        f"{page}?appid={quote(account.payer_appid, safe='')}"
        f"&redirect_uri={quote(return_url, safe='')}&response_type=code&scope=snsapi_base"
        f"&state={quote(state, safe='')}#wechat_redirect"
    )


def build_exchange(
    api_url: str, account: WechatAccount, app_secret: bytes, code: str
) -> HttpRequest:
    """The exchange of a code; the secret is in its URL, as WeChat wants it."""
    return HttpRequest(
        method="GET",
        url=(
            f"{api_url}/sns/oauth2/access_token?appid={quote(account.payer_appid, safe='')}"
            f"&secret={quote(app_secret.decode('ascii', 'replace'), safe='')}"
            f"&code={quote(code, safe='')}&grant_type=authorization_code"
        ),
        headers={"Accept": "application/json"},
        body=b"",
        timeout_s=account.timeout_s,
    )


def read_exchange(response: HttpResponse) -> PayerAnswer:
    """The payer's openid."""
    try:
        if response.status != 200:
            raise Distrusted("no answer", f"HTTP {response.status}")
        fields = json_object(response.body)
    except Distrusted as fault:
        return PayerAnswer(
            verdict=Verdict.UNKNOWN, channel_code=fault.code, channel_message=fault.why
        )
    openid = text_of(fields, "openid")
    if openid and len(openid) <= _LONGEST_OPENID and "errcode" not in fields:
        return PayerAnswer(verdict=Verdict.SUCCEEDED, payer_id=openid)
    code = fields.get("errcode", "")
    said = str(code)[:16] if isinstance(code, int) else ""
    return PayerAnswer(
        verdict=Verdict.UNKNOWN,
        channel_code=said,
        channel_message="no openid",
        unlisted=bool(said) and said not in OAUTH,
    )
