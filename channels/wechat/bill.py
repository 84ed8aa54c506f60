"""WeChat Pay's bills of a day: which file is which, and who reads it.

Rules: a file is known by its own header, never by its name. See ``bill_trade.py`` and
``bill_fundflow.py``; what both share is in ``bill_frame.py``. Reference ``channels.md`` B3.
"""

from datetime import date
from pathlib import Path
from typing import Final

from channels.bill_rows import BillFormat, BillReader
from channels.bills import BillRefused
from channels.wechat import bill_fundflow, bill_trade
from channels.wechat.bill_frame import header_of, only_member
from channels.wechat.bill_wire import FUNDFLOW, KINDS, TRADE


class WechatBills:
    """How WeChat Pay's files are read."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Trades, and the flow of funds."""
        return KINDS

    def kind_of(self, path: Path) -> str:
        """By the names in the header."""
        names = header_of(only_member(path))
        if bill_trade.TIME in names:
            return TRADE
        if bill_fundflow.TIME in names:
            return FUNDFLOW
        raise BillRefused(path.name, 1, "it is no bill of WeChat Pay's")

    def open(self, kind: str, path: Path, day: date | None = None) -> BillReader:
        """The reader of ``kind``; a ``day`` must be the one that the file is about."""
        match kind:
            case "trade":
                return bill_trade.TradeReader(only_member(path), day)
            case "fundflow":
                return bill_fundflow.FundFlowReader(only_member(path), day)
            case _:
                raise BillRefused(path.name, 0, f"WeChat Pay has no bill of the kind {kind!r}")


BILLS: Final[BillFormat] = WechatBills()
