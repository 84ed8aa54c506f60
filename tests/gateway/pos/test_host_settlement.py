"""A day of sales settled with the card host: equal where it is, kept where it is not."""

import asyncio
from collections.abc import Sequence

from channels.host_settlement import HostTotals, host_settlement_of
from domain.payment import Payment
from domain.refund import RefundStatus
from gateway.host_settlement import OWNER, Settled, SettledAs, settle_day
from gateway.refunds import RefundAsk
from gateway.store.batch_records import BatchKey, DifferenceKind
from sandbox.card_books import CardOrder
from sandbox.faults import FaultKind, FaultRule, Stage
from sandbox.scenarios import CARDS, Scenario
from tests.gateway.pos.card_shop import CardShop
from tests.gateway.pos.corner_shop import START_MS, Template, template

__all__ = ["template"]

PAN = CARDS[Scenario.APPROVED].pan
POOR = CARDS[Scenario.INSUFFICIENT_FUNDS].pan
LOST = CARDS[Scenario.LOST_RESPONSE_CHARGED].pan


async def settle(shop: CardShop) -> Sequence[Settled]:
    ability = host_settlement_of(shop.channel)
    assert ability is not None
    now_ms = START_MS + int(asyncio.get_running_loop().time() * 1000)
    return await settle_day(shop.gateway.store, "card-1", ability, START_MS, now_ms)


async def sold(shop: CardShop, pan: str = PAN) -> Payment:
    return await shop.at_rest(await shop.sell(pan))


async def give_back(shop: CardShop, payment: Payment, amount_fen: int) -> None:
    """A refund, to its end; of the whole it is a void."""
    refunds = shop.gateway.core.refunds
    ask = RefundAsk(
        merchant_refund_no=f"R{payment.order.order_key}",
        amount_fen=amount_fen,
        reason="",
        fingerprint=b"r" * 16,
    )
    refund, _ = await refunds.create(payment.order.merchant_no, payment.order.id, ask)
    refund = await refunds.wait(refund, 60)
    assert refund.standing.status is RefundStatus.SUCCEEDED


def test_a_day_agrees_with_the_host(template: Template) -> None:
    """Sold, refused, reversed, and returned in part: both sides count the same."""

    async def work(shop: CardShop) -> None:
        await shop.ready()
        kept = [await sold(shop) for _ in range(3)]
        await sold(shop, POOR)
        await sold(shop, LOST)
        await give_back(shop, kept[0], 500)
        await give_back(shop, kept[1], 1990)
        [one] = await settle(shop)
        assert one.outcome is SettledAs.EQUAL
        ours = HostTotals(debit_fen=5970, debit_count=3, credit_fen=2490, credit_count=2)
        assert (one.ours, one.host) == (ours, ours)
        key = BatchKey(OWNER + "card-1", one.batch.terminal_id, one.batch.batch_no)
        batch = await shop.gateway.store.batch(key)
        assert batch is not None
        assert batch.totals_agree
        assert batch.terminal.net_fen == shop.host.kept_fen() == 3480
        await settle(shop)
        again = await shop.gateway.store.batch(key)
        assert again == batch

    shop = CardShop(template)
    shop.run(lambda: work(shop))
    shop.close()


def test_what_only_the_host_has_is_kept_as_a_difference(template: Template) -> None:
    """Found by the amount, kept once however often it is settled, gone when it is mended."""

    async def work(shop: CardShop) -> None:
        await shop.ready()
        payment = await sold(shop)
        number = payment.order.channel_order_no[:14] + "900001"
        stray = CardOrder(number, (), 700, "00", "0", "0", charged_fen=700)
        shop.host.state.books.add(stray)
        for _ in range(2):
            [one] = await settle(shop)
            assert one.outcome is SettledAs.DIFFERENT
        key = BatchKey(OWNER + "card-1", one.batch.terminal_id, one.batch.batch_no)
        store = shop.gateway.store
        [difference] = await store.differences_of_batch(key, None, 10)
        assert difference.kind is DifferenceKind.TOTALS_DIFFER
        assert (difference.terminal_fen, difference.host_fen) == (1990, 2690)
        stray.undone = True
        [one] = await settle(shop)
        assert one.outcome is SettledAs.EQUAL
        batch = await store.batch(key)
        assert batch is not None
        assert (batch.totals_agree, batch.settlement_no) == (True, 2)
        assert await store.differences_of_batch(key, None, 10) == []

    shop = CardShop(template)
    shop.run(lambda: work(shop))
    shop.close()


def test_what_is_not_over_is_not_settled_and_silence_keeps_nothing(template: Template) -> None:
    async def work(shop: CardShop) -> None:
        await shop.ready()
        drop = FaultRule(kind=FaultKind.DROP, match="0400", stage=Stage.BEFORE)
        shop.host.faults.replace([drop])
        payment = await shop.sell(LOST)
        [one] = await settle(shop)
        assert (one.outcome, one.detail) == (SettledAs.OPEN, "1 not over yet")
        assert "0500" not in shop.host.sent
        shop.host.faults.replace([FaultRule(kind=FaultKind.DROP, match="0500")])
        await shop.at_rest(payment)
        [one] = await settle(shop)
        assert one.outcome is SettledAs.SILENT
        key = BatchKey(OWNER + "card-1", one.batch.terminal_id, one.batch.batch_no)
        assert await shop.gateway.store.batch(key) is None

    shop = CardShop(template)
    shop.run(lambda: work(shop))
    shop.close()
