"""Limits at the POS door: an F39 that says so, for good."""

from typing import Any

import pytest

from domain.limits import Limit
from gateway.cli.installation import MERCHANT_NO
from sandbox.scenarios import ALIPAY_CODES, CARDS, Scenario
from tests.gateway.pos.foreign_terminal import ForeignTerminal
from tests.gateway.pos.house import House

CARD = CARDS[Scenario.APPROVED]
CODE = ALIPAY_CODES[Scenario.APPROVED]


async def limit(house: House, **values: Any) -> None:
    """Replace the merchant's limit, and let the gateway see it."""
    await house.gateway.store.set_limit(Limit(merchant_no=MERCHANT_NO, **values), 1)
    house.clock.ahead_s += 11


@pytest.mark.parametrize(
    ("values", "code"),
    [({"single_fen": 1989}, "61"), ({"daily_fen": 1989}, "61"), ({"small_fen": 1989}, "61")],
    ids=["single", "daily", "PIN"],
)
async def test_a_sale_over_a_limit_is_refused_for_good(
    house: House, till: ForeignTerminal, values: dict[str, int], code: str
) -> None:
    """With a MAC, the same bytes again when the limit is gone; under another number it is sold."""
    await limit(house, **values)
    for sale in (till.card_sale(CARD.pan, CARD.pin), till.scan_sale(CODE)):
        frame = till.pack("0200", sale)
        refused = await till.ask_raw(frame)
        assert (refused["39"], "64" in refused) == (code, True)
        assert (await till.ask_raw(frame)).raw == refused.raw
    await limit(house)
    assert (await till.ask_raw(frame)).raw == refused.raw
    assert await house.charges() == []
    assert (await till.ask("0200", till.card_sale(CARD.pan, CARD.pin)))["39"] == "00"


async def test_a_closed_shop_is_58(house: House, till: ForeignTerminal) -> None:
    """Hours are Beijing's; the test's minute is the one that is closed."""
    now = (house.clock.now_ms() // 60_000 + 8 * 60) % 1440
    await limit(house, opens_min=(now + 10) % 1440, closes_min=(now - 10) % 1440)
    assert (await till.ask("0200", till.card_sale(CARD.pan, CARD.pin)))["39"] == "58"
    assert await house.charges() == []
