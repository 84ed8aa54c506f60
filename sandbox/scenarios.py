"""The inputs that make a simulated channel behave in a chosen way.

Rules: the same code or card always does the same, any number of times; a code
keeps the real prefix and length of its channel (Alipay: 28 and 16 digits more,
reference ``channels.md`` §D) and a card is invented: 16–19 digits, Luhn-valid,
starting 99, which no issuer uses. A code or card that is not listed is approved
if its shape is right.

``docs``-facing data is :data:`SCENARIOS`; :data:`EXPECTED` is what a payment by
each of them must end as, whichever door it came through.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


class Scenario(enum.Enum):
    """What the channel does with the payment; the values are the contract's words."""

    APPROVED = "approved"
    USER_PAYING = "user_paying"
    """The payer types a password first, and pays some seconds later."""
    DECLINED = "declined"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    WRONG_PIN = "wrong_pin"
    LOST_RESPONSE_CHARGED = "lost_response_charged"
    LOST_RESPONSE_NOT_CHARGED = "lost_response_not_charged"
    NEVER_PAYS = "never_pays"
    CROSSED = "crossed"
    """A payer's money that was on its way when the channel closed the order: it comes late."""


@dataclass(frozen=True, slots=True)
class TestCard:
    """An invented card; ``pin`` is what the payer types, ``issuer_pin`` what is right."""

    __test__ = False  # the name is the trade's, pytest must not collect it

    pan: str
    pin: str
    issuer_pin: str

    def __repr__(self) -> str:
        return f"TestCard({self.pan[:6]}…{self.pan[-4:]})"


@dataclass(frozen=True, slots=True)
class Expected:
    """The API status a payment ends in; whether a payer has to act in between."""

    status: str
    waits_for_payer: bool = False


_S = Scenario

ALIPAY_CODES: Final[Mapping[Scenario, str]] = MappingProxyType(
    {
        _S.APPROVED: "280000000000000001",
        _S.USER_PAYING: "280000000000000002",
        _S.DECLINED: "280000000000000003",
        _S.LOST_RESPONSE_CHARGED: "280000000000000004",
        _S.LOST_RESPONSE_NOT_CHARGED: "280000000000000005",
        _S.NEVER_PAYS: "280000000000000006",
    }
)

WECHAT_CODES: Final[Mapping[Scenario, str]] = MappingProxyType(
    {
        _S.APPROVED: "130000000000000001",
        _S.USER_PAYING: "130000000000000002",
        _S.DECLINED: "130000000000000003",
        _S.LOST_RESPONSE_CHARGED: "130000000000000004",
        _S.LOST_RESPONSE_NOT_CHARGED: "130000000000000005",
        _S.NEVER_PAYS: "130000000000000006",
    }
)
FACE_CODE_PREFIX: Final = "sandbox-face-"
"""A face's code with a scenario's word after this plays that scenario."""

UNIONPAY_QR_CODES: Final[Mapping[Scenario, str]] = MappingProxyType(
    {
        _S.APPROVED: "6200000000000000001",
        _S.USER_PAYING: "6200000000000000002",
        _S.DECLINED: "6200000000000000003",
        _S.LOST_RESPONSE_CHARGED: "6200000000000000004",
        _S.LOST_RESPONSE_NOT_CHARGED: "6200000000000000005",
        _S.NEVER_PAYS: "6200000000000000006",
    }
)

CARDS: Final[Mapping[Scenario, TestCard]] = MappingProxyType(
    {
        _S.APPROVED: TestCard("9900000000000010", "123456", "123456"),
        _S.INSUFFICIENT_FUNDS: TestCard("9900000000000028", "123456", "123456"),
        _S.WRONG_PIN: TestCard("9900000000000036", "654321", "123456"),
        _S.LOST_RESPONSE_CHARGED: TestCard("9900000000000000044", "123456", "123456"),
        _S.LOST_RESPONSE_NOT_CHARGED: TestCard("9900000000000000051", "123456", "123456"),
    }
)

ALIPAY_BY_CODE: Final[Mapping[str, Scenario]] = MappingProxyType(
    {code: scenario for scenario, code in ALIPAY_CODES.items()}
)
WECHAT_BY_CODE: Final[Mapping[str, Scenario]] = MappingProxyType(
    {code: scenario for scenario, code in WECHAT_CODES.items()}
)
UNIONPAY_QR_BY_CODE: Final[Mapping[str, Scenario]] = MappingProxyType(
    {code: scenario for scenario, code in UNIONPAY_QR_CODES.items()}
)
CARD_BY_PAN: Final[Mapping[str, tuple[Scenario, TestCard]]] = MappingProxyType(
    {card.pan: (scenario, card) for scenario, card in CARDS.items()}
)

CODES: Final[Mapping[str, Mapping[Scenario, str]]] = MappingProxyType(
    {"alipay": ALIPAY_CODES, "wechat": WECHAT_CODES, "unionpay_qr": UNIONPAY_QR_CODES}
)
"""The channels that are paid by a scanned code; all play the scenarios of :data:`_CODES_END`."""

_CODES_END: Final[Mapping[Scenario, Expected]] = MappingProxyType(
    {
        _S.APPROVED: Expected("succeeded"),
        _S.USER_PAYING: Expected("succeeded", waits_for_payer=True),
        _S.DECLINED: Expected("failed"),
        _S.LOST_RESPONSE_CHARGED: Expected("succeeded"),
        _S.LOST_RESPONSE_NOT_CHARGED: Expected("closed"),
        _S.NEVER_PAYS: Expected("closed", waits_for_payer=True),
    }
)

SCENARIOS: Final[Mapping[str, Mapping[str, str | Mapping[str, str]]]] = MappingProxyType(
    {
        **{
            channel: MappingProxyType({s.value: code for s, code in codes.items()})
            for channel, codes in CODES.items()
        },
        "card": MappingProxyType(
            {
                s.value: MappingProxyType({"pan": card.pan, "pin": card.pin})
                for s, card in CARDS.items()
            }
        ),
    }
)
"""For the ``scenarios`` of ``--info``; ``json`` wants ``scenarios_json()``."""

EXPECTED: Final[Mapping[tuple[str, str], Expected]] = MappingProxyType(
    {
        **{
            (channel, scenario.value): _CODES_END[scenario]
            for channel, codes in CODES.items()
            for scenario in codes
        },
        ("card", "approved"): Expected("succeeded"),
        ("card", "insufficient_funds"): Expected("failed"),
        ("card", "wrong_pin"): Expected("failed"),
        ("card", "lost_response_charged"): Expected("reversed"),
        ("card", "lost_response_not_charged"): Expected("closed"),
    }
)
"""By (key of :data:`SCENARIOS`, scenario word)."""


def scenarios_json() -> dict[str, dict[str, str | dict[str, str]]]:
    """:data:`SCENARIOS` as plain dicts, ready for ``json.dumps``."""
    return {
        channel: {
            word: dict(value) if isinstance(value, Mapping) else value
            for word, value in scenarios.items()
        }
        for channel, scenarios in SCENARIOS.items()
    }
