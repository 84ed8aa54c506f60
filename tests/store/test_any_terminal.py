"""A merchant's sale, found from another of its terminals, on both engines."""

from dataclasses import replace
from typing import Any

from gateway.store.port import Merchant, Store
from tests.store.test_provisioning import SHOP, TILL
from tests.support.payments import sample_advance, sample_claim, sample_order


async def test_a_sale_is_found_by_batch_trace_and_reference(store: Store) -> None:
    """At any terminal of this merchant, and of no other; by the reference that was told."""
    other = Merchant(
        merchant_no="m2", name="Other", pos_merchant_id="999999999999999", created_at_ms=1
    )
    for shop in (SHOP, other):
        await store.add_merchant(shop)
        for number in (1, 2, 3):
            name = f"T000000{number}"
            await store.add_terminal(replace(TILL, merchant_no=shop.merchant_no, terminal_id=name))
    sales: dict[int, dict[str, Any]] = {
        1: {"order_key": "T0000001-000007-000001"},
        2: {"order_key": "T0000002-000007-000001"},
        3: {"order_key": "T0000002-000007-000002"},
        4: {"order_key": "T0000003-000007-000001", "door": "api"},
        5: {"order_key": "T0000001-000007-000001", "merchant_no": "m2"},
        6: {"order_key": "T9999999-000007-000001"},
    }
    for number, changes in sales.items():
        assert await store.claim(sample_claim(number, **changes))
    told = sample_advance(2)
    standing = replace(told.standing, channel_reference="000000000042", card_organisation="VIS")
    assert await store.advance(replace(told, standing=standing))

    async def found(reference: str, merchant_no: str = "m1", limit: int = 9) -> list[str]:
        payments = await store.payments_at_any_terminal(
            merchant_no, "000007", "000001", reference, limit
        )
        return [payment.order.id for payment in payments]

    assert await found("000000000042") == [sample_order(2).id]
    assert await found(sample_order(1).id[-12:]) == [sample_order(1).id]
    assert await found("000000000042", "m2") == []
    assert await found(sample_order(4).id[-12:]) == []
    assert await found(sample_order(6).id[-12:]) == []
    assert await found("000000000042", limit=0) == []
    kept = await store.payment(sample_order(2).id)
    assert kept is not None
    assert kept.standing.card_organisation == "VIS"
