"""Channel accounts as their nights need them: who delivers the bill, and who reads it.

Rules: a channel's files have one reader, whatever account they are of; which kind of file
a channel's night is matched with is data here. A channel that has no reader installed has
no night.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from channels.bill_formats import bill_channels, bill_format
from channels.bills import bills_of
from channels.port import Channel
from gateway.config_reconciliation import ReconciliationSection
from reconciliation.night_account import NightAccount
from reconciliation.rates import ChannelRate


@dataclass(frozen=True, slots=True)
class BillSource:
    """Which reader a channel's files have, and the kind that its night is matched with."""

    reader: str
    kind: str


SOURCES: Final[Mapping[str, BillSource]] = MappingProxyType(
    {
        "alipay": BillSource("alipay", "trade"),
        "wechat": BillSource("wechat", "trade"),
        "unionpay_qr": BillSource("unionpay", "zm"),
        "unionpay_card": BillSource("unionpay", "acom"),
    }
)


@dataclass(frozen=True, slots=True)
class BuiltAccount:
    """A channel account with its channel, which need not be started: files come over HTTP."""

    account_id: str
    channel_name: str
    channel: Channel


def night_accounts(
    accounts: Sequence[BuiltAccount], section: ReconciliationSection
) -> Sequence[NightAccount]:
    """Every account whose channel has a reader, in the order of ``accounts``."""
    readers = frozenset(bill_channels())
    found = []
    for account in accounts:
        source = SOURCES.get(account.channel_name)
        if source is None:
            source = BillSource(account.channel_name, "")
        if source.reader not in readers:
            continue
        reader = bill_format(source.reader)
        rate = section.rates.get(account.account_id)
        found.append(
            NightAccount(
                account_id=account.account_id,
                channel=account.channel_name,
                format=reader,
                kind=source.kind or reader.kinds[0],
                bills=bills_of(account.channel),
                rate=None
                if rate is None
                else ChannelRate(rate_ppm=rate.rate_ppm, unit_mfen=rate.unit_mfen),
                carry_days=section.carry_days,
                fee_tolerance_mfen=500 if rate is None else rate.tolerance_mfen,
            )
        )
    return found
