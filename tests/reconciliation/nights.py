"""Building blocks of a match: short ways to say what we have and what the bill has."""

from collections import Counter
from datetime import date, timedelta

from channels.bills import BillKind
from reconciliation.engine import Engine
from reconciliation.entries import Key, Ours, OurState, Pool, Theirs, Waiting
from reconciliation.match import Matched, Rules, match
from reconciliation.night_store import NightStore
from reconciliation.rates import ChannelRate

DAY = date(2026, 3, 14)
RULES = Rules(carry_days=3, fee_tolerance_mfen=500, since=date(2026, 1, 1))


def day(offset: int) -> date:
    """A day before or after :data:`DAY`."""
    return DAY + timedelta(days=offset)


def key(number: str, refund: str = "") -> Key:
    """A payment's key, or a refund's."""
    return Key(BillKind.REFUND if refund else BillKind.PAYMENT, number, refund)


def ours(
    number: str,
    refund: str = "",
    *,
    fen: int = 1000,
    state: OurState = OurState.DONE,
    on: int = 0,
    fee_mfen: int | None = None,
    currency: str = "CNY",
) -> Ours:
    """An entry of ours."""
    return Ours(
        key=key(number, refund),
        state=state,
        amount_fen=fen,
        currency=currency,
        day=day(on),
        subject=f"pay_{number}" if not refund else f"ref_{refund}",
        fee_mfen=fee_mfen,
    )


def theirs(
    number: str,
    refund: str = "",
    *,
    fen: int = 1000,
    on: int = 0,
    line: int = 1,
    fee_mfen: int = 0,
    currency: str = "CNY",
) -> Theirs:
    """A line of a bill."""
    return Theirs(
        key=key(number, refund),
        amount_fen=fen,
        fee_mfen=fee_mfen,
        currency=currency,
        day=day(on),
        line=line,
        trade_no=f"T{number}",
    )


def night(
    ours_: list[Ours],
    bill: list[Theirs],
    pool: Pool | None = None,
    *,
    on: int = 0,
    rules: Rules = RULES,
) -> Matched:
    """One night of the match."""
    return match(day(on), ours_, bill, pool or Pool(), rules)


def told(matched: Matched) -> list[tuple[str, str, str]]:
    """The differences in short: kind, order, refund."""
    return [(one.kind.value, one.order_no, one.refund_no) for one in matched.differences]


def settled(
    engine: Engine, on: date, pool: Pool, rules: Rules, rate: ChannelRate | None = None
) -> Matched:
    """What the engine says of what was loaded, read to its end; its counts are those of it."""
    for page in (Pool(ours=pool.ours), Pool(theirs=pool.theirs)):
        engine.load_waiting(page)
    found = engine.settle(on, rules, rate)
    pages = list(engine.kept())
    kept = Pool(
        ours=frozenset(one for page in pages for one in page.ours),
        theirs=frozenset(one for page in pages for one in page.theirs),
    )
    differences = list(engine.differences())
    assert found.waiting == len(kept.ours) + len(kept.theirs)
    assert found.kinds == Counter(one.kind.value for one in differences)
    return Matched(differences=differences, pool=kept, pairs=found.pairs)


async def pool_of(store: NightStore, account_id: str, on: date, size: int = 500) -> Pool:
    """The whole of what a night left, read page by page."""
    everything: list[Waiting | Theirs] = []
    while page := await store.pool_page(
        account_id, on, everything[-1] if everything else None, size
    ):
        everything += page
    return Pool(
        ours=frozenset(one for one in everything if isinstance(one, Waiting)),
        theirs=frozenset(one for one in everything if isinstance(one, Theirs)),
    )
