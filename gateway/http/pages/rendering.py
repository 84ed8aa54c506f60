"""Pages as HTML: what is to be shown in, bytes out. Pure but for the templates, read once.

Rules: everything that is not ours (names, subjects, remarks) is escaped by the templates;
no style and no script stands in a page; every page is whole without a script but for the
step into the wallet. Money is text made from integer fen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from domain.clock import beijing
from domain.money import format_yuan
from gateway.http.pages.assets import SCRIPT, STYLE
from gateway.http.pages.languages import Language
from gateway.http.pages.texts import (
    HEADS,
    SENTENCES,
    WALLET_NAMES,
    WORDS_IN,
    State,
    said,
)
from gateway.http.pages.wallets import Wallet

REMARK_LENGTH: Final = 60
_TEMPLATES: Final = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    auto_reload=False,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=False,
)
_PLAIN: Final = _TEMPLATES.get_template("plain.html")
_PAY: Final = _TEMPLATES.get_template("pay.html")
_ORDER: Final = _TEMPLATES.get_template("order.html")
_FORMS: Final = 1024
"""Forms that are kept but for their token, of some 2 kB each."""
_FORM_FIELD: Final = b'name="form" value="'
"""Where the token stands; nothing that is escaped can hold it."""
_NO_PICTURE: Final = Markup()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """A head and a sentence; ``sentence`` instead of the state's own, where there is one."""

    state: State
    shop: str = ""
    sentence: str = ""
    wallets: Sequence[Wallet] = ()
    code: Markup = _NO_PICTURE
    begin_again: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payable:
    """The form: ``amount_fen`` 0 is typed by the payer; ``fault`` names a word of the texts."""

    code_id: str
    shop: str
    subject: str
    amount_fen: int
    wallet: Wallet
    form: str = field(repr=False)
    fault: str = ""
    typed: str = ""
    remark: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPage:
    """One order. With ``bridge`` the payer may pay now; with ``form`` may press again."""

    state: State
    code_id: str
    handle: str = field(repr=False)
    shop: str
    subject: str
    remark: str = field(default="", repr=False)
    amount_fen: int
    mark: str
    wallet: Wallet
    is_watched: bool
    sentence: str = ""
    paid_at_ms: int = 0
    order_no: str = ""
    bridge: str = ""
    parameters: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    form: str = field(default="", repr=False)
    begin_again: str = ""


def render_plain(page: Plain, language: Language) -> bytes:
    """See :class:`Plain`."""
    return _PLAIN.render(
        **_frame(page.state, page.shop, language),
        sentence=page.sentence or said(SENTENCES[page.state], language),
        apps=[said(WALLET_NAMES[wallet], language) for wallet in page.wallets],
        svg=page.code,
        again=page.begin_again,
    ).encode()


def render_payable(page: Payable, language: Language) -> bytes:
    """See :class:`Payable`."""
    if page.fault:
        return _payable(page, language)
    before, after = _around_form(replace(page, form=""), language)
    return b"%b%b%b" % (before, page.form.encode(), after)


@lru_cache(maxsize=_FORMS)
def _around_form(page: Payable, language: Language) -> tuple[bytes, bytes]:
    """A code's form but for the token: what many payers see in a day is rendered once."""
    before, mark, after = _payable(page, language).partition(_FORM_FIELD)
    return before + mark, after


def _payable(page: Payable, language: Language) -> bytes:
    return _PAY.render(
        **_frame(State.READY, page.shop, language),
        sentence=said(SENTENCES[State.READY], language),
        action=f"/q/{page.code_id}/pay",
        form=page.form,
        subject=page.subject,
        fixed=format_yuan(page.amount_fen) if page.amount_fen else "",
        takes_remark=not page.subject,
        remark_length=REMARK_LENGTH,
        typed=page.typed,
        remark=page.remark,
        fault=WORDS_IN[language][page.fault] if page.fault else "",
        button=_button(page.wallet, language),
    ).encode()


def render_order(page: OrderPage, language: Language) -> bytes:
    """See :class:`OrderPage`."""
    place = f"/q/{page.code_id}"
    return _ORDER.render(
        **_frame(page.state, page.shop, language),
        sentence=page.sentence or said(SENTENCES[page.state], language),
        amount=format_yuan(page.amount_fen),
        subject=page.subject,
        remark=page.remark,
        paid_at=f"{beijing(page.paid_at_ms):%Y-%m-%d %H:%M:%S}" if page.paid_at_ms else "",
        order_no=page.order_no,
        page=f"{place}?o={page.handle}",
        watch=f"{place}/state?o={page.handle}" if page.is_watched else "",
        mark=page.mark,
        bridge=page.bridge,
        parameters=orjson.dumps(dict(page.parameters)).decode() if page.bridge else "",
        release=f"{place}/release",
        action=f"{place}/pay",
        handle=page.handle,
        form=page.form,
        button=_button(page.wallet, language),
        again=page.begin_again,
    ).encode()


def _button(wallet: Wallet, language: Language) -> str:
    return WORDS_IN[language]["pay"].format(wallet=said(WALLET_NAMES[wallet], language))


def _frame(state: State, shop: str, language: Language) -> dict[str, object]:
    return {
        "lang": language.value,
        "state": state.value,
        "head": said(HEADS[state], language),
        "shop": shop,
        "style": STYLE.path,
        "script": SCRIPT.path,
        "words": WORDS_IN[language],
    }
