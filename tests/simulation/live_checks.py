"""The invariants of orders that any wallet may pay, as seen from outside and in the books.

Rules: as in ``checker.py``: nothing of the product is imported. One pays; what anybody else
paid of the same order has gone back; what a store took in a day is within its limit.
"""

import sqlite3
from collections import Counter
from dataclasses import replace

from tests.simulation.books import Row
from tests.simulation.histories import Histories, Seen
from tests.simulation.outside_checks import FINAL, OutsideChecks

ATTEMPT_DOOR = "checkout"


def is_order(payment: Row) -> bool:
    """Whether a row is an order of this kind, as its merchant sees it."""
    return bool(payment["method"] == "qr")


def _as_open(seen: Seen) -> Seen:
    """What is not known of an attempt may be known, and another begin: both wait for a payer."""
    if seen.body["status"] != "unknown":
        return seen
    return replace(seen, body={**seen.body, "status": "pending"})


class LiveChecks(OutsideChecks):
    """Orders with their attempts."""

    def __init__(self, histories: Histories, connection: sqlite3.Connection) -> None:
        super().__init__(histories, connection)
        self._net: Counter[str] = Counter()
        """What the channels keep of each payment."""

    def _live(self) -> None:
        """Every order, and its store's day."""
        orders = [row for row in self._books.payments.values() if is_order(row)]
        for order in orders:
            self._paid_once(order, self._attempts_of(order))
        for live in self._histories.live:
            order_row = self._books.by_key.get(("api", live.number))
            self._no_way_back(live.number, [_as_open(seen) for seen in live.seen])
            if order_row is not None and self._histories.quiet and live.seen:
                shown = live.seen[-1]
                is_late = shown.at_s >= self._histories.final_at_s
                if is_late and shown.body["status"] != order_row["status"]:
                    self._say("I6", f"{live.number}: shown {shown.body['status']} at the end")
        self._day(orders)

    def _attempts_of(self, order: Row) -> list[Row]:
        return [
            row
            for row in self._books.payments.values()
            if row["door"] == ATTEMPT_DOOR and row["id"].rpartition("-")[0] == order["id"]
        ]

    def _paid_once(self, order: Row, attempts: list[Row]) -> None:
        where = f"{order['id']} ({order['order_key']})"
        if order["status"] not in FINAL:
            return  # said already
        standing = [row["id"] for row in attempts if row["status"] == "succeeded"]
        if len(standing) > 1:
            self._say("I2", f"{where}: paid by several: {standing}")
        is_paid = order["status"] == "succeeded"
        if is_paid is not bool(standing):
            self._say("I1", f"{where}: is {order['status']}, its attempts that stand: {standing}")
        kept_fen = sum(self._net[row["id"]] for row in attempts)
        if kept_fen != (order["amount_fen"] if is_paid else 0):
            self._say("I2", f"{where}: {order['status']}, the channels keep {kept_fen} of it")

    def _day(self, orders: list[Row]) -> None:
        """A seed has one Beijing day."""
        limit_fen = self._histories.daily_limit_fen
        taken_fen = sum(row["amount_fen"] for row in orders if row["status"] == "succeeded")
        if limit_fen and taken_fen > limit_fen:
            self._say("I2", f"a store took {taken_fen} fen in a day, its limit is {limit_fen}")
