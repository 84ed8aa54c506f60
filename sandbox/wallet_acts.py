"""What a wallet's own screens ask of its channel: what is to be paid, and that it is paid now.

Rules:

* An order is named by what was scanned (``code``), by what the page handed to the JS bridge
  (``order``), or for WeChat by the six words of ``getBrandWCPayRequest`` (``page``), whose
  ``paySign`` must be the merchant's over exactly its four lines (``channels.md`` B2).
* Nothing is paid without the payer's password, :data:`PASSWORD`.
* Pure: the world and the time are arguments; nothing of an order is kept here.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from sandbox import alipay_site, unionpay_qr_site, wechat
from sandbox.http_wire import HttpRequest
from sandbox.scenarios import Scenario
from sandbox.unionpay_qr_notices import told_of
from sandbox.wallet import Payer
from sandbox.wallet_apps import WalletApp
from sandbox.wechat_keys import RSA_SCHEME, SM_SCHEME
from sandbox.wechat_state import WeChatState
from sandbox.world import World

PASSWORD: Final = "123456"  # noqa: S105 - what every simulated payer types
ACTS: Final[Mapping[str, Scenario]] = {
    "pays": Scenario.APPROVED,
    "pays_later": Scenario.USER_PAYING,
    "refused": Scenario.DECLINED,
    "crossed": Scenario.CROSSED,
}
_PAGE_WORDS: Final = frozenset(("appId", "timeStamp", "nonceStr", "package", "signType", "paySign"))
_SIGN_TYPES: Final[Mapping[str, str]] = {"RSA": RSA_SCHEME, "SM2": SM_SCHEME}
_LOCATION: Final = re.compile(rb"\r\nLocation: ([^\r\n]*)\r\n")
_MOST_CHARACTERS: Final = 4096


class BadAsk(ValueError):
    """The wallet's own screen would not ask this; says what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is in front of the payer: exactly one of the three is set."""

    code: str = field(default="", repr=False)
    order: str = field(default="", repr=False)
    page: Mapping[str, str] = field(default_factory=dict, repr=False)


def ask_of(raw: Mapping[str, Any]) -> Ask:
    """The order that a screen's JSON names; raises :class:`BadAsk`."""
    given = [name for name in ("code", "order", "page") if raw.get(name)]
    if len(given) != 1:
        raise BadAsk("one of code, order and page")
    value = raw[given[0]]
    if given[0] == "page":
        if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
            raise BadAsk("page must be an object of texts")
        return Ask(page=value)
    if not isinstance(value, str) or len(value) > _MOST_CHARACTERS:
        raise BadAsk(f"{given[0]} must be a text")
    return Ask(code=value) if given[0] == "code" else Ask(order=value)


def look(app: WalletApp, ask: Ask, payer: str, world: World, now_ms: int) -> dict[str, Any]:
    """What the payer is shown; ``why`` it cannot be paid, empty if it can."""
    return _act(app, ask, payer, Scenario.NEVER_PAYS, world, now_ms)


def pay(
    app: WalletApp,
    ask: Ask,
    payer: str,
    world: World,
    now_ms: int,
    *,
    password: str,
    act: str,
) -> dict[str, Any]:
    """The payer has typed a password.

    ``outcome`` is ``paid``, ``later``, ``refused`` or ``wrong_password``; ``after_ms`` is when
    what is paid later is paid.
    """
    if act not in ACTS:
        raise BadAsk(f"act must be one of {sorted(ACTS)}")
    if password != PASSWORD:
        return {"outcome": "wrong_password", "why": "", "after_ms": 0}
    told = _act(app, ask, payer, ACTS[act], world, now_ms)
    if told["why"]:
        return {"outcome": "refused", "why": told["why"], "after_ms": 0}
    if told["paid"]:
        return {"outcome": "paid", "why": "", "after_ms": 0}
    return {"outcome": "later", "why": "", "after_ms": world.user_paying_after_ms}


def _act(
    app: WalletApp, ask: Ask, payer: str, act: Scenario, world: World, now_ms: int
) -> dict[str, Any]:
    nothing = {"amount_fen": 0, "order_no": "", "subject": "", "paid": False}
    order = ask.order
    if ask.page:
        state = world.wechat_state
        if app.channel != "wechat" or state is None:
            return {**nothing, "why": "this wallet has no such page"}
        why = _page_fault(ask.page, state)
        if why:
            return {**nothing, "why": why}
        order = ask.page["package"]
    # Only an order of somebody's is held against the name; a signed-out browser has none.
    who = Payer(code=ask.code, order=order, act=act, payer_id=app.payer_id(payer) if payer else "")
    answer = world.pay(who, now_ms, app.channel)
    if answer is None:
        return {**nothing, "why": "this wallet does not know the code"}
    return {
        "amount_fen": answer.amount_fen,
        "order_no": answer.order_no,
        "subject": answer.subject,
        "paid": answer.paid,
        "why": answer.why,
    }


def _page_fault(page: Mapping[str, str], state: WeChatState) -> str:
    """Why the words of ``getBrandWCPayRequest`` are not taken."""
    if page.keys() != _PAGE_WORDS:
        return "the page's words are not the six of getBrandWCPayRequest"
    if page["appId"] != state.config.appid:
        return "the page is another app's"
    scheme = _SIGN_TYPES.get(page["signType"])
    lines = f"{page['appId']}\n{page['timeStamp']}\n{page['nonceStr']}\n{page['package']}\n"
    try:
        signature = base64.b64decode(page["paySign"], validate=True)
    except (binascii.Error, ValueError):
        signature = b""
    if scheme is None or not state.keys.is_page_signed(scheme, lines.encode(), signature):
        return "the signature of the payment does not verify"
    return ""


def sent_back(
    app: WalletApp, query: Mapping[str, str], payer: str, world: World, now_ms: int
) -> str:
    """Where the app's OAuth sends the browser, ``""`` if it refuses the request."""
    asked = {**query, "payer": app.signs_in_as(payer)}
    request = HttpRequest("GET", app.authorise_path, urlencode(asked).encode(), b"", True)
    match app.channel:
        case "alipay":
            effect = alipay_site.handle(request, world.alipay_state, now_ms).effect
        case "wechat" if world.wechat_state is not None:
            effect = wechat.handle(request, world.wechat_state, now_ms)
        case "unionpay_qr" if world.unionpay_qr_state is not None:
            effect = unionpay_qr_site.handle(request).effect
        case _:
            return ""
    found = _LOCATION.search(effect.answer)
    return "" if found is None else found[1].decode("latin-1")


def front_of(number: str, world: World, now_ms: int) -> tuple[str, dict[str, str]] | None:
    """Where UnionPay's cashier sends the payer of an order, and what is posted there.

    The form is empty unless the order is paid. ``None``: no such order.
    """
    state = world.unionpay_qr_state
    order = None if state is None else state.books.by_code(state.cashier_url + number, now_ms)
    if state is None or order is None:
        return None
    told = state.signer.signed(told_of(order, state.signer)) if order.done else {}
    return order.front_url, told
