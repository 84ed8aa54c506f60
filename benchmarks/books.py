"""After the load: callers, the gateway's books and the channels compared.

The channels' side comes from the sandbox's ``GET /charges``, the gateway's from its
database. Every difference is one error of the benchmark.
"""

import asyncio
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import orjson

from domain.payment import UNSETTLED

_TIMEOUT_S: Final = 60
_CARD: Final = "unionpay_card"
_BATCH_AT: Final = slice(8, 14)
FLOOR_BATCH: Final = "900001"
"""The batch of the card floor's order numbers; the gateway counts from 000001."""
FLOOR_PREFIX: Final = "FLOOR"
"""What the barcode floor's order numbers begin with; the gateway's never do."""

Amounts = Mapping[tuple[str, str], int]
"""Net amount in fen by channel and order number."""


_SETTLE_S: Final = 60
_PEEK_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Heard:
    """What the callers of a door heard: approvals, and how many still wait for an answer."""

    approved: int = 0
    in_flight: int = 0

    def __add__(self, other: "Heard") -> "Heard":
        return Heard(self.approved + other.approved, self.in_flight + other.in_flight)

    def differs_from(self, booked: int) -> int:
        """By how much the books cannot be reconciled with what was heard."""
        return max(0, self.approved - booked, booked - self.approved - self.in_flight)


async def disagreements(control_url: str, dsn: str, heard: Mapping[str, Heard]) -> dict[str, int]:
    """What does not agree, counted; empty when everything does.

    ``heard`` is by door, ``card`` and ``barcode``. Payments that are still open after an
    overload get a minute to settle, as recovery would have it.
    """
    connection: Any = await asyncpg.connect(dsn)
    try:
        unsettled = await _settled(connection)
        charges = await asyncio.get_running_loop().run_in_executor(None, fetch_charges, control_url)
        booked = {
            (row["channel"], row["channel_order_no"]): row["captured_fen"] - row["returned_fen"]
            for row in await connection.fetch(
                "SELECT channel, channel_order_no, captured_fen, returned_fen "
                "FROM payments WHERE status = 'succeeded'"
            )
        }
        postings = await connection.fetchval(
            "SELECT count(*) FROM postings JOIN payments p ON p.id = payment_id "
            "WHERE status = 'succeeded'"
        )
        balance = await connection.fetchval(
            "SELECT coalesce(sum(amount_fen), 0)::bigint FROM postings"
        )
    finally:
        await connection.close()
    found = compare(charges, booked, heard, postings=postings, balance=balance)
    return found | ({"unsettled payments": unsettled} if unsettled else {})


async def _settled(connection: Any) -> int:
    """Wait until no payment is open; how many still are."""
    open_payments = 0
    for _ in range(int(_SETTLE_S / _PEEK_S)):
        open_payments = await connection.fetchval(
            "SELECT count(*) FROM payments WHERE status = ANY ($1)",
            [status.value for status in UNSETTLED],
        )
        if not open_payments:
            break
        await asyncio.sleep(_PEEK_S)
    return open_payments


def compare(
    charges: Amounts, booked: Amounts, heard: Mapping[str, Heard], *, postings: int, balance: int
) -> dict[str, int]:
    """The differences by name; those that count nothing are left out.

    ``postings`` are the ledger lines of the booked payments, ``balance`` is the sum of all.
    """
    cards = sum(channel == _CARD for channel, _ in booked)
    codes = len(booked) - cards
    found = {
        "charged, not booked so": len(charges.items() - booked.items()),
        "booked, not charged so": len(booked.items() - charges.items()),
        "card approvals unlike the books": heard.get("card", Heard()).differs_from(cards),
        "barcode approvals unlike the books": heard.get("barcode", Heard()).differs_from(codes),
        "ledger off balance": int(balance != 0),
        "ledger lines missing": abs(postings - 2 * len(booked)),
    }
    return {name: count for name, count in found.items() if count}


async def floor_disagreements(
    control_url: str, dsn: str, door: str, heard: Heard
) -> dict[str, int]:
    """The same for the own table of a door's floor program."""
    loop = asyncio.get_running_loop()
    all_charges = await loop.run_in_executor(None, fetch_charges, control_url, True)
    charges = {
        order: fen for order, fen in all_charges.items() if (order[0] == _CARD) is (door == "card")
    }
    connection: Any = await asyncpg.connect(dsn)
    try:
        paid, total = await connection.fetchrow(
            "SELECT count(*), coalesce(sum(amount_fen), 0)::bigint FROM floor_orders WHERE paid"
        )
    finally:
        await connection.close()
    found = {
        f"{door} floor: charged, not booked": abs(len(charges) - paid),
        f"{door} floor: other amounts": int(sum(charges.values()) != total),
        f"{door} floor: approvals unlike the books": heard.differs_from(paid),
    }
    return {name: count for name, count in found.items() if count}


def fetch_charges(control_url: str, floors: bool = False) -> dict[tuple[str, str], int]:
    """What the channels charged net: on the gateway's orders, or on the floors'."""
    with urllib.request.urlopen(f"{control_url}/charges", timeout=_TIMEOUT_S) as answer:
        rows = orjson.loads(answer.read())
    return {
        (row["channel"], row["order_no"]): row["charged_fen"] - row["returned_fen"]
        for row in rows
        if row["charged_fen"] != row["returned_fen"]
        and _is_floors(row["channel"], row["order_no"]) is floors
    }


def _is_floors(channel: str, order_no: str) -> bool:
    if channel == _CARD:
        return order_no[_BATCH_AT] == FLOOR_BATCH
    return order_no.startswith(FLOOR_PREFIX)
