"""What a cashier reads for a card host's F39, in English and Chinese: data of the plugin.

Rules: the texts are the dialect's own (``pos_protocol/response_codes.py``, reference
``pos_protocol.md`` §5), for the refusals of the tables in ``card_codes.py``. A code that
speaks of our link or our number at the host, not of the card, says nothing to a cashier:
the text of its reason stands.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from channels.port import Verdict
from channels.unionpay.card_codes import COMPLETION_CODES, REFUND_CODES, SaleCode
from domain.decline import CashierText, ChannelTexts, DeclineReason
from pos_protocol.response_codes import meaning

_OURS: Final = frozenset({DeclineReason.CONFIGURATION, DeclineReason.CHANNEL_UNAVAILABLE})
OF_OUR_LINK: Final = frozenset({"77", "99", "A0"})
"""A terminal would sign in again; here the link does."""


def _texts(codes: Mapping[str, SaleCode]) -> Mapping[str, CashierText]:
    texts = {}
    for code, rule in codes.items():
        line = meaning(code)
        is_refused = rule.verdict is Verdict.DECLINED and rule.reason not in _OURS
        if is_refused and code not in OF_OUR_LINK and line is not None:
            texts[code] = CashierText(line.en, line.zh)
    return MappingProxyType(texts)


CARD_TEXTS: Final = ChannelTexts(payments=_texts(COMPLETION_CODES), refunds=_texts(REFUND_CODES))


def is_listed(code: str) -> bool:
    """Whether any table of ours knows ``code``, as a verdict or as "I do not know"."""
    return code in COMPLETION_CODES or meaning(code) is not None
