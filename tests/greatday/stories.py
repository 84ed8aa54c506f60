"""What happens to a payment on both sides, and what a night must find of it. Pure.

Rules:

* A story is what we hold (``Sale``), what the channel did (``Charge``), what its bill prints
  wrong (``BillFault``), and the differences that must be found, each on its night. A story
  without any must be found to be right, however odd it looks.
* Nights are told from the great day (0). What waits is a difference ``CARRY`` days later.
* Everything is made from a seeded source: the same figures make the same day.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from types import MappingProxyType
from typing import Final

from domain.payment import Status
from reconciliation.days import business_day
from reconciliation.differences import DifferenceKind
from sandbox.bill_faults import BillFault

CARRY: Final = 3
FIRST: Final = -1
LAST: Final = CARRY
"""The nights that are run: the one before the great day, and until everything has waited."""
_QUIET_MS: Final = 300_000
_SECOND_MS: Final = 1000
_K: Final = DifferenceKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Back:
    """A refund of ours; one that is not ``is_paid`` was refused, as far as we know."""

    refund_no: str
    amount_fen: int
    at_ms: int
    is_paid: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """A payment of ours; ``told_at_ms`` is the channel's own time where it told one."""

    order_no: str
    amount_fen: int
    made_at_ms: int
    status: Status = Status.SUCCEEDED
    told_at_ms: int = 0
    backs: Sequence[Back] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What the channel did: ``undone_at_ms`` is when it took the whole back, 0 for never."""

    order_no: str
    amount_fen: int
    at_ms: int
    undone_at_ms: int = 0
    backs: Sequence[Back] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """A difference, as a night tells it."""

    account_id: str
    day: date
    kind: DifferenceKind
    order_no: str
    refund_no: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Both sides of one payment."""

    sale: Sale | None = None
    charge: Charge | None = None
    faults: Mapping[tuple[str, str], BillFault] = field(default_factory=dict)
    found: Sequence[Found] = ()


class Teller:
    """Tells the stories of one account around its great day."""

    def __init__(self, channel: str, account_id: str, day: date, seed: int) -> None:
        self.channel = channel
        self.account_id = account_id
        self.day = day
        self._kind = business_day(channel)
        self._chance = random.Random(f"{seed} {account_id}")
        self._serial = 0

    def on(self, offset: int) -> date:
        """The day so many after the great one."""
        return self.day + timedelta(days=offset)

    def number(self) -> str:
        """A channel order number, as this channel's are."""
        self._serial += 1
        if self.channel == "unionpay_card":  # terminal, batch and trace
            return f"LK{self._batch():06d}{self._serial // 999_999:06d}{self._serial:06d}"
        return f"{self._batch():06d}X{self._serial:08d}R{self._chance.getrandbits(64):016X}"

    def _batch(self) -> int:
        return self.day.toordinal() % 1_000_000

    def amount(self) -> int:
        """Fen, small ones too; at least what two refunds can be made of."""
        return self._chance.choice(
            (self._chance.randrange(10, 300), self._chance.randrange(50_000))
        )

    def within(self, offset: int = 0) -> int:
        """A moment of a day, away from its ends."""
        start_ms, end_ms = (
            self._kind.start_ms(self.on(offset)),
            self._kind.start_ms(self.on(offset + 1)),
        )
        return self._chance.randrange(start_ms + _QUIET_MS, end_ms - _QUIET_MS)

    def before_midnight(self) -> int:
        """The last seconds of the great day."""
        return self._kind.start_ms(self.on(1)) - self._chance.randrange(1, 3 * _SECOND_MS)

    def after_midnight(self) -> int:
        """The first seconds of the day after."""
        return self._kind.start_ms(self.on(1)) + self._chance.randrange(3 * _SECOND_MS)

    def sold(self, at_ms: int | None = None) -> tuple[Sale, Charge]:
        """A payment that both sides have, at the same time."""
        at_ms = self.within() if at_ms is None else at_ms
        order_no, amount_fen = self.number(), self.amount() + 10
        sale = Sale(
            order_no=order_no,
            amount_fen=amount_fen,
            made_at_ms=at_ms - _SECOND_MS,
            told_at_ms=at_ms,
        )
        return sale, Charge(order_no=order_no, amount_fen=amount_fen, at_ms=at_ms)

    def back(self, sale: Sale, at_ms: int, part: int = 3) -> Back:
        """A part of it that goes back."""
        return Back(
            refund_no=self.number(), amount_fen=max(1, sale.amount_fen // part), at_ms=at_ms
        )

    def as_billed(self, number: str) -> str:
        """A number that only the bill knows: a card acquirer's tells its terminal and trace."""
        return f"{number[:8]}??????{number[14:]}" if self.channel == "unionpay_card" else number

    def differs(
        self, offset: int, kind: DifferenceKind, order_no: str, refund_no: str = "", number: int = 0
    ) -> Found:
        """What the night of that day must find."""
        return Found(self.account_id, self.on(offset), kind, order_no, refund_no, number)


Way = Callable[[Teller], Story]


# --- what looks odd and is right


def plain(teller: Teller) -> Story:
    """Paid, and billed on its day."""
    sale, charge = teller.sold()
    return Story(sale=sale, charge=charge)


def yesterday(teller: Teller) -> Story:
    """A payment of the day before with a refund of today."""
    sale, charge = teller.sold(teller.within(-1))
    backs = (teller.back(sale, teller.within()),)
    return Story(sale=replace(sale, backs=backs), charge=replace(charge, backs=backs))


def in_parts(teller: Teller) -> Story:
    """Two refunds, one of them on the next day."""
    sale, charge = teller.sold()
    backs = (teller.back(sale, sale.told_at_ms + 60_000), teller.back(sale, teller.within(1)))
    return Story(sale=replace(sale, backs=backs), charge=replace(charge, backs=backs))


def undone(teller: Teller) -> Story:
    """Taken back as a whole: in the bill with its return, or in neither."""
    sale, charge = teller.sold()
    sale = replace(sale, status=Status.REVERSED)
    return Story(sale=sale, charge=replace(charge, undone_at_ms=charge.at_ms + 2 * _SECOND_MS))


def undone_over_midnight(teller: Teller) -> Story:
    """Charged on one day, returned on the next."""
    sale, charge = teller.sold(teller.before_midnight())
    sale = replace(sale, status=Status.REVERSED)
    return Story(sale=sale, charge=replace(charge, undone_at_ms=teller.after_midnight()))


def refused(teller: Teller) -> Story:
    """The channel said no, and bills nothing."""
    sale, _ = teller.sold()
    return Story(sale=replace(sale, status=Status.FAILED, told_at_ms=0))


def still_open(teller: Teller) -> Story:
    """Nobody knows yet, and nothing is billed."""
    sale, _ = teller.sold()
    return Story(sale=replace(sale, status=Status.SUBMITTED, told_at_ms=0))


def told_across(teller: Teller) -> Story:
    """Made before midnight, paid after it, as the channel told us: of its day on both sides."""
    sale, charge = teller.sold(teller.after_midnight())
    return Story(sale=replace(sale, made_at_ms=teller.before_midnight()), charge=charge)


def refused_refund(teller: Teller) -> Story:
    """A refund that the channel refused, and did not pay out."""
    sale, charge = teller.sold()
    back = replace(teller.back(sale, sale.told_at_ms + 60_000), is_paid=False)
    return Story(sale=replace(sale, backs=(back,)), charge=charge)


# --- what differs


def missing_here(teller: Teller) -> Story:
    """Billed, and unknown to us."""
    _, charge = teller.sold()
    number = teller.as_billed(charge.order_no)
    return Story(charge=charge, found=(teller.differs(CARRY, _K.MISSING_HERE, number),))


def missing_there(teller: Teller) -> Story:
    """Paid, as far as we know, and never billed."""
    sale, _ = teller.sold()
    return Story(sale=sale, found=(teller.differs(CARRY, _K.MISSING_THERE, sale.order_no),))


def altered(teller: Teller) -> Story:
    """Another amount there, by as little as a fen."""
    sale, charge = teller.sold()
    charge = replace(charge, amount_fen=charge.amount_fen + (1 if charge.amount_fen % 2 else -1))
    found = (teller.differs(0, _K.AMOUNT, sale.order_no),)
    return Story(sale=sale, charge=charge, found=found)


def paid_there(teller: Teller) -> Story:
    """Failed here, charged there: at once."""
    sale, charge = teller.sold()
    sale = replace(sale, status=Status.FAILED, told_at_ms=0)
    return Story(sale=sale, charge=charge, found=(teller.differs(0, _K.STATUS, sale.order_no),))


def kept_there(teller: Teller) -> Story:
    """Undone here, kept there: once its return had the time to come."""
    sale, charge = teller.sold()
    sale = replace(sale, status=Status.REVERSED)
    return Story(sale=sale, charge=charge, found=(teller.differs(CARRY, _K.STATUS, sale.order_no),))


def dear(teller: Teller) -> Story:
    """A fee that the rate does not give, by a fen (a card's, of two that are rounded: by three)."""
    sale, charge = teller.sold()
    beside_fen = 3 if teller.channel == "unionpay_card" else 1
    faults = {(sale.order_no, ""): BillFault(fee_fen=beside_fen)}
    found = (teller.differs(0, _K.FEE, sale.order_no),)
    return Story(sale=sale, charge=charge, faults=faults, found=found)


def twice(teller: Teller) -> Story:
    """Two lines in one bill."""
    sale, charge = teller.sold()
    faults = {(sale.order_no, ""): BillFault(copies=2)}
    found = (teller.differs(0, _K.DUPLICATE, sale.order_no, number=1),)
    return Story(sale=sale, charge=charge, faults=faults, found=found)


def twice_over_days(teller: Teller) -> Story:
    """A line of its day, and one of the day after."""
    sale, charge = teller.sold()
    faults = {(sale.order_no, ""): BillFault(again_on=teller.on(1))}
    found = (teller.differs(1, _K.DUPLICATE, sale.order_no),)
    return Story(sale=sale, charge=charge, faults=faults, found=found)


def late(teller: Teller) -> Story:
    """Ours before midnight, theirs after it."""
    sale, charge = teller.sold(teller.after_midnight())
    sale = replace(sale, made_at_ms=teller.before_midnight(), told_at_ms=0)
    return Story(sale=sale, charge=charge, found=(teller.differs(1, _K.LATE, sale.order_no),))


def early(teller: Teller) -> Story:
    """Theirs before midnight, ours after it."""
    sale, charge = teller.sold(teller.before_midnight())
    sale = replace(sale, made_at_ms=teller.after_midnight(), told_at_ms=0)
    return Story(sale=sale, charge=charge, found=(teller.differs(0, _K.LATE, sale.order_no),))


def late_and_altered(teller: Teller) -> Story:
    """Of another day and of another amount: both are told."""
    story = late(teller)
    assert story.charge is not None
    charge = replace(story.charge, amount_fen=story.charge.amount_fen + 100)
    found = (*story.found, teller.differs(1, _K.AMOUNT, charge.order_no))
    return replace(story, charge=charge, found=found)


def late_refund(teller: Teller) -> Story:
    """A refund of ours before midnight, theirs after it."""
    sale, charge = teller.sold()
    ours = teller.back(sale, teller.before_midnight())
    theirs = replace(ours, at_ms=teller.after_midnight())
    found = (teller.differs(1, _K.LATE, sale.order_no, ours.refund_no),)
    return Story(
        sale=replace(sale, backs=(ours,)), charge=replace(charge, backs=(theirs,)), found=found
    )


def refund_missing_here(teller: Teller) -> Story:
    """They returned something that we know nothing of."""
    sale, charge = teller.sold()
    back = teller.back(sale, charge.at_ms + 60_000)
    order_no, refund_no = teller.as_billed(sale.order_no), teller.as_billed(back.refund_no)
    found = (teller.differs(CARRY, _K.REFUND_MISSING_HERE, order_no, refund_no),)
    return Story(sale=sale, charge=replace(charge, backs=(back,)), found=found)


def refund_missing_there(teller: Teller) -> Story:
    """We returned something that they know nothing of."""
    sale, charge = teller.sold()
    back = teller.back(sale, charge.at_ms + 60_000)
    found = (teller.differs(CARRY, _K.REFUND_MISSING_THERE, sale.order_no, back.refund_no),)
    return Story(sale=replace(sale, backs=(back,)), charge=charge, found=found)


def refund_altered(teller: Teller) -> Story:
    """Another amount of a refund there."""
    sale, charge = teller.sold()
    back = teller.back(sale, charge.at_ms + 60_000)
    theirs = replace(back, amount_fen=back.amount_fen + 1)
    found = (teller.differs(0, _K.REFUND_AMOUNT, sale.order_no, back.refund_no),)
    return Story(
        sale=replace(sale, backs=(back,)), charge=replace(charge, backs=(theirs,)), found=found
    )


def refund_paid_there(teller: Teller) -> Story:
    """Refused as far as we know, paid out there."""
    sale, charge = teller.sold()
    back = teller.back(sale, charge.at_ms + 60_000)
    ours = replace(back, is_paid=False)
    found = (teller.differs(0, _K.REFUND_STATUS, sale.order_no, back.refund_no),)
    return Story(
        sale=replace(sale, backs=(ours,)), charge=replace(charge, backs=(back,)), found=found
    )


def refund_twice(teller: Teller) -> Story:
    """One refund on two lines."""
    sale, charge = teller.sold()
    back = teller.back(sale, charge.at_ms + 60_000)
    faults = {(sale.order_no, back.refund_no): BillFault(copies=2)}
    found = (teller.differs(0, _K.REFUND_DUPLICATE, sale.order_no, back.refund_no, 1),)
    backs = (back,)
    return Story(
        sale=replace(sale, backs=backs),
        charge=replace(charge, backs=backs),
        faults=faults,
        found=found,
    )


RIGHT: Final[Mapping[Way, int]] = MappingProxyType(
    {
        plain: 70, yesterday: 6, in_parts: 6, undone: 5, undone_over_midnight: 2, refused: 5,
        still_open: 1, told_across: 3, refused_refund: 2,
    }
)  # fmt: skip
"""How often each is told, of a hundred that are right."""

WRONG: Final[Sequence[Way]] = (
    missing_here, missing_there, altered, paid_there, kept_there, dear, twice, twice_over_days,
    late, early, late_and_altered, late_refund, refund_missing_here, refund_missing_there,
    refund_altered, refund_paid_there, refund_twice,
)  # fmt: skip
"""What differs; each is told equally often."""


def stories(teller: Teller, payments: int, each: int) -> list[Story]:
    """``each`` of everything that differs, and what is right beside it, ``payments`` in all."""
    told = [way(teller) for way in WRONG for _ in range(each)]
    rest = payments - len(told)
    for way, share in RIGHT.items():
        told += [way(teller) for _ in range(max(1, rest * share // 100))]
    random.Random(teller.account_id).shuffle(told)
    return told
