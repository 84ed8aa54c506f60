"""Money: integer fen, its currency beside it, and nothing else.

Rules: amounts are ``int`` fen (1/100 yuan); text is converted by integer
arithmetic only; ``bool``, ``float`` and ``Decimal`` are refused. Channels that
speak yuan (Alipay) cross this border through :func:`format_yuan` and
:func:`parse_yuan`.
"""

import re
from typing import Final

CNY: Final = "CNY"
MAX_AMOUNT_FEN: Final = 999_999_999_999
"""Twelve digits: what field 4 of a POS message can carry."""

_YUAN_TEXT = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,2}))?", re.ASCII)
_CURRENCY_NUMERIC: Final = {CNY: "156"}


class MoneyError(ValueError):
    """The text or number is not an amount this product handles."""


def payable_fen(value: object) -> int:
    """Return ``value`` if it is a payable amount, 1 fen to twelve digits.

    Raises:
        MoneyError: not an ``int`` (``bool`` included), zero, negative or too large.
    """
    if type(value) is not int:
        raise MoneyError("amount must be an integer number of fen")
    if not 1 <= value <= MAX_AMOUNT_FEN:
        raise MoneyError(f"amount must be between 1 and {MAX_AMOUNT_FEN} fen")
    return value


def parse_yuan(text: str) -> int:
    """``"19.9"`` → ``1990`` fen; at most two decimals, ASCII digits only.

    Raises:
        MoneyError: anything else.
    """
    match = _YUAN_TEXT.fullmatch(text)
    if match is None:
        raise MoneyError("not an amount in yuan with at most two decimals")
    sign, yuan, fen = match.groups()
    amount_fen = int(yuan) * 100 + int((fen or "").ljust(2, "0"))
    return -amount_fen if sign else amount_fen


def format_yuan(amount_fen: int) -> str:
    """``1990`` fen → ``"19.90"``, ``-1`` → ``"-0.01"``."""
    if type(amount_fen) is not int:
        raise MoneyError(f"amount_fen must be int, not {type(amount_fen).__name__}")
    sign = "-" if amount_fen < 0 else ""
    yuan, fen = divmod(abs(amount_fen), 100)
    return f"{sign}{yuan}.{fen:02d}"


def currency_numeric(currency: str) -> str:
    """ISO 4217 alphabetic → numeric (``CNY`` → ``156``); raises :class:`MoneyError`."""
    try:
        return _CURRENCY_NUMERIC[currency]
    except KeyError:
        raise MoneyError(f"currency {currency!r} is not supported") from None
