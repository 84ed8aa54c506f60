"""A shop's counter for the tests: printed codes, live codes, what till and channel hear."""

import secrets
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

from domain.qr_code import qr_code_id, qr_code_url
from gateway.cli.installation import MERCHANT_NO
from gateway.sources import SystemClock
from gateway.store.shop_records import QrCode
from tests.support.gateway import Running
from tests.support.waiting import eventually


class HurriedClock:
    """The machine's time, moved on by as much as the tests have waited for in vain."""

    def __init__(self) -> None:
        self._system = SystemClock()
        self._ahead_s = 0

    def pass_by(self, seconds: int) -> None:
        """So much later now; in all less than a channel allows two clocks to differ (300 s)."""
        self._ahead_s += seconds
        assert self._ahead_s < 300

    def now_ms(self) -> int:
        return self._system.now_ms() + self._ahead_s * 1000

    def monotonic_s(self) -> float:
        return self._system.monotonic_s() + self._ahead_s


FINAL: Final = ("succeeded", "failed", "closed", "reversed")


@dataclass
class Counter:
    """One shop at one gateway, which has ``clock`` for its own."""

    running: Running
    clock: HurriedClock

    async def printed(self, amount_fen: int = 0, name: str = "街角奶茶") -> tuple[str, str]:
        """A printed code: its id, and what a phone scans."""
        code_id = qr_code_id(secrets.token_bytes(16))
        await self.running.gateway.store.add_qr_code(
            QrCode(
                code_id=code_id,
                merchant_no=MERCHANT_NO,
                store_id="S1",
                terminal_id="",
                name=name,
                amount_fen=amount_fen,
                created_at_ms=int(time.time() * 1000),
            )
        )
        return code_id, qr_code_url(self.running.api.base_url, code_id)

    async def live(self, amount: int = 1990, **more: object) -> dict[str, Any]:
        """One order with a code for the cashier's screen; the payment as the till has it."""
        body = {
            "merchant_order_no": secrets.token_hex(8),
            "amount": amount,
            "currency": "CNY",
            "subject": "奶茶",
            "method": {"type": "qr"},
            **more,
        }
        reply = await self.running.api.call("POST", "/v1/payments", body)
        assert reply.status == 201, reply.raw
        payment: dict[str, Any] = reply.json
        return payment

    async def payment(self, payment_id: str) -> dict[str, Any]:
        """What the till is told now."""
        payment: dict[str, Any] = (await self.running.api.get(payment_id)).json
        return payment

    async def ends(self, payment_id: str, *statuses: str) -> dict[str, Any]:
        """The payment once it is in one of these states, or final."""
        found: dict[str, Any] = {}

        async def is_there() -> bool:
            nonlocal found
            found = await self.payment(payment_id)
            return found["status"] in (statuses or FINAL)

        await eventually(is_there)
        return found

    def rows(self) -> dict[str, str]:
        """Every payment and attempt in the database, with its door: what a press may add to."""
        file = f"file:{self.running.place.folder / 'posgate.db'}?mode=ro"
        with closing(sqlite3.connect(file, uri=True)) as database:
            return dict(database.execute("SELECT id, door FROM payments"))

    async def comes_back(self, payment: dict[str, Any]) -> tuple[int, int]:
        """What the channel charged for an order, and gave back, once it gave back anything."""
        charge = (0, 0)

        async def is_back() -> bool:
            nonlocal charge
            charge = await self.running.place.charge(payment)
            return charge[1] > 0

        await eventually(is_back)
        return charge

    async def charged(self) -> int:
        """What all the channels hold of payers' money."""
        return sum(
            charge["charged_fen"] - charge["returned_fen"]
            for charge in await self.running.place.charges()
        )
