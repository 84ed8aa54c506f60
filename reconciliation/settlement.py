"""What a merchant is owed for a day: gross, refunds, fees, net, carried balance. Pure.

Rules:

* Every payment and refund of the day counts once, by the business day of its channel.
* Our fee is rounded to the fen for each payment (``rates.py``) by the rate in force on the
  payment's own day; a refund gives back the part of that fee that the returned part bore,
  where the rate says so, so that parts never give back more than the whole.
* The channel's fee is summed in thousandths of a fen and rounded once, half to even. It is
  ours to bear where the merchant's rate is all-in, else the merchant's.
* What a merchant owes us is carried: nothing is paid out until it is made up for.
* What an earlier day's statement came too early for is in the sums, and named by its day.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from channels.bills import BillKind
from reconciliation.rates import MFEN_PER_FEN, MerchantRate, half_even, rate_for


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledItem:
    """One payment or refund of the day; of a refund ``paid_fen`` is its payment's amount.

    ``returned_before_fen`` is what earlier refunds had returned of that payment, ``paid_on``
    the payment's own day.
    """

    kind: BillKind
    amount_fen: int
    channel: str
    method: str
    paid_on: date
    paid_fen: int = 0
    returned_before_fen: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """What was posted on ``day`` after that day was settled, and is paid with a later one."""

    day: date
    payments: int
    refunds: int
    gross_fen: int
    refunds_fen: int
    our_fee_fen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A merchant's day; every amount in fen, fees above zero are kept from the merchant.

    ``net_fen`` = gross - refunds - our fee (- channel fee, where the merchant bears it).
    ``carried_in_fen`` is 0 or below; ``payable_fen`` is 0 or above, ``carried_out_fen``
    what is left to be made up for. What is ``late`` is in the other figures.
    """

    payments: int
    refunds: int
    gross_fen: int
    refunds_fen: int
    channel_fee_fen: int
    our_fee_fen: int
    bears_channel_fee: bool
    carried_in_fen: int
    late: Sequence[Late] = ()

    @property
    def late_fen(self) -> int:
        """What was posted on earlier days, before fees."""
        return sum(one.gross_fen - one.refunds_fen for one in self.late)

    @property
    def net_fen(self) -> int:
        """What the day itself came to."""
        borne_fen = self.channel_fee_fen if self.bears_channel_fee else 0
        return self.gross_fen - self.refunds_fen - self.our_fee_fen - borne_fen

    @property
    def payable_fen(self) -> int:
        """What is paid out."""
        return max(0, self.net_fen + self.carried_in_fen)

    @property
    def carried_out_fen(self) -> int:
        """What the next day begins with."""
        return min(0, self.net_fen + self.carried_in_fen)


def our_fee_fen(item: SettledItem, rates: Sequence[MerchantRate]) -> int:
    """Our fee of a payment, or (below zero) what a refund gives back of it."""
    rate = rate_for(rates, item.channel, item.method, item.paid_on)
    if item.kind is BillKind.PAYMENT:
        return rate.fee_fen(item.amount_fen)
    if not rate.returns_fee or item.paid_fen <= 0:
        return 0
    whole_fen = rate.fee_fen(item.paid_fen)

    def given_back(returned_fen: int) -> int:
        return half_even(whole_fen * returned_fen, item.paid_fen)

    before_fen = item.returned_before_fen
    return given_back(before_fen) - given_back(before_fen + item.amount_fen)


def settle(
    items: Iterable[SettledItem],
    rates: Sequence[MerchantRate],
    *,
    channel_fee_mfen: int,
    bears_channel_fee: bool,
    carried_in_fen: int,
    late: Sequence[Late] = (),
) -> Statement:
    """One merchant's day, with what is late of earlier ones.

    Raises:
        ValueError: a balance above zero cannot be carried in.
    """
    if carried_in_fen > 0:
        raise ValueError("only what a merchant owes is carried")
    counts = {BillKind.PAYMENT: 0, BillKind.REFUND: 0}
    sums = {BillKind.PAYMENT: 0, BillKind.REFUND: 0}
    fee_fen = 0
    for item in items:
        counts[item.kind] += 1
        sums[item.kind] += item.amount_fen
        fee_fen += our_fee_fen(item, rates)
    return Statement(
        payments=counts[BillKind.PAYMENT] + sum(one.payments for one in late),
        refunds=counts[BillKind.REFUND] + sum(one.refunds for one in late),
        gross_fen=sums[BillKind.PAYMENT] + sum(one.gross_fen for one in late),
        refunds_fen=sums[BillKind.REFUND] + sum(one.refunds_fen for one in late),
        channel_fee_fen=half_even(channel_fee_mfen, MFEN_PER_FEN),
        our_fee_fen=fee_fen + sum(one.our_fee_fen for one in late),
        bears_channel_fee=bears_channel_fee,
        carried_in_fen=carried_in_fen,
        late=tuple(late),
    )
