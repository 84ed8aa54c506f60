"""What a card host's F39 means to us, as data.

Rules: only a definitive answer ends a payment or a refund; a code that says "I do not know" (68,
91, 92, 96, 98 …), that hints at an earlier sale under the same number (94), or
that is not listed, is ``UNKNOWN``, and the gateway reverses. A reversal costs a
message, a wrong "declined" costs a payer's money. The class letters and texts are
in reference ``pos_protocol.md`` §5.

``unsigned`` marks the refusals that the dialect leaves without F64 (a terminal
checks the MAC of an approval only, §4); an approval always needs its MAC, and a
MAC that is present must verify whatever the code says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from channels.port import Verdict
from domain.decline import DeclineReason


@dataclass(frozen=True, slots=True)
class SaleCode:
    """The verdict of one F39 of a 0110, 0210 or 0230."""

    verdict: Verdict
    reason: DeclineReason | None = None
    unsigned: bool = False


@dataclass(frozen=True, slots=True)
class ReversalCode:
    """The verdict of one F39 of a 0410; ``was_paid`` as in ``UndoAnswer``."""

    was_paid: bool | None
    unsigned: bool


_R = DeclineReason
_APPROVED = SaleCode(Verdict.SUCCEEDED)
UNLISTED: Final = SaleCode(Verdict.UNKNOWN)


def _refused(reason: DeclineReason) -> SaleCode:
    return SaleCode(Verdict.DECLINED, reason, unsigned=True)


SALE_CODES: Final[Mapping[str, SaleCode]] = MappingProxyType(
    {
        "00": _APPROVED,
        "11": _APPROVED,  # VIP
        "A2": _APPROVED,  # A2, A4-A6: approved, confirm with the bank
        "A4": _APPROVED,
        "A5": _APPROVED,
        "A6": _APPROVED,
        "01": _refused(_R.DECLINED),
        "03": _refused(_R.CONFIGURATION),
        "04": _refused(_R.CARD_CAPTURE),
        "05": _refused(_R.DECLINED),
        "12": _refused(_R.NOT_PERMITTED),
        "13": _refused(_R.DECLINED),
        "14": _refused(_R.CARD_INVALID),
        "15": _refused(_R.CARD_INVALID),
        "21": _refused(_R.CARD_INVALID),
        "22": _refused(_R.NOT_PERMITTED),
        "30": _refused(_R.CONFIGURATION),
        "33": _refused(_R.CARD_EXPIRED),
        "34": _refused(_R.CARD_CAPTURE),
        "38": _refused(_R.PIN_TRIES_EXCEEDED),
        "40": _refused(_R.NOT_PERMITTED),
        "41": _refused(_R.CARD_CAPTURE),
        "43": _refused(_R.CARD_CAPTURE),
        "45": _refused(_R.DECLINED),
        "51": _refused(_R.INSUFFICIENT_FUNDS),
        "54": _refused(_R.CARD_EXPIRED),
        "55": _refused(_R.WRONG_PIN),
        "57": _refused(_R.NOT_PERMITTED),
        "58": _refused(_R.NOT_PERMITTED),
        "59": _refused(_R.CARD_INVALID),
        "61": _refused(_R.AMOUNT_LIMIT),
        "62": _refused(_R.NOT_PERMITTED),
        "65": _refused(_R.AMOUNT_LIMIT),
        "75": _refused(_R.PIN_TRIES_EXCEEDED),
        "77": _refused(_R.CHANNEL_UNAVAILABLE),  # our link must sign on again
        "97": _refused(_R.CONFIGURATION),
        "99": _refused(_R.WRONG_PIN),
        "A1": _refused(_R.NOT_PERMITTED),
        "A3": _refused(_R.CARD_INVALID),
        # On purpose not here, so UNKNOWN: 10 (approved in part: the till asked for the
        # whole, so the part goes back by the reversal), 25, 64 (make no sense for a sale), 68, 90,
        # 91, 92, 96, 98 (someone behind the host did not answer), 94 (a sale of this
        # number exists), A0 (our MAC refused: no common key, so nothing it says can
        # be trusted; the link signs on again and the reversal settles it), A7.
    }
)

COMPLETION_CODES: Final[Mapping[str, SaleCode]] = MappingProxyType(
    {
        **SALE_CODES,
        "25": _refused(_R.NOT_PERMITTED),  # no such hold, or it was taken or released
        "64": _refused(_R.AMOUNT_LIMIT),  # not the amount of the hold
    }
)
"""As a sale's, and what may be wrong with the hold: nothing was taken from it."""

_NO_ANSWER_TO_A_REFUND: Final = frozenset({"77", "99"})
"""Our link must sign on again and the refund be sent again: neither a yes nor a no."""

REFUND_CODES: Final[Mapping[str, SaleCode]] = MappingProxyType(
    {
        **{
            code: rule
            for code, rule in COMPLETION_CODES.items()
            if code not in _NO_ANSWER_TO_A_REFUND
        },
        "25": _refused(_R.NOT_PERMITTED),  # no such payment there, or it was undone
        "64": _refused(_R.AMOUNT_LIMIT),  # a void of another amount
        # 22 (too late) and 61 (more than is left) are a sale's already. On purpose not
        # here, so UNKNOWN: as for a sale, and above all 94, which is what a host without
        # a memory of its answers says to a repeat of a refund that it made.
    }
)
"""For a void and a refund. A "no" to a *repeat* is believed only of a host that answers
repeats alike: it may be about the money that the first one returned."""

SIGN_ON_AGAIN: Final = frozenset({"77", "99", "A0"})
"""Answers after which the link fetches new working keys."""

PIN_BLOCK_ERROR: Final = "99"
"""Our own code for a PIN block that cannot be translated; nothing was sent."""

REVERSED: Final = "00"
REVERSAL_CODES: Final[Mapping[str, ReversalCode]] = MappingProxyType(
    {
        REVERSED: ReversalCode(was_paid=True, unsigned=False),
        "12": ReversalCode(was_paid=False, unsigned=True),
        "25": ReversalCode(was_paid=False, unsigned=True),
    }
)
"""What ends a reversal (§6); anything else is repeated."""
