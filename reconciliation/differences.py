"""What can differ between a channel's bill, our books and the terminals' batches.

Rules: the kinds are data, each with a sentence for finance staff in Chinese and English
and what is proposed to be done about it. Nothing is repaired by itself: a repair is
proposed by one person and approved by another. ``LATE`` is no mistake, it tells of money
that both sides have, under two days.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Final


class DifferenceKind(enum.Enum):
    """How the sides disagree."""

    MISSING_HERE = "missing_here"
    MISSING_THERE = "missing_there"
    AMOUNT = "amount"
    STATUS = "status"
    FEE = "fee"
    DUPLICATE = "duplicate"
    REFUND_MISSING_HERE = "refund_missing_here"
    REFUND_MISSING_THERE = "refund_missing_there"
    REFUND_AMOUNT = "refund_amount"
    REFUND_STATUS = "refund_status"
    REFUND_DUPLICATE = "refund_duplicate"
    LATE = "late"
    BATCH_TOTAL = "batch_total"


class Repair(enum.Enum):
    """What may be done about a difference, each only after a second person's yes."""

    QUERY_AGAIN = "query_again"
    """Ask the channel, and book what it says."""
    REFUND = "refund"
    """Return to the payer what the channel holds and we do not owe."""
    ADJUST = "adjust"
    """Move the amount in the ledger to where the evidence puts it."""
    WRITE_OFF = "write_off"
    """Accept it as it is, for a reason."""
    NONE = "none"
    """Nothing has to be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """A kind in words; ``repair`` is what is proposed first."""

    title_en: str
    title_zh: str
    sentence_en: str
    sentence_zh: str
    repair: Repair


_K = DifferenceKind

MEANINGS: Final[Mapping[DifferenceKind, Meaning]] = MappingProxyType(
    {
        _K.MISSING_HERE: Meaning(
            title_en="Missing here",
            title_zh="本方缺单",
            sentence_en="The channel billed a payment that our books do not know.",
            sentence_zh="渠道账单有这笔支付，本方没有对应订单。",
            repair=Repair.ADJUST,
        ),
        _K.MISSING_THERE: Meaning(
            title_en="Missing at the channel",
            title_zh="渠道缺单",
            sentence_en="Our books hold a payment that the channel did not bill within the "
            "carry-over days.",
            sentence_zh="本方已记账的支付，在结转期内渠道账单没有出现。",
            repair=Repair.QUERY_AGAIN,
        ),
        _K.AMOUNT: Meaning(
            title_en="Amount differs",
            title_zh="金额不符",
            sentence_en="Both sides have the payment, with different amounts or currencies.",
            sentence_zh="双方都有这笔支付，但金额或币种不一致。",
            repair=Repair.ADJUST,
        ),
        _K.STATUS: Meaning(
            title_en="Status differs",
            title_zh="状态不符",
            sentence_en="The channel holds the payer's money, our books say that it was not "
            "paid or was returned (or the other way round).",
            sentence_zh="渠道显示已收款，本方显示未支付或已退回（或相反）。",
            repair=Repair.QUERY_AGAIN,
        ),
        _K.FEE: Meaning(
            title_en="Fee differs",
            title_zh="手续费不符",
            sentence_en="The channel's fee is not the one that its rate gives.",
            sentence_zh="渠道收取的手续费与约定费率不一致。",
            repair=Repair.ADJUST,
        ),
        _K.DUPLICATE: Meaning(
            title_en="Billed twice",
            title_zh="渠道重复",
            sentence_en="The channel billed one payment more than once.",
            sentence_zh="同一笔支付在渠道账单中出现多次。",
            repair=Repair.ADJUST,
        ),
        _K.REFUND_MISSING_HERE: Meaning(
            title_en="Refund missing here",
            title_zh="本方缺退款",
            sentence_en="The channel billed a refund that our books do not know.",
            sentence_zh="渠道账单有这笔退款，本方没有对应退款。",
            repair=Repair.ADJUST,
        ),
        _K.REFUND_MISSING_THERE: Meaning(
            title_en="Refund missing at the channel",
            title_zh="渠道缺退款",
            sentence_en="Our books hold a refund that the channel did not bill within the "
            "carry-over days.",
            sentence_zh="本方已记账的退款，在结转期内渠道账单没有出现。",
            repair=Repair.QUERY_AGAIN,
        ),
        _K.REFUND_AMOUNT: Meaning(
            title_en="Refund amount differs",
            title_zh="退款金额不符",
            sentence_en="Both sides have the refund, with different amounts or currencies.",
            sentence_zh="双方都有这笔退款，但金额或币种不一致。",
            repair=Repair.ADJUST,
        ),
        _K.REFUND_STATUS: Meaning(
            title_en="Refund status differs",
            title_zh="退款状态不符",
            sentence_en="The channel returned the money, our books say that it was not returned.",
            sentence_zh="渠道显示已退款，本方显示未退款。",
            repair=Repair.QUERY_AGAIN,
        ),
        _K.REFUND_DUPLICATE: Meaning(
            title_en="Refund billed twice",
            title_zh="渠道退款重复",
            sentence_en="The channel billed one refund more than once.",
            sentence_zh="同一笔退款在渠道账单中出现多次。",
            repair=Repair.ADJUST,
        ),
        _K.LATE: Meaning(
            title_en="Other day",
            title_zh="跨日",
            sentence_en="Both sides have it, under different days; nothing is owed.",
            sentence_zh="双方都有，只是记账日不同，无需处理。",
            repair=Repair.NONE,
        ),
        _K.BATCH_TOTAL: Meaning(
            title_en="Terminal batch differs",
            title_zh="终端批次不符",
            sentence_en="A terminal's batch totals are not what our books hold for that batch.",
            sentence_zh="终端批次总额与本方账目不一致。",
            repair=Repair.WRITE_OFF,
        ),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One disagreement of one business day and channel account.

    ``ours_fen`` and ``theirs_fen`` are ``None`` where a side has nothing; for ``FEE``
    both are fees in thousandths of a fen (``unit`` says so). ``number`` tells several of
    one kind and key apart (the second, third … line of a duplicate), from 0. ``subject``
    is our payment or refund, ``""`` where we know none.
    """

    kind: DifferenceKind
    day: date
    order_no: str
    refund_no: str = ""
    number: int = 0
    ours_fen: int | None = None
    theirs_fen: int | None = None
    subject: str = ""
    trade_no: str = ""

    @property
    def unit(self) -> str:
        """``fen``, or ``mfen`` (thousandths of a fen) for fees."""
        return "mfen" if self.kind is DifferenceKind.FEE else "fen"
