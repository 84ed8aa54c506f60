"""What a merchant or one of its stores may take: amounts, a day's sum, hours, operators.

Rules:

* A limit is of a merchant (``store_id`` empty: all that it takes) or of one store; both
  hold, so the stricter decides. A number that is 0 limits nothing.
* Days and hours are Beijing's, whatever the machine says. Hours that end before they begin
  go past midnight; equal ones are the whole day.
* A day's sum counts what is taken or still may be: the amount counts from the claim on, and
  no more once the payment has ended failed, closed or reversed. Refunds give nothing back:
  what was taken was taken.
* Above ``small_fen`` a payment at the till needs an operator's PIN; a payer who pays by
  himself on the page needs none.
* What a shop does beyond a new payment is not judged: an advice tells of what is done, and
  a completion takes what an authorisation was judged for.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from domain.clock import beijing
from domain.decline import CashierText
from domain.errors import OverLimit
from domain.payment import ADVICE_METHODS, COMPLETION_METHOD

DAY_MINUTES: Final = 24 * 60
UNJUDGED_METHODS: Final = ADVICE_METHODS | {COMPLETION_METHOD}
"""Methods of payments that no limit stops."""


class LimitRule(enum.Enum):
    """Why a limit stops a payment; the values are the API's codes."""

    SINGLE = "limit_single"
    DAILY = "limit_daily"
    HOURS = "limit_hours"
    PIN_NEEDED = "operator_pin_needed"
    PIN_WRONG = "operator_pin_wrong"
    OPERATOR_LOCKED = "operator_locked"


_R = LimitRule
LIMIT_TEXTS: Final[Mapping[LimitRule, CashierText]] = MappingProxyType(
    {
        _R.SINGLE: CashierText(
            "The amount exceeds what one payment may be here.", "单笔金额超过商户限额"
        ),
        _R.DAILY: CashierText(
            "With this payment the shop would take more than it may today.",
            "超过商户当日收款限额",
        ),
        _R.HOURS: CashierText("The shop takes no payments at this hour.", "当前时段商户暂不收款"),
        _R.PIN_NEEDED: CashierText(
            "The amount needs an operator's number and PIN.",
            "金额超过免密限额，请输入操作员号和密码",
        ),
        _R.PIN_WRONG: CashierText("Operator or PIN is wrong.", "操作员号或密码错误"),
        _R.OPERATOR_LOCKED: CashierText(
            "Too many wrong PINs. This operator is locked for a while.",
            "密码错误次数超限，操作员已临时锁定",
        ),
    }
)
"""What the person at the till, or the payer, reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What a merchant, or one of its stores, may take.

    ``opens_min`` and ``closes_min`` are minutes since midnight in Beijing.
    """

    merchant_no: str
    store_id: str = ""
    single_fen: int = 0
    daily_fen: int = 0
    small_fen: int = 0
    opens_min: int = 0
    closes_min: int = 0

    def __post_init__(self) -> None:
        amounts = (self.single_fen, self.daily_fen, self.small_fen)
        if any(type(amount) is not int or amount < 0 for amount in amounts):
            raise ValueError("a limit is a whole number of fen, 0 for none")
        if not (0 <= self.opens_min < DAY_MINUTES and 0 <= self.closes_min < DAY_MINUTES):
            raise ValueError("an hour is a minute of the day")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A payment that is to be judged; its ``repr`` shows no PIN.

    ``at_till``: a person of the shop takes it; a payer on the page pays by himself.
    """

    merchant_no: str
    store_id: str
    amount_fen: int
    at_till: bool
    operator_id: str = ""
    operator_pin: str = ""

    def __repr__(self) -> str:
        return f"Asked({self.merchant_no!r}, {self.store_id!r}, {self.amount_fen})"


def limits_of(limits: Sequence[Limit], store_id: str) -> Sequence[Limit]:
    """Those of a merchant's ``limits`` that hold for a payment at ``store_id``."""
    return [limit for limit in limits if limit.store_id in ("", store_id)]


def broken_by(limits: Sequence[Limit], asked: Asked, now_ms: int) -> LimitRule | None:
    """What stops a payment whatever was taken before it; ``None`` when nothing does.

    The day's sum is stopped by what alone is too much; whether the rest fits is the store's
    to say.
    """
    minute = minute_of_day(now_ms)
    if not all(is_open(limit, minute) for limit in limits):
        return LimitRule.HOURS
    if any(_is_over(asked.amount_fen, limit.single_fen) for limit in limits):
        return LimitRule.SINGLE
    if any(_is_over(asked.amount_fen, limit.daily_fen) for limit in limits):
        return LimitRule.DAILY
    return None


def needs_pin(limits: Sequence[Limit], asked: Asked) -> bool:
    """Whether an operator must let this payment through."""
    return asked.at_till and any(_is_over(asked.amount_fen, limit.small_fen) for limit in limits)


def _is_over(amount_fen: int, limit_fen: int) -> bool:
    return 0 < limit_fen < amount_fen


def is_open(limit: Limit, minute: int) -> bool:
    """Whether a limit's hours let a payment through at this minute of the day."""
    opens, closes = limit.opens_min, limit.closes_min
    if opens == closes:
        return True
    if opens < closes:
        return opens <= minute < closes
    return minute >= opens or minute < closes


def minute_of_day(now_ms: int) -> int:
    """Minutes since midnight in Beijing."""
    local = beijing(now_ms)
    return local.hour * 60 + local.minute


def limit_day(now_ms: int) -> str:
    """The day that a payment counts for, as ``YYYY-MM-DD``."""
    return beijing(now_ms).date().isoformat()


def over_limit(rule: LimitRule) -> OverLimit:
    """The refusal of a payment, in both languages."""
    text = LIMIT_TEXTS[rule]
    return OverLimit(rule.value, text.en, message_zh=text.zh)
