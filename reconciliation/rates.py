"""Rates: what a channel's fee should be, and what we charge a merchant. Pure integers.

Rules: a rate is parts per million; a fee is computed in thousandths of a fen (mfen) and
rounded to a unit of its own. A channel's fee is rounded half up to its unit for each
payment, as channels do (a fen; WeChat: a hundred-thousandth of a yuan, which is one mfen).
Ours is rounded half to even to the fen, once for each payment, then held between its
minimum and its cap. Nothing here divides with a remainder that is lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

MFEN_PER_FEN: Final = 1000
_PPM: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRate:
    """What a channel keeps: ``rate_ppm`` of an amount, rounded half up to ``unit_mfen``."""

    rate_ppm: int
    unit_mfen: int = MFEN_PER_FEN

    def __post_init__(self) -> None:
        if not 0 <= self.rate_ppm <= _PPM or self.unit_mfen < 1:
            raise ValueError("a rate is 0 to 1,000,000 parts per million, a unit 1 mfen or more")

    @property
    def step(self) -> int:
        """What one unit weighs in fen times parts per million."""
        return _PPM * self.unit_mfen // MFEN_PER_FEN

    def fee_mfen(self, amount_fen: int) -> int:
        """The fee of one payment, in thousandths of a fen."""
        step = self.step
        return (2 * amount_fen * self.rate_ppm + step) // (2 * step) * self.unit_mfen


@dataclass(frozen=True, slots=True, kw_only=True)
class MerchantRate:
    """What we keep of a merchant's payment, from ``since`` on; ``cap_fen`` 0 is none.

    ``channel`` and ``method`` empty mean any. ``returns_fee`` says whether a refund gives
    the fee of its part back to the merchant.
    """

    rate_ppm: int
    since: date
    min_fen: int = 0
    cap_fen: int = 0
    channel: str = ""
    method: str = ""
    returns_fee: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.rate_ppm <= _PPM:
            raise ValueError("a rate is 0 to 1,000,000 parts per million")
        if self.min_fen < 0 or self.cap_fen < 0 or (self.cap_fen and self.cap_fen < self.min_fen):
            raise ValueError("minimum and cap are 0 or more, the cap not below the minimum")

    def fee_fen(self, amount_fen: int) -> int:
        """Our fee of one payment."""
        fee_fen = max(half_even(amount_fen * self.rate_ppm, _PPM), self.min_fen)
        return min(fee_fen, self.cap_fen) if self.cap_fen else fee_fen

    def fits(self, channel: str, method: str, day: date) -> bool:
        """Whether it is in force for such a payment on that day."""
        return self.since <= day and self.channel in ("", channel) and self.method in ("", method)


NO_RATE: Final = MerchantRate(rate_ppm=0, since=date.min)


def rate_for(rates: Sequence[MerchantRate], channel: str, method: str, day: date) -> MerchantRate:
    """The rate in force: the most particular one, then the youngest; none means no fee."""
    fitting = [rate for rate in rates if rate.fits(channel, method, day)]
    return max(fitting, key=_rank, default=NO_RATE)


def _rank(rate: MerchantRate) -> tuple[bool, bool, date]:
    return bool(rate.method), bool(rate.channel), rate.since


def half_even(numerator: int, denominator: int) -> int:
    """``numerator / denominator`` to the nearest integer, a half to the even one."""
    whole, rest = divmod(numerator, denominator)
    twice = 2 * rest
    if twice > denominator or (twice == denominator and whole % 2):
        return whole + 1
    return whole
