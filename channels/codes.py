"""Which channel a scanned payment code belongs to.

Rules: the table is ordered data with a version, so that a new prefix is one line;
the first rule that fits wins, and a code that fits none is refused, never guessed
at. A payment code is as good as money for a minute: it is never logged, never put
into an error. Source: reference ``channels.md`` §D.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

TABLE_VERSION: Final = "2026-11-22"
LONGEST_CODE: Final = 64
"""Characters; whatever is longer is not looked at."""

_FULL_WIDTH = {0xFF10 + digit: 0x30 + digit for digit in range(10)}


@dataclass(frozen=True, slots=True)
class CodeRule:
    """Digits of ``lengths`` characters that begin with one of ``prefixes``."""

    channel: str
    prefixes: tuple[str, ...]
    lengths: range
    digits_only: bool = True


CODE_TABLE: Final[Sequence[CodeRule]] = (
    # 10-14 mainland, 15 Hong Kong.
    CodeRule("wechat", ("10", "11", "12", "13", "14", "15"), range(18, 19)),
    CodeRule("alipay", ("25", "26", "27", "28", "29", "30"), range(16, 25)),
    CodeRule("alipay", ("fp",), range(35, 36), digits_only=False),  # face token
    CodeRule("unionpay_qr", ("62",), range(19, 20)),
    CodeRule("ecny", ("01",), range(19, 20)),
)


def normalise(text: str) -> str:
    """``text`` without a scanner's white space and controls, digits as ASCII."""
    trimmed = text.strip(" \t\r\n\v\f\0\u00a0\u3000\ufeff")
    return trimmed if trimmed.isascii() else trimmed.translate(_FULL_WIDTH)


def detect_channel(text: str) -> str | None:
    """The channel of a code as scanned, or ``None`` when no rule fits.

    The answer can name a channel that is not built or not provisioned; give the
    channel :func:`normalise`'s text.
    """
    if len(text) > LONGEST_CODE:
        return None
    code = normalise(text)
    if not (code.isascii() and code.isalnum()):
        return None
    for rule in CODE_TABLE:
        if (
            len(code) in rule.lengths
            and code.startswith(rule.prefixes)
            and (code.isdigit() or not rule.digits_only)
        ):
            return rule.channel
    return None
