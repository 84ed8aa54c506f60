"""F54: additional amounts, 20 characters each, at most six (reference §2).

Account type an2, amount type an2 (02 available balance), currency n3, sign C or D,
amount n12.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pos_protocol.errors import CodecError
from pos_protocol.fields.digits import exactly, number_at, written

AMOUNTS_MAX: Final = 6
_WIDTH: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class AdditionalAmount:
    """One amount; ``amount_fen`` is below zero for a debit balance (sign D)."""

    amount_fen: int
    account_type: str = "10"
    amount_type: str = "02"
    currency: str = "156"


def parse_amounts(field_54: str) -> tuple[AdditionalAmount, ...]:
    """Every amount; raises :class:`CodecError` for a length or sign that none has."""
    if len(field_54) % _WIDTH or len(field_54) > AMOUNTS_MAX * _WIDTH:
        raise CodecError(54, -1, f"{len(field_54)} characters are no whole amounts")
    starts = range(0, len(field_54), _WIDTH)
    return tuple(_amount(field_54[start : start + _WIDTH]) for start in starts)


def _amount(text: str) -> AdditionalAmount:
    sign = text[7]
    if sign not in "CD":
        raise CodecError(54, -1, "the sign is neither C nor D")
    number = number_at(54, "an amount", text[8:])
    return AdditionalAmount(
        amount_fen=number if sign == "C" else -number,
        account_type=text[:2],
        amount_type=text[2:4],
        currency=exactly(54, "the currency", text[4:7], 3),
    )


def build_amounts(amounts: Sequence[AdditionalAmount]) -> str:
    """At most six amounts; raises :class:`CodecError` for what has no form."""
    if len(amounts) > AMOUNTS_MAX:
        raise CodecError(54, -1, f"at most {AMOUNTS_MAX} amounts have room")
    parts = []
    for one in amounts:
        types = one.account_type + one.amount_type
        if len(one.account_type) != 2 or len(types) != 4:
            raise CodecError(54, -1, "account type and amount type have 2 characters each")
        currency = exactly(54, "the currency", one.currency, 3)
        sign = "C" if one.amount_fen >= 0 else "D"
        parts.append(types + currency + sign + written(54, "an amount", abs(one.amount_fen), 12))
    return "".join(parts)
