"""A live code opens its checkout for its minute and a little longer, and an altered one nothing."""

import hashlib
import hmac
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.checkout import CheckoutStatus
from domain.ids import number
from gateway.checkout.live_code import LENGTH, Windows, make_token, read_token
from gateway.checkout.port import LiveCode
from gateway.store.port import Store
from tests.gateway.checkout.cafe import ANN, BOUNDS, PUBLIC_URL, Cafe

WINDOWS = Windows(renew_ms=60_000, grace_ms=10_000)
ids = st.builds(
    lambda time_ms, tail: "pay_" + number(time_ms, tail),
    st.integers(0, 2**48 - 1),
    st.binary(min_size=10, max_size=10),
)


def keyed(value: bytes) -> bytes:
    return hmac.digest(b"key", value, hashlib.sha256)[:16]


@settings(max_examples=50)
@given(ids, st.integers(0, 0xFFFF))
def test_a_token_leads_back(checkout_id: str, window: int) -> None:
    token = make_token(checkout_id, window, keyed)
    assert (len(token), token[0]) == (LENGTH, "L")
    assert read_token(token, keyed) == (checkout_id, window)
    assert read_token(token, lambda value: keyed(value + b"x")) is None


@settings(max_examples=100)
@given(ids, st.integers(0, 120), st.integers(0, LENGTH - 1), st.characters())
def test_an_altered_token_opens_nothing(
    checkout_id: str, window: int, place: int, mark: str
) -> None:
    token = make_token(checkout_id, window, keyed)
    altered = token[:place] + mark + token[place + 1 :]
    assert (read_token(altered, keyed) is None) == (altered != token)


@pytest.mark.parametrize(("ours", "theirs"), ["-+", "_/"])
def test_a_token_is_written_in_one_way(ours: str, theirs: str) -> None:
    """Base64 has two alphabets, and a decoder takes both."""
    tokens = (make_token("pay_" + number(0, bytes(10)), window, keyed) for window in range(999))
    token = next(token for token in tokens if ours in token)
    assert read_token(token, keyed) is not None
    assert read_token(token.replace(ours, theirs), keyed) is None


@settings(max_examples=50)
@given(st.text(max_size=60))
def test_an_invented_token_opens_nothing(token: str) -> None:
    assert read_token(token, keyed) is None


@pytest.mark.parametrize(
    ("age_ms", "is_good"),
    [(-1, False), (0, True), (59_999, True), (60_000, True), (69_999, True), (70_000, False)],
)
def test_a_window_is_good_for_its_time_and_the_grace(age_ms: int, is_good: bool) -> None:
    assert WINDOWS.is_good(1_000, 0, 1_000 + age_ms) is is_good


@settings(max_examples=50)
@given(st.integers(0, 7_200_000))
def test_the_code_that_is_shown_is_good_and_soon_replaced(age_ms: int) -> None:
    number_ = WINDOWS.number(5_000, 5_000 + age_ms)
    assert WINDOWS.is_good(5_000, number_, 5_000 + age_ms)
    assert 0 < WINDOWS.ends_ms(5_000, number_) - (5_000 + age_ms) <= 60_000


@pytest.fixture
def cafe(store: Store) -> Cafe:
    return Cafe(store)


async def shown(cafe: Cafe, key: str = "k1") -> LiveCode | None:
    return await cafe.checkouts.code(await cafe.opened(key))


def token_of(code: LiveCode | None) -> str:
    assert code is not None
    prefix = f"{PUBLIC_URL}/q/"
    assert code.code.startswith(prefix)
    return code.code.removeprefix(prefix)


async def test_a_code_is_renewed_and_the_old_one_good_a_little_longer(cafe: Cafe) -> None:
    base = await cafe.opened()
    old = await cafe.checkouts.code(base)
    assert old is not None
    assert old.expires_at_ms == base.order.created_at_ms + 60_000
    assert "L" not in repr(old).replace("LiveCode", "")
    cafe.clock.later_s = 65
    new = await cafe.checkouts.code(base)
    assert token_of(new) != token_of(old)
    for code in (old, new):
        view = await cafe.checkouts.scanned(token_of(code))
        assert view is not None
        assert view.checkout_id == base.order.id
    cafe.clock.later_s = 71
    assert await cafe.checkouts.scanned(token_of(old)) is None
    assert await cafe.checkouts.scanned(token_of(new)) is not None


async def test_a_code_dies_with_its_order(cafe: Cafe) -> None:
    """Cancelled, expired; a payer who began before goes on by the checkout's own id."""
    first = await cafe.opened("k1")
    token = token_of(await cafe.checkouts.code(first))
    await cafe.checkouts.begin(first.order.id, ANN)
    assert await cafe.checkouts.scanned(token) is not None
    await cafe.checkouts.cancel(first)
    assert await cafe.checkouts.scanned(token) is None
    view = await cafe.checkouts.view(first.order.id)
    assert view is not None
    assert view.status in (CheckoutStatus.CLOSING, CheckoutStatus.CLOSED)
    second = await cafe.opened("k2")
    cafe.clock.later_s = 299
    last = await cafe.checkouts.code(second)
    assert last is not None
    assert last.expires_at_ms == second.order.till_deadline_ms
    cafe.clock.later_s = 301
    assert await cafe.checkouts.code(second) is None
    assert await cafe.checkouts.scanned(token_of(last)) is None


async def test_codes_of_two_orders_are_told_apart(cafe: Cafe) -> None:
    one, other = await shown(cafe, "k1"), await shown(cafe, "k2")
    assert token_of(one) != token_of(other)


async def test_without_a_public_address_nothing_is_shown(store: Store) -> None:
    private = Cafe(store, replace(BOUNDS, public_url=""))
    base = await private.opened(wallets=["alipay"])
    assert await private.checkouts.code(base) is not None
    with pytest.raises(Exception, match="public_url"):
        await private.opened("k2")
