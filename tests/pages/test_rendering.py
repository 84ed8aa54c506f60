"""Pages as HTML: escaped, small, in both languages, usable without eyes and without a script."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest

from domain.decline import DeclineReason
from gateway.http.pages.assets import SCRIPT, STYLE
from gateway.http.pages.languages import Language
from gateway.http.pages.pictures import shown_code
from gateway.http.pages.rendering import (
    OrderPage,
    Payable,
    Plain,
    render_order,
    render_payable,
    render_plain,
)
from gateway.http.pages.texts import (
    HEADS,
    SENTENCES,
    WALLET_NAMES,
    WORDS,
    State,
    decline_text,
)
from gateway.http.pages.wallets import Wallet
from tests.pages.browsers import HOSTILE_NAME, PRINTED, PUBLIC_URL

MOST_BYTES = 60_000
"""Page, style, script and code together."""


class Outline(HTMLParser):
    """What a browser makes of a page: tags with their attributes, and what labels name."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.tags if found == tag]


def order(state: State = State.PAYING, bridge: str = "wechat") -> OrderPage:
    return OrderPage(
        state=state,
        code_id=PRINTED,
        handle="HANDLE",
        shop=HOSTILE_NAME,
        subject=HOSTILE_NAME,
        remark='<b>"no sugar"</b>',
        amount_fen=1205,
        mark="1.paying.01",
        wallet=Wallet.WECHAT,
        is_watched=True,
        bridge=bridge,
        parameters={"package": "prepay_id=<x>\"'&"},
        paid_at_ms=1_800_000_000_000 if state is State.PAID else 0,
        order_no="T-1",
    )


def payable(**changes: object) -> Payable:
    values = {
        "code_id": PRINTED,
        "shop": HOSTILE_NAME,
        "subject": "",
        "amount_fen": 0,
        "wallet": Wallet.ALIPAY,
        "form": "FORM",
    }
    return Payable(**(values | changes))  # type: ignore[arg-type]  # names of fields


def every_page() -> Iterator[bytes]:
    """Each page that can be shown, in each language."""
    for language in Language:
        for state in State:
            page = Plain(
                state=state,
                shop=HOSTILE_NAME,
                wallets=list(Wallet),
                code=shown_code(f"{PUBLIC_URL}/q/{PRINTED}"),
                begin_again=f"/q/{PRINTED}",
            )
            yield render_plain(page, language)
            yield render_order(order(state), language)
        yield render_payable(payable(), language)
        yield render_payable(payable(fault="bad_amount", typed='"><img>', remark="'>"), language)
        yield render_payable(payable(amount_fen=880, subject=HOSTILE_NAME), language)


PAGES = list(every_page())


def test_every_word_is_in_both_languages() -> None:
    """Every state has a head and a sentence, every wallet a name, every refusal a reason."""
    assert set(HEADS) == set(SENTENCES) == set(State)
    assert set(WALLET_NAMES) == set(Wallet)
    texts = [*HEADS.values(), *SENTENCES.values(), *WALLET_NAMES.values(), *WORDS.values()]
    texts += [decline_text(reason) for reason in DeclineReason]
    for text in texts:
        assert text.en
        assert text.en.isascii() or "…" in text.en
        assert re.search(r"[\u4e00-\u9fff]", text.zh)


def test_everything_that_is_not_ours_is_escaped() -> None:
    """No name, subject, remark or typed text becomes a tag or an attribute."""
    for page in PAGES:
        tags = {tag for tag, _ in Outline(page).tags}
        assert "img" not in tags
        assert "b" not in tags
        scripts = Outline(page).all("script")
        assert [one.get("src") for one in scripts] == [SCRIPT.path]


def test_nothing_is_inline_and_nothing_from_outside() -> None:
    """The policy allows no inline script or style; the page needs none."""
    for page in PAGES:
        for tag, attributes in Outline(page).tags:
            assert tag != "style"
            assert "style" not in attributes
            assert not [name for name in attributes if name.startswith("on")]
            for name in ("src", "href", "action"):
                address = attributes.get(name) or ""
                assert not address or address.startswith(("/q/", "data:,")), address


def test_a_page_with_all_that_it_needs_is_small() -> None:
    """At most 60 kB, uncompressed."""
    heaviest = max(map(len, PAGES))
    assert heaviest + len(STYLE.body) + len(SCRIPT.body) <= MOST_BYTES


def test_what_a_screen_reader_needs_is_there() -> None:
    """Language, one heading, a name for every field and button, a status that speaks up."""
    for page in PAGES:
        outline = Outline(page)
        assert outline.all("html")[0]["lang"] in ("zh-CN", "en")
        assert len(outline.all("h1")) == 1
        assert len(outline.all("main")) == 1
        labelled = {one["for"] for one in outline.all("label")}
        for one in outline.all("input"):
            assert one.get("type") == "hidden" or one["id"] in labelled
        status = [a for _, a in outline.tags if a.get("id") == "status"]
        assert len(status) == 1
        assert status[0].get("role") in ("status", "alert")
        ids = [a["id"] for _, a in outline.tags if "id" in a]
        assert len(ids) == len(set(ids))


def test_a_button_that_shows_a_sign_has_a_name() -> None:
    """The key that erases shows an arrow and says what it does."""
    keys = Outline(render_payable(payable(), Language.EN)).all("button")
    assert [key["data-key"] for key in keys if "data-key" in key] == [*"123456789.0", "back"]
    assert keys[11]["aria-label"] == "Delete the last digit"


def test_the_forms_one_button_pays() -> None:
    """One submit; the amount stands on it where it is fixed."""
    page = render_payable(payable(amount_fen=880), Language.EN)
    submits = [one for one in Outline(page).all("button") if one.get("type") == "submit"]
    assert [one["id"] for one in submits] == ["press"]
    assert "Pay with Alipay ¥8.80" in page.decode()
    assert 'id="amount"' not in page.decode()


def test_the_bridges_parameters_survive_the_page() -> None:
    """What the wallet is handed is what the channel gave, to the letter."""
    outline = Outline(render_order(order(), Language.EN))
    held = next(a for _, a in outline.tags if a.get("id") == "order")
    assert held["data-parameters"] == '{"package":"prepay_id=<x>\\"\'&"}'
    assert held["data-bridge"] == "wechat"


@pytest.mark.parametrize("state", list(State), ids=lambda state: state.value)
def test_only_paid_says_paid(state: State) -> None:
    """No other state can be mistaken for a receipt."""
    english = render_order(order(state, bridge=""), Language.EN).decode()
    assert ("Thank you" in english) == (state is State.PAID)
    assert ("付款成功" in render_order(order(state, bridge=""), Language.ZH).decode()) == (
        state is State.PAID
    )


def test_the_code_is_drawn_once() -> None:
    """The same address is the same picture; another is another."""
    first = shown_code(f"{PUBLIC_URL}/q/{PRINTED}")
    assert shown_code(f"{PUBLIC_URL}/q/{PRINTED}") is first
    assert shown_code(f"{PUBLIC_URL}/q/other") != first
    assert first.startswith("<svg")
