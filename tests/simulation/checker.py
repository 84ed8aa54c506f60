"""The independent checker: histories and the database, against the invariants.

Rules: nothing of the product is imported here, nor in ``books.py``, ``legal.py``,
``histories.py`` and ``outside_checks.py``. What terminals, merchants and channels saw is
compared with the rows of the database, read by plain SQL; the legal moves are written
down once more, from the documents. It never stops at the first violation.
"""

import sqlite3
from collections import Counter, defaultdict
from itertools import combinations

from tests.simulation.books import Row, ledger_lines
from tests.simulation.histories import Call, Histories
from tests.simulation.legal import LEGAL, LEGAL_REFUND
from tests.simulation.live_checks import ATTEMPT_DOOR, LiveChecks, is_order
from tests.simulation.outside_checks import FINAL, Violation

__all__ = ["Checker", "Violation"]

_PREVENTED = "reversed before it came"
"""Why a refund was born failed."""
_LETS_GO_S, _LETS_GO_CALLS = 5.0, 4
"""How long, and for how many calls more, a worker may not know that it lost its payment."""


class Checker(LiveChecks):
    """One seed's verdict."""

    def __init__(self, histories: Histories, connection: sqlite3.Connection) -> None:
        super().__init__(histories, connection)
        self._lines = ledger_lines(connection)
        numbers = {row["channel_order_no"]: row["payment_id"] for row in self._books.attempts}
        self._charges: dict[str, list[Row]] = defaultdict(list)
        for charge in histories.charges:
            payment_id = numbers.get(charge["order_no"])
            if payment_id is None:
                self._say("I2", f"a charge of an order that nobody knows: {charge}")
                continue
            self._charges[payment_id].append(charge)
            self._net[payment_id] += charge["charged_fen"] - charge["returned_fen"]
        keys = {order.number for order in histories.orders if order.cancels}
        keys |= {sale.order_key for sale in histories.sales if sale.reversals}
        self._undone_on_demand = {
            row["channel_order_no"]
            for row in self._books.payments.values()
            if row["order_key"] in keys or row["door"] == ATTEMPT_DOOR
        }

    def run(self) -> list[Violation]:
        """Every check."""
        for text in self._histories.early:
            invariant, _, rest = text.partition(": ")
            self._say(invariant, rest)
        if not self._histories.quiet:
            self._say("I3", f"not at rest: {self._open()}")
        for payment in self._books.payments.values():
            self._end(payment)
            self._history(payment)
            self._ledger(payment)
            self._returns(payment)
        self._jobs()
        self._append_only()
        self._calls()
        for sale in self._histories.sales:
            self._sale(sale)
        self._settlement()
        for order in self._histories.orders:
            self._order(order)
        self._live()
        self._notifications()
        return self.violations

    # I2: what leaves for the channels

    def _calls(self) -> None:
        """What is being undone is never sent for payment; who lost a payment lets go of it."""
        calls: dict[str, list[Call]] = defaultdict(list)
        for call in self._histories.calls:
            calls[call.number].append(call)
        for number, made in calls.items():
            undone_at_s = next((call.at_s for call in made if call.kind == "cancel"), None)
            pays = [call.at_s for call in made if call.kind == "pay"]
            if len(pays) > 1:
                self._say("I2", f"{number}: sent for payment {len(pays)} times")
            is_late = undone_at_s is not None and any(at_s > undone_at_s for at_s in pays)
            if is_late and self._histories.clocks_agree:
                self._say("I2", f"{number}: sent for payment after its undo was")
            self._one_at_a_time(number, made)

    def _one_at_a_time(self, number: str, made: list[Call]) -> None:
        """Of two workers at one payment, one stops within a few calls.

        An undo that somebody asked for may go on beside the payment's own worker.
        """
        if number in self._undone_on_demand:
            return
        by_worker: dict[int, list[float]] = defaultdict(list)
        for call in made:
            by_worker[call.worker].append(call.at_s)
        for (_, one), (_, other) in combinations(by_worker.items(), 2):
            both_s = max(one[0], other[0]) + _LETS_GO_S
            going_on = min(sum(at_s > both_s for at_s in each) for each in (one, other))
            if going_on >= _LETS_GO_CALLS:
                self._say("I2", f"{number}: two workers went on at it, {going_on} calls each")

    def _open(self) -> list[str]:
        books = self._books
        found = [
            f"{row['id']} {row['door']} {row['channel']} {row['status']}"
            for row in books.payments.values()
            if row["status"] not in FINAL and not row["parked_reason"]
        ]
        found += [
            f"{row['id']} {row['status']}"
            for rows in books.refunds.values()
            for row in rows
            if row["status"] not in ("succeeded", "failed") and not row["parked_reason"]
        ]
        found += [
            f"notice {row['event_id']} {row['attempts']}"
            for rows in books.notices.values()
            for row in rows
            if row["state"] == "pending"
        ]
        found += [f"sale {sale.order_key}" for sale in self._histories.sales if not sale.over]
        return found[:5]

    # I2, I3: how each payment ended, against the channels' own books

    def _end(self, payment: Row) -> None:
        where = f"{payment['id']} ({payment['door']} {payment['order_key']})"
        status, net_fen = payment["status"], self._net[payment["id"]]
        charged = [charge["charged_fen"] for charge in self._charges[payment["id"]]]
        if any(
            charge["returned_fen"] > charge["charged_fen"]
            for charge in self._charges[payment["id"]]
        ):
            self._say("I4", f"{where}: more came back than was charged")
        is_lied = payment["id"] in self._lied
        if len(charged) > 1 or (net_fen > payment["amount_fen"] and not is_lied):
            self._say(
                "I2", f"{where}: charged {charged}, net {net_fen}, once is {payment['amount_fen']}"
            )
        if payment["parked_reason"]:
            if payment["id"] not in self._books.open_cases:
                self._say(
                    "I3", f"{where}: parked ({payment['parked_reason']}) without an open case"
                )
            if payment["id"] not in self._lied:
                self._say("I3", f"{where}: parked ({payment['parked_reason']}), and nobody lied")
            return
        if status not in FINAL:
            self._say("I3", f"{where}: still {status}")
            return
        kept_fen = payment["captured_fen"] - payment["returned_fen"] if status == "succeeded" else 0
        if net_fen != kept_fen and not self._open_refunds(payment):
            self._say("I2", f"{where}: {status}, keeps {kept_fen} fen, the channel {net_fen}")
        if status == "succeeded" and charged != [payment["amount_fen"]] and not is_order(payment):
            self._say("I3", f"{where}: succeeded, charged {charged}")

    def _open_refunds(self, payment: Row) -> bool:
        return any(row["parked_reason"] for row in self._books.refunds[payment["id"]])

    # I6: only legal moves

    def _history(self, payment: Row) -> None:
        where, before = payment["id"], "created"
        events = self._books.events[where]
        for number, event in enumerate(events, 1):
            if event["sequence"] != number:
                self._say("I6", f"{where}: event {event['sequence']} in place {number}")
            if event["previous"] != before:
                self._say(
                    "I6", f"{where}: event {number} leaves {event['previous']}, it was {before}"
                )
            move = (event["previous"], event["event"])
            is_legal = LEGAL.get(move) == event["status"]
            if not is_legal and where in self._books.ever_cases:
                is_legal = event["status"] in ("unknown", "reversing", "succeeded")
            if not is_legal:
                self._say("I6", f"{where}: {move} led to {event['status']}")
            before = event["status"]
        if not events or before != payment["status"] or len(events) != payment["version"]:
            self._say(
                "I6", f"{where}: {payment['status']} v{payment['version']}, its history {before}"
            )

    # I5, I1: the ledger

    def _ledger(self, payment: Row) -> None:
        where, lines = payment["id"], self._books.postings[payment["id"]]
        groups: dict[int, Counter[str]] = defaultdict(Counter)
        for line in lines:
            groups[line["sequence"]][line["currency"]] += line["amount_fen"]
        for sequence, sums in groups.items():
            if any(sums.values()):
                self._say("I5", f"{where}: entry {sequence} sums to {dict(sums)}")
        owed = [line["amount_fen"] for line in lines if line["account"].startswith("channel:")]
        captured = [amount_fen for amount_fen in owed if amount_fen > 0]
        returned_fen = -sum(amount_fen for amount_fen in owed if amount_fen < 0)
        if len(captured) > 1 or sum(captured) != payment["captured_fen"]:
            self._say("I5", f"{where}: captured {payment['captured_fen']}, its ledger {captured}")
        if returned_fen != payment["returned_fen"]:
            self._say(
                "I5", f"{where}: returned {payment['returned_fen']}, its ledger {returned_fen}"
            )
        if captured and captured != [payment["amount_fen"]]:
            self._say("I1", f"{where}: captured {captured} of {payment['amount_fen']}")
        if payment["status"] == "succeeded" and not captured and not is_order(payment):
            self._say("I1", f"{where}: succeeded without a capture")

    def _append_only(self) -> None:
        for snapshot in self._histories.snapshots:
            if self._lines[: len(snapshot)] != snapshot:
                self._say("I5", "a line of the ledger changed or went away")
                return

    # I4: refunds

    def _returns(self, payment: Row) -> None:
        where = payment["id"]
        refunds = self._books.refunds[where]
        if payment["returned_fen"] + payment["refunding_fen"] > payment["captured_fen"]:
            self._say("I4", f"{where}: returns exceed the capture")
        done_fen = sum(row["amount_fen"] for row in refunds if row["status"] == "succeeded")
        if done_fen > payment["captured_fen"]:
            self._say("I4", f"{where}: refunds of {done_fen} of {payment['captured_fen']}")
        if payment["status"] == "succeeded" and done_fen != payment["returned_fen"]:
            self._say("I4", f"{where}: refunds {done_fen}, returned {payment['returned_fen']}")
        reserved_fen = sum(
            row["amount_fen"] for row in refunds if row["status"] not in ("succeeded", "failed")
        )
        if payment["refunding_fen"] != reserved_fen:
            self._say("I4", f"{where}: reserved {payment['refunding_fen']}, open {reserved_fen}")
        for refund in refunds:
            self._refund_end(payment, refund)

    def _refund_end(self, payment: Row, refund: Row) -> None:
        where, before = refund["id"], "created"
        if refund["status"] not in ("succeeded", "failed"):
            if not refund["parked_reason"]:
                self._say("I3", f"{where}: still {refund['status']}")
            elif where not in self._books.open_cases:
                self._say("I3", f"{where}: parked without an open case")
            elif payment["id"] not in self._lied:
                self._say("I3", f"{where}: parked ({refund['parked_reason']}), and nobody lied")
        for number, event in enumerate(self._books.refund_events[where], 1):
            move = (event["previous"], event["event"])
            is_legal = LEGAL_REFUND.get(move) == event["status"]
            is_parking = where in self._books.ever_cases and event["status"] == event["previous"]
            if move == ("created", "submit") and refund["reason"] == _PREVENTED:
                is_legal = event["status"] == "failed"
            if event["sequence"] != number or event["previous"] != before:
                self._say("I6", f"{where}: event {number} does not follow {before}")
            if not is_legal and not is_parking:
                self._say("I6", f"{where}: {move} led to {event['status']}")
            before = event["status"]
        if before != refund["status"]:
            self._say("I6", f"{where}: {refund['status']}, its history {before}")

    def _jobs(self) -> None:
        for job in self._books.jobs:
            payment = self._books.payments.get(job["subject"])
            if payment is not None and payment["status"] in FINAL and job["kind"] == "settle":
                self._say("I3", f"a job is left of {payment['id']}, which is {payment['status']}")
