"""The channels' side: the simulated channels' own books, and the files that they make of them.

Rules: what happened is entered into the sandbox's books as if the calls had come; the files are
the sandbox's own, as a channel delivers them. Nothing here knows what a match is.
"""

import gzip
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

from domain.clock import beijing
from sandbox import unionpay_qr_files
from sandbox.alipay_bill import bill_zip
from sandbox.alipay_books import AlipayBooks
from sandbox.bill_faults import BillFaults, fault_of, printed_on
from sandbox.card_books import CardBooks, CardOrder, CardReturn
from sandbox.card_files import cleared_rows
from sandbox.institution_file import acom
from sandbox.unionpay_qr_books import Order as QrOrder
from sandbox.unionpay_qr_books import UnionPayBooks
from sandbox.wechat_bill import BillNotThere, BillWanted, bill_text
from sandbox.wechat_books import Order as WeChatOrder
from sandbox.wechat_books import TradeType, WeChatBooks
from tests.greatday.stories import Charge

_MOST = 1_000_000
_HOUR_MS = 3_600_000


class Channel(Protocol):
    """A simulated channel's books."""

    def enter(self, charge: Charge) -> None:
        """What happened to one payment."""
        ...

    def file(self, day: date, faults: BillFaults, folder: Path) -> Path | None:
        """The day's file as it is delivered; ``None``: nothing happened."""
        ...


class Alipay:
    """A zip with the detail and the summary."""

    def __init__(self) -> None:
        self._books = AlipayBooks(_MOST)

    def enter(self, charge: Charge) -> None:
        at_ms = charge.at_ms
        trade = self._books.open(
            charge.order_no, charge.amount_fen, "咖啡", "", at_ms, at_ms, store_id="S1"
        )
        for back in charge.backs:
            trade.give_back(back.refund_no, back.amount_fen, back.at_ms)
        if charge.undone_at_ms:
            trade.cancel(charge.undone_at_ms)

    def file(self, day: date, faults: BillFaults, folder: Path) -> Path | None:
        data = bill_zip(self._books, "2088000000000001", day, _noon_after(day), faults)
        return _written(folder / f"2088000000000001_{day:%Y%m%d}.csv.zip", data)


class WeChat:
    """ALL, packed with gzip."""

    def __init__(self) -> None:
        self._books = WeChatBooks(_MOST)

    def enter(self, charge: Charge) -> None:
        order = self._books.open(_wechat_order(charge), charge.at_ms)
        for back in charge.backs:
            self._books.give_back(
                order, back.refund_no, back.amount_fen, back.at_ms + 1_000, back.at_ms
            )
        if charge.undone_at_ms:
            order.revoke(charge.undone_at_ms)

    def file(self, day: date, faults: BillFaults, folder: Path) -> Path | None:
        config = SimpleNamespace(appid="wx0001", mchid="1900000001", bills_at_once=False)
        state: Any = SimpleNamespace(config=config, books=self._books)
        wanted = BillWanted("ALL", day.isoformat())
        try:
            text = bill_text(wanted, state, _noon_after(day), faults)
        except BillNotThere:
            return None
        packed = gzip.compress(text.encode(), compresslevel=1, mtime=0)
        return _written(folder / f"1900000001_{day:%Y%m%d}.csv.gz", packed)


def _wechat_order(charge: Charge) -> WeChatOrder:
    return WeChatOrder(
        out_trade_no=charge.order_no,
        sub_mchid="",
        sub_appid="",
        transaction_id="",
        trade_type=TradeType.MICROPAY,
        total_fen=charge.amount_fen,
        description="咖啡",
        attach="",
        openid="oInvented",
        created_at_ms=charge.at_ms,
        pays_at_ms=charge.at_ms,
        gives_up_at_ms=charge.at_ms + 60_000,
        fingerprint=(),
    )


class UnionPayQr:
    """A zip with the detail (ZM) and the summary (RD)."""

    def __init__(self) -> None:
        self._books = UnionPayBooks(_MOST)

    def enter(self, charge: Charge) -> None:
        order = self._order(charge.order_no, "01", charge.amount_fen, charge.at_ms)
        for back in charge.backs:
            self._order(back.refund_no, "04", back.amount_fen, back.at_ms, order)
        order.reversed = bool(charge.undone_at_ms)

    def _order(
        self, number: str, kind: str, fen: int, at_ms: int, original: QrOrder | None = None
    ) -> QrOrder:
        order = QrOrder(
            order_id=number,
            txn_time=f"{beijing(at_ms):%Y%m%d%H%M%S}",
            kind=kind,
            sub_type="06",
            amount_fen=fen,
            query_id=self._books.new_query_id(at_ms),
            created_at_ms=at_ms,
            done_at_ms=at_ms,
            original=original,
        )
        self._books.add(order)
        return order

    def file(self, day: date, faults: BillFaults, folder: Path) -> Path | None:
        made = unionpay_qr_files.day_file(
            self._books, "777290058110097", f"{day:%m%d}", _noon_after(day), faults
        )
        return None if made is None else _written(folder / made[0], made[1])


class Card:
    """An acquirer's general file (ACOM), bare: it tells terminals and traces, and no order."""

    def __init__(self) -> None:
        self._books = CardBooks(_MOST)
        self._links: dict[str, str] = {}
        self._serial = 0

    def enter(self, charge: Charge) -> None:
        self._links[charge.order_no[:8]] = "777290058160810"
        order = CardOrder(
            charge.order_no, (), charge.amount_fen, "00", self._reference(), "000001",
            pan="6226090000000048", at_ms=charge.at_ms, charged_fen=charge.amount_fen,
            undone=bool(charge.undone_at_ms),
        )  # fmt: skip
        self._books.add(order)
        for back in charge.backs:
            one = CardReturn(
                back.refund_no, (), back.amount_fen, "00", self._reference(), order.order_no,
                is_void=False, at_ms=back.at_ms,
            )  # fmt: skip
            self._books.add_return(one)

    def _reference(self) -> str:
        self._serial += 1
        return f"{self._serial:012d}"

    def file(self, day: date, faults: BillFaults, folder: Path) -> Path | None:
        state: Any = SimpleNamespace(books=self._books, merchants=lambda: self._links)
        printed = []
        for own_day in (day - timedelta(days=1), day):
            for row in cleared_rows(state, own_day):
                event = (row.order_no, "")
                returned = self._books.find_return(row.order_no)
                if returned is not None:
                    event = (returned.original_no, row.order_no)
                fault = fault_of(faults, event)
                wrong = replace(row, fee_beside_fen=fault.fee_fen)
                printed += [wrong] * sum(on == day for on in printed_on(fault, own_day))
        if not printed:
            return None
        data = b"".join(acom(row) + b"\n" for row in printed)
        return _written(folder / f"IND{day:%y%m%d}01ACOM_LK", data)


CHANNELS: Mapping[str, Callable[[], Channel]] = {
    "alipay": Alipay,
    "wechat": WeChat,
    "unionpay_qr": UnionPayQr,
    "unionpay_card": Card,
}


def _noon_after(day: date) -> int:
    """When every channel has made the file: noon of the next day in Beijing."""
    days = (day + timedelta(days=1) - date(1970, 1, 1)).days
    return days * 24 * _HOUR_MS + 4 * _HOUR_MS


def _written(file: Path, data: bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file
