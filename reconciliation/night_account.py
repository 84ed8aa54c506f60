"""A channel account as its nights need it."""

from dataclasses import dataclass

from channels.bill_rows import BillFormat
from channels.bills import Bills
from reconciliation.rates import ChannelRate


@dataclass(frozen=True, slots=True, kw_only=True)
class NightAccount:
    """An account as its night needs it; ``bills`` is ``None`` where files are laid by hand."""

    account_id: str
    channel: str
    format: BillFormat
    kind: str
    bills: Bills | None
    rate: ChannelRate | None = None
    carry_days: int = 3
    fee_tolerance_mfen: int = 500
