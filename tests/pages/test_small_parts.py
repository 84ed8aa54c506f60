"""The pure parts of the page: wallets, languages, rates, addresses, fields, assets."""

from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.http.pages.addresses import payer_address
from gateway.http.pages.assets import ASSETS, SCRIPT, STYLE
from gateway.http.pages.languages import Language, preferred
from gateway.http.pages.rates import RateLimit
from gateway.http.pages.requests import cookie_of, fields_of, form_of
from gateway.http.pages.wallets import Wallet, wallet_of

PROXIES = [ip_network("10.0.0.0/8")]


@pytest.mark.parametrize(
    ("user_agent", "wallet"),
    [
        ("Mozilla/5.0 MicroMessenger/8.0.50 Language/zh_CN", Wallet.WECHAT),
        ("Mozilla/5.0 AliApp(AP/10.6) AlipayClient/10.6.0", Wallet.ALIPAY),
        ("Mozilla/5.0 UnionPay/1.0 CloudPay", Wallet.UNIONPAY),
        ("Mozilla/5.0 CpayJS=UnionPay/1.0 JDJR", Wallet.UNIONPAY),
        ("Mozilla/5.0 Chrome/140", None),
        ("UnionPay", None),
        ("", None),
        ("x" * 5000 + "MicroMessenger", None),
    ],
)
def test_the_wallet_is_a_hint_of_the_user_agent(user_agent: str, wallet: Wallet | None) -> None:
    """Only the marks that the wallets send, and only where they send them."""
    assert wallet_of(user_agent) is wallet


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", Language.ZH),
        ("zh-CN,zh;q=0.9,en;q=0.8", Language.ZH),
        ("en-US,en;q=0.9,zh;q=0.8", Language.EN),
        ("en;q=0.5,zh-Hans;q=0.7", Language.ZH),
        ("fr-FR", Language.EN),
        ("en;q=nonsense,zh;q=0.1", Language.ZH),
        ("en;q=9999", Language.EN),
        ("en;q=" + "9" * 400, Language.EN),
    ],
)
def test_the_language_is_the_browsers(header: str, language: Language) -> None:
    """By weight; Chinese where nothing is said."""
    assert preferred(header) is language


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80))
def test_no_header_breaks_the_choice(text: str) -> None:
    """Whatever is sent, there is a language, a wallet or none, and an address or none."""
    assert preferred(text) in Language
    assert wallet_of(text) in (None, *Wallet)
    assert isinstance(payer_address(text, text, PROXIES), str)
    assert isinstance(fields_of(text), dict)


def test_a_bucket_empties_and_fills() -> None:
    """A burst, then the rate; a refusal costs nothing."""
    limit = RateLimit(per_s=2, burst=3, max_keys=10)
    assert [limit.admit("a", 0.0) for _ in range(5)] == [True, True, True, False, False]
    assert limit.admit("b", 0.0)
    assert limit.admit("a", 0.5)
    assert not limit.admit("a", 0.5)
    assert [limit.admit("a", 100.0) for _ in range(4)] == [True, True, True, False]


def test_the_memory_of_the_rates_is_bounded() -> None:
    """Ten thousand addresses are remembered as at most a hundred, the newest among them."""
    limit = RateLimit(per_s=0.001, burst=1, max_keys=100)
    for number in range(10_000):
        assert limit.admit(f"address {number}", 0.0)
        assert limit.kept() <= 100
    assert not limit.admit("address 9999", 0.0)


def test_what_is_full_again_is_forgotten() -> None:
    """A quiet hour leaves next to nothing behind."""
    limit = RateLimit(per_s=1, burst=1, max_keys=1000)
    for number in range(100):
        limit.admit(f"address {number}", 0.0)
    for number in range(100):
        limit.admit("one", 3600.0 + 10 * number)
    assert limit.kept() == 1


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("10.0.0.2", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.2", "1.1.1.1, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.2", "198.51.100.1, 10.0.0.3", "198.51.100.1"),
        ("10.0.0.2", "nonsense", "10.0.0.2"),
        ("10.0.0.2", "", "10.0.0.2"),
        ("2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::"),
        ("::ffff:203.0.113.9", "", "203.0.113.9"),
        ("", "", ""),
    ],
)
def test_only_our_own_proxies_are_believed(peer: str, forwarded: str, address: str) -> None:
    """A payer cannot write an address for himself."""
    assert payer_address(peer, forwarded, PROXIES) == address


@pytest.mark.parametrize("text", ["a=1&a=2", "a=%ff", "&".join(f"a{n}=1" for n in range(50))])
def test_doubtful_fields_are_none(text: str) -> None:
    """Twice, not UTF-8, too many: nothing is taken of it."""
    assert fields_of(text) == {}


def test_fields_and_forms_are_read() -> None:
    """Plus and percent, as browsers write them."""
    assert form_of(b"amount=1.50&remark=%E5%B0%91+%E7%B3%96&empty=") == {
        "amount": "1.50",
        "remark": "少 糖",
        "empty": "",
    }
    assert form_of("remark=糖".encode()) == {}


def test_our_cookie_is_found_among_others() -> None:
    """The first of its name is that of the longest path (RFC 6265 §5.4)."""
    assert cookie_of("a=b; posgate=first; posgate=second") == "first"
    assert cookie_of("xposgate=1") == ""


def test_assets_have_names_that_change_with_their_content() -> None:
    """Kept for ever by browsers, so a name is one content; nothing is loaded from elsewhere."""
    assert set(ASSETS) == {STYLE.path, SCRIPT.path}
    assert all(path.startswith("/q/_/") for path in ASSETS)
    for asset in ASSETS.values():
        assert b"http:" not in asset.body
        assert b"https:" not in asset.body
        assert b"eval(" not in asset.body
        assert b"innerHTML" not in asset.body
