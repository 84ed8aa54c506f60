"""The line to the card host fails at every point of a sale, of its undo and of the sign-on
between them: approved only where the sale stands, and nobody is left charged."""

import asyncio
import itertools
from functools import partial

import pytest

from domain.payment import Payment, Status
from sandbox.faults import FaultKind, FaultRule, Stage
from sandbox.scenarios import CARDS, Scenario
from tests.gateway.pos.card_shop import TIMEOUT_S, CardShop, Point
from tests.gateway.pos.corner_shop import Template, template

__all__ = ["template"]

PAN = CARDS[Scenario.APPROVED].pan
_K, BEFORE, AFTER = FaultKind, Stage.BEFORE, Stage.AFTER
LATE_MS = int(TIMEOUT_S * 1000) + 500


def once(kind: FaultKind, match: str, stage: Stage = AFTER, delay_ms: int = 0) -> FaultRule:
    return FaultRule(kind=kind, match=match, stage=stage, limit=1, delay_ms=delay_ms)


def ways(match: str) -> dict[str, FaultRule]:
    """Every way in which one message can fail."""
    return {
        "hung up before": once(_K.CLOSE, match, BEFORE),
        "hung up after": once(_K.CLOSE, match),
        "silent before": once(_K.DROP, match, BEFORE),
        "silent after": once(_K.DROP, match),
        "late": once(_K.DELAY, match, delay_ms=LATE_MS),
        "wrong MAC": once(_K.CORRUPT, match),
        "doubled": once(_K.DUPLICATE, match),
    }


SALES = ways("0200")
UNDOS: dict[str, FaultRule | None] = {"well": None, **ways("0400")}
SIGN_ONS: dict[str, FaultRule | None] = {
    "well": None,
    "hung up": once(_K.CLOSE, "0800", BEFORE),
    "silent": once(_K.DROP, "0800", BEFORE),
    "wrong": once(_K.CORRUPT, "0800"),
}
CHARGED = {"hung up after", "silent after", "late", "wrong MAC"}


async def agreed(shop: CardShop, payment: Payment) -> None:
    """Ledger, payment and host hold the same money."""
    postings = await shop.gateway.store.postings(payment.order.id)
    owed = sum(one.amount_fen for one in postings if one.account.startswith("channel:"))
    standing = payment.standing
    assert owed == standing.captured_fen - standing.returned_fen == shop.host.kept_fen()


@pytest.mark.parametrize("connections", ["1", "2"])
@pytest.mark.parametrize("at_sale", SALES)
def test_the_line_fails_at_every_point(template: Template, at_sale: str, connections: str) -> None:
    """Each fault of a sale with each of its reversal and each of the sign-on between."""

    async def work(shop: CardShop, point: Point) -> tuple[Payment, Payment]:
        await shop.ready()
        shop.host.faults.replace(point.rules())
        told = await shop.sell(PAN)
        over = await shop.at_rest(told)
        await asyncio.sleep(2 * LATE_MS / 1000)  # whatever is late has come
        over = await shop.at_rest(over)
        await agreed(shop, over)
        shop.host.faults.replace([])
        await asyncio.sleep(60)
        await shop.ready()
        return told, over

    for at_undo, undo in UNDOS.items():
        for at_sign_on, sign_on in SIGN_ONS.items():
            shop = CardShop(template, connections=connections)
            point = Point(SALES[at_sale], undo, sign_on)
            told, over = shop.run(partial(work, shop, point))
            shop.close()
            where = f"{at_sale} / {at_undo} / {at_sign_on}"
            if at_sale == "doubled":
                assert told.standing.status is Status.SUCCEEDED, where
                assert over.standing.status is Status.SUCCEEDED, where
            else:
                assert told.standing.status is not Status.SUCCEEDED, where
                undone = Status.REVERSED if at_sale in CHARGED else Status.CLOSED
                assert (over.standing.status, over.standing.parked_reason) == (undone, ""), where


def test_a_late_approval_of_a_sale_whose_reversal_found_nothing(template: Template) -> None:
    """Told 25, the sale was closed; then its approval comes: the money is given back after all."""

    async def work(shop: CardShop) -> Payment:
        await shop.ready()
        shop.host.faults.replace([once(_K.DELAY, "0200", delay_ms=LATE_MS + 3000)])
        selling = asyncio.create_task(shop.sell(PAN))
        await asyncio.sleep(TIMEOUT_S / 2)
        hidden = shop.host.hide_books()  # the part of the host that undoes knows nothing of it
        over = await shop.at_rest(await selling)
        assert over.standing.status is Status.CLOSED
        shop.host.state.books = hidden
        assert shop.host.kept_fen() == 1990
        await asyncio.sleep(10)
        over = await shop.at_rest(over)
        await agreed(shop, over)
        return over

    shop = CardShop(template)
    over = shop.run(lambda: work(shop))
    assert over.standing.status is Status.REVERSED
    assert shop.host.kept_fen() == 0
    assert shop.host.sent.count("0400") == 2
    shop.close()


def test_a_reversal_is_stored_before_it_is_sent_and_repeated_until_it_is_answered(
    template: Template,
) -> None:
    """Every 0400 finds its undo committed; the pauses grow; 00 ends it."""

    async def work(shop: CardShop) -> None:
        await shop.ready()
        loop, seen = asyncio.get_running_loop(), list[float]()

        def arrives(mti: str) -> None:
            if mti == "0400":
                [[status]] = shop.connection.execute("SELECT status FROM payments").fetchall()
                assert status == Status.REVERSING.value
                seen.append(loop.time())

        shop.host.arrives = arrives
        lost = FaultRule(kind=_K.DROP, match="0200", limit=1)
        away = FaultRule(kind=_K.DROP, match="0400", stage=BEFORE, limit=12)
        shop.host.faults.replace([lost, away])
        over = await shop.at_rest(await shop.sell(PAN))
        assert over.standing.status is Status.REVERSED
        assert len(seen) == 13
        pauses = [later - earlier for earlier, later in itertools.pairwise(seen)]
        assert pauses[0] < 10
        assert max(pauses) < 100
        assert sum(pauses[-3:]) > sum(pauses[:3])
        await agreed(shop, over)

    shop = CardShop(template)
    shop.run(lambda: work(shop))
    shop.close()


@pytest.mark.parametrize("code", ["12", "25"])
def test_a_reversal_is_ended_by_12_and_25_too(template: Template, code: str) -> None:
    """The host that never saw the sale says 25; one that says 12 is believed the same."""

    async def work(shop: CardShop) -> Payment:
        await shop.ready()
        shop.host.says_of_reversals = code
        shop.host.faults.replace([FaultRule(kind=_K.DROP, match="0200", stage=BEFORE, limit=1)])
        over = await shop.at_rest(await shop.sell(PAN))
        await agreed(shop, over)
        return over

    shop = CardShop(template)
    over = shop.run(lambda: work(shop))
    assert (over.standing.status, over.standing.parked_reason) == (Status.CLOSED, "")
    assert shop.host.sent.count("0400") == 1
    shop.close()


def test_a_reversal_that_nobody_answers_is_parked_for_a_person(template: Template) -> None:
    """After the patience (half an hour here), and not before; its case is open."""
    patience_s = 1800.0

    async def work(shop: CardShop) -> Payment:
        await shop.ready()
        lost = FaultRule(kind=_K.DROP, match="0200", limit=1)
        shop.host.faults.replace([lost, FaultRule(kind=_K.DROP, match="0400", stage=BEFORE)])
        shop.gateway.core.payments._settlement._patience_s = patience_s
        told = await shop.sell(PAN)
        begun_s = asyncio.get_running_loop().time()
        over = await shop.at_rest(told)
        waited_s = asyncio.get_running_loop().time() - begun_s
        assert patience_s <= waited_s < patience_s + 600
        [case] = await shop.gateway.store.cases(is_open=True, after="", limit=10)
        assert (case.subject, case.reason) == (over.order.id, "undo_not_answered")
        return over

    shop = CardShop(template)
    over = shop.run(lambda: work(shop))
    assert over.standing.status is Status.REVERSING
    assert over.standing.parked_reason == "undo_not_answered"
    shop.close()
