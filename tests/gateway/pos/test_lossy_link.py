"""A terminal and the gateway back to back, on a line that loses, doubles, delays and reorders.

Once both are idle they never disagree about which sales stand, the channels agree with
both, and no approval that the terminal saw was missing from the ledger when it saw it
(I1, I2, I3, I4, I14). Faults are decided before a run, so a failure is small and prints
its steps; everything is on virtual time.
"""

import asyncio
import enum
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st

from tests.gateway.pos.careful_till import CarefulTill, Known
from tests.gateway.pos.corner_shop import CornerShop, Template, template
from tests.gateway.pos.lossy_link import Fate
from tests.gateway.pos.moody_channel import Mood
from tests.simulation.books import Books, at_rest, captures

__all__ = ["template"]

_REST_S = 5.0
_MOST_RESTS = 4000
_LAST_TRIES = 5


class Deed(enum.Enum):
    """What the cashier does."""

    SELL_BY_CARD = "sell by card"
    SELL_BY_CODE = "sell by code"
    SELL_OFFLINE = "sell offline"
    VOID = "void"
    REFUND = "refund"
    INQUIRE = "inquire"
    SETTLE = "settle"
    SIGN_IN = "sign in"
    PAUSE = "pause"


@dataclass(frozen=True, slots=True)
class Step:
    """One deed, what becomes of the frames it makes, and how the channels take it.

    ``number`` chooses the sale that is meant, or the amount. ``line`` is the fate of the
    frames after ``fates``, ``weather`` the mood of the calls after ``moods``.
    """

    deed: Deed
    number: int = 0
    fates: tuple[Fate, ...] = ()
    line: Fate = Fate.WELL
    moods: tuple[Mood, ...] = ()
    weather: Mood = Mood.WELL

    def __str__(self) -> str:
        fates = ", ".join(fate.value for fate in (*self.fates, self.line))
        moods = ", ".join(mood.value for mood in (*self.moods, self.weather))
        return f"{self.deed.value} {self.number} | {fates} | {moods}"


@dataclass(frozen=True, slots=True)
class Day:
    """What happens after two good sales.

    ``patient`` is the till that waits on when a strange answer comes.
    """

    steps: tuple[Step, ...]
    patient: bool = True


OPENING = (Step(Deed.SELL_BY_CARD, 2), Step(Deed.SELL_BY_CODE, 4))


class Run:
    """One day from its start to the comparison of the books."""

    def __init__(self, template: Template, day: Day) -> None:
        self.day = day
        self.journal: list[str] = []
        self.shop = CornerShop(template)
        self.till: CarefulTill

    def play(self) -> None:
        """Live through it, then compare."""
        try:
            self.shop.run(self._play)
        except BaseException:
            note("\n".join(self.journal))
            raise
        finally:
            self.shop.close()

    async def _play(self) -> None:
        self.till = CarefulTill(
            self.shop, self._approved, self.journal.append, patient=self.day.patient
        )
        for step in (*OPENING, *self.day.steps):
            self.journal.append(f"{self.shop.loop.time():.1f} {step}")
            self.till.link.decide(step.fates, step.line)
            for channel in (self.shop.cards, self.shop.wallets):
                channel.decide(step.moods, step.weather)
            await self._do(step)
        for _ in range(_LAST_TRIES):
            await self._settle_down()
            if await self.till.settle():
                break
        else:
            raise AssertionError("on a sound line the till never comes to know everything")
        await self._settle_down()
        self._compare()

    async def _do(self, step: Step) -> None:
        till, number = self.till, step.number
        standing = [sale for sale in till.sales if sale.known is Known.STANDING]
        chosen = standing[number % len(standing)] if standing else None
        match step.deed:
            case Deed.SELL_BY_CARD | Deed.SELL_BY_CODE:
                by_card = step.deed is Deed.SELL_BY_CARD
                await till.sell(100 * (number + 1), by_card=by_card)
            case Deed.SELL_OFFLINE:
                await till.sell_offline(100 * (number + 1))
            case Deed.VOID if chosen is not None:
                await till.void(chosen)
            case Deed.REFUND if chosen is not None:
                amounts = (chosen.amount_fen // 2, chosen.amount_fen, 1)
                await till.refund(chosen, amounts[number % len(amounts)])
            case Deed.INQUIRE:
                await till.inquire(about_returns=number % 2 == 1)
            case Deed.SETTLE:
                await till.settle()
            case Deed.SIGN_IN:
                await till.sign_in()
            case _:
                await asyncio.sleep(20.0)

    async def _settle_down(self) -> None:
        """No fault any more; wait until nothing is under way and nothing open."""
        self.journal.append(f"{self.shop.loop.time():.1f} from here on all goes well")
        self.till.link.decide()
        for channel in (self.shop.cards, self.shop.wallets):
            channel.decide()
        for _ in range(_MOST_RESTS):
            await asyncio.sleep(_REST_S)
            if self.till.link.is_sound and at_rest(self.shop.connection):
                return
        raise AssertionError("the gateway never comes to rest")

    def _approved(self, key: str, amount_fen: int) -> None:
        """The terminal sees an approval: the ledger must have it by now (I1)."""
        assert captures(self.shop.connection, "pos", key) == [amount_fen]

    def _compare(self) -> None:
        """Terminal, gateway, ledger and channels, all to the same fen."""
        books = Books(self.shop.connection)
        charges = {**self.shop.cards.charges, **self.shop.wallets.charges}
        stored, kept_there = {}, {}
        for row in books.payments.values():
            key, net_fen = row["order_key"], row["captured_fen"] - row["returned_fen"]
            assert sum(line["amount_fen"] for line in books.postings[row["id"]]) == 0
            charge = charges.pop(row["channel_order_no"], None)
            kept_fen = 0 if charge is None else charge.kept_fen
            stored[key] = 0 if row["status"] == "reversed" else net_fen
            kept_there[key] = kept_fen
        known = {sale.key: sale.kept_fen for sale in self.till.sales}
        assert charges == {}, "a charge that the gateway knows nothing of"
        assert _standing(known) == _standing(stored), "terminal and gateway"
        assert _standing(known) == _standing(kept_there), "terminal and channels"
        assert not books.open_cases


def _standing(books: dict[str, int]) -> dict[str, int]:
    return {key: amount_fen for key, amount_fen in books.items() if amount_fen}


def _often(usual: Fate | Mood, others: type[Fate] | type[Mood]) -> st.SearchStrategy[Any]:
    """The usual one as often as all others together."""
    return st.one_of(st.just(usual), st.sampled_from(others))


STEPS = st.builds(
    Step,
    st.sampled_from((*Deed, Deed.VOID, Deed.REFUND)),
    st.integers(0, 5),
    st.lists(_often(Fate.WELL, Fate), max_size=8).map(tuple),
    _often(Fate.WELL, Fate),
    st.lists(_often(Mood.WELL, Mood), max_size=6).map(tuple),
    _often(Mood.WELL, Mood),
)
DAYS = st.builds(
    Day,
    st.one_of(  # a small one to shrink to, and long ones, which Hypothesis rarely makes
        st.lists(STEPS, min_size=1, max_size=3).map(tuple),
        st.lists(STEPS, min_size=6, max_size=10).map(tuple),
    ),
    st.booleans(),
)


_AWAY = Mood.UNDONE
VOID_REFUSED_LATE = Day(
    (Step(Deed.VOID, 1, weather=_AWAY), *(Step(Deed.PAUSE, weather=Mood.NO),) * 4)
)
"""The channel is away until nobody waits for the void any more, and then says no."""
VOID_ASKED_ABOUT = Day(
    (
        Step(Deed.VOID, 1, weather=_AWAY),
        Step(Deed.INQUIRE, 0, weather=_AWAY),
        Step(Deed.PAUSE, weather=Mood.NO),
    )
)
"""The same, and the till asks how the sale stands before the channel has said anything."""
REFUND_GIVEN_UP = Day((Step(Deed.REFUND, 0, (Fate.TOO_LATE,)), Step(Deed.INQUIRE, 1)))
VOID_GIVEN_UP = Day(
    (Step(Deed.VOID, 0, (Fate.AGES_LATE,)), Step(Deed.INQUIRE, 1, (Fate.LOST,) * 3))
)
"""The till is told "never seen", and then it comes."""


OFFLINE_UNHEARD = Day(
    (Step(Deed.SELL_OFFLINE, 3, (Fate.LOST,) * 4, moods=(Mood.UNHEARD, Mood.NO, Mood.NOT_SENT)),)
)
"""Booked at the channel, heard by nobody, and told again until it is."""


@pytest.mark.slow
@example(day=OFFLINE_UNHEARD)
@example(day=VOID_REFUSED_LATE)
@example(day=VOID_ASKED_ABOUT)
@example(day=REFUND_GIVEN_UP)
@example(day=VOID_GIVEN_UP)
@settings(
    max_examples=500,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(day=DAYS)
def test_terminal_gateway_and_channels_never_disagree_once_all_is_idle(
    template: Template, day: Day
) -> None:
    Run(template, day).play()
