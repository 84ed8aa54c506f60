"""Sealed words of a visit: good for one purpose, one code, one session, one time."""

from dataclasses import replace

import pytest

from gateway.http.pages.tickets import FORM_S, SESSION_S, Session, Tickets
from gateway.http.pages.wallets import Wallet
from signing.keywrap import Sealer

NOW_MS = 1_800_000_000_000


class Counting:
    """Bytes that are never the same twice."""

    def __init__(self) -> None:
        self.drawn = 0

    def __call__(self, count: int) -> bytes:
        self.drawn += 1
        return self.drawn.to_bytes(8).rjust(count, b"\1")[-count:]


@pytest.fixture
def tickets() -> Tickets:
    random = Counting()
    return Tickets(Sealer(bytes(range(32)), random), random)


@pytest.fixture
def session(tickets: Tickets) -> Session:
    return tickets.asking(tickets.new_session(NOW_MS), Wallet.WECHAT)


def test_a_session_comes_back_whole(tickets: Tickets, session: Session) -> None:
    """What was sealed is what is opened, for this code."""
    full = replace(session, payer_id="payer-9", checkout_id="pay_A")
    cookie = tickets.seal_session("code", full)
    assert tickets.open_session("code", cookie, NOW_MS) == full
    assert "payer-9" not in repr(full)


def test_a_session_ends(tickets: Tickets, session: Session) -> None:
    """By its own time, and one from the future is none."""
    cookie = tickets.seal_session("code", session)
    assert tickets.open_session("code", cookie, NOW_MS + SESSION_S * 1000 - 1) == session
    assert tickets.open_session("code", cookie, NOW_MS + SESSION_S * 1000) is None
    assert tickets.open_session("code", cookie, NOW_MS - 1) is None


@pytest.mark.parametrize("spoil", ["", "x", "x" * 5000, "é", "A" * 80, "=", "....", "\0"])
def test_what_is_not_ours_does_not_open(tickets: Tickets, session: Session, spoil: str) -> None:
    """Invented text is no session, no form, no order and no state."""
    assert tickets.open_session("code", spoil, NOW_MS) is None
    assert tickets.press_key("code", session, spoil, NOW_MS) == ""
    assert tickets.order_of("code", session, spoil) == ""
    assert not tickets.is_state("code", session, spoil)


def test_one_letter_changed_and_it_does_not_open(tickets: Tickets, session: Session) -> None:
    """Every letter counts."""
    cookie = tickets.seal_session("code", session)
    for at in range(0, len(cookie) - 1, 7):
        other = "A" if cookie[at] != "A" else "B"
        spoilt = cookie[:at] + other + cookie[at + 1 :]
        assert tickets.open_session("code", spoilt, NOW_MS) is None


def test_a_ticket_is_good_for_its_purpose_alone(tickets: Tickets, session: Session) -> None:
    """A cookie is no form, a form no order, an order no cookie."""
    cookie = tickets.seal_session("code", session)
    form = tickets.new_form("code", session, NOW_MS)
    handle = tickets.order_handle("code", session, "pay_A")
    assert tickets.order_of("code", session, handle) == "pay_A"
    for one in (cookie, handle):
        assert tickets.press_key("code", session, one, NOW_MS) == ""
    for one in (cookie, form):
        assert tickets.order_of("code", session, one) == ""
    for one in (form, handle):
        assert tickets.open_session("code", one, NOW_MS) is None


def test_a_ticket_is_of_one_code_and_one_session(tickets: Tickets, session: Session) -> None:
    """Carried to another code or another browser it is nothing."""
    other = tickets.new_session(NOW_MS)
    form = tickets.new_form("code", session, NOW_MS)
    handle = tickets.order_handle("code", session, "pay_A")
    assert tickets.press_key("other", session, form, NOW_MS) == ""
    assert tickets.press_key("code", other, form, NOW_MS) == ""
    assert tickets.order_of("other", session, handle) == ""
    assert tickets.order_of("code", other, handle) == ""
    assert tickets.open_session("other", tickets.seal_session("code", session), NOW_MS) is None


def test_each_form_has_a_key_of_its_own_that_ends(tickets: Tickets, session: Session) -> None:
    """The same form is the same key, another is another, an old one is none."""
    form = tickets.new_form("code", session, NOW_MS)
    key = tickets.press_key("code", session, form, NOW_MS)
    assert len(key) == 32
    assert key.isalnum()
    assert tickets.press_key("code", session, form, NOW_MS + 1) == key
    other = tickets.new_form("code", session, NOW_MS)
    assert tickets.press_key("code", session, other, NOW_MS) != key
    assert tickets.press_key("code", session, form, NOW_MS + FORM_S * 1000) == ""


def test_a_state_is_letters_and_digits_and_good_once(tickets: Tickets, session: Session) -> None:
    """At most 128 letters or digits, as WeChat wants it; of this code, this session, once."""
    state = tickets.state("code", session)
    assert state.isalnum()
    assert len(state) <= 128
    assert tickets.is_state("code", session, state)
    assert not tickets.is_state("other", session, state)
    assert not tickets.is_state("code", tickets.asking(session, Wallet.ALIPAY), state)
    named = tickets.named(session, "payer-9")
    assert not tickets.is_state("code", named, state)
    assert not tickets.is_state("code", named, tickets.state("code", named))


def test_a_second_tab_goes_on_with_the_first_ones_asking(
    tickets: Tickets, session: Session
) -> None:
    """The same browser opened the code twice: both come back."""
    assert tickets.asking(session, Wallet.WECHAT) == session
