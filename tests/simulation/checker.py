"""The independent checker: histories and the database, against the invariants.

Rules: nothing of the product is imported here. What terminals, merchants and channels
saw is compared with the rows of the database, read by plain SQL; the legal moves are
written down once more, from the documents. It never stops at the first violation.
"""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.simulation.histories import Call, Histories, Notification, Order, Sale, Seen

Row = Mapping[str, Any]
_FINAL = frozenset({"succeeded", "failed", "closed", "reversed"})
_LETS_GO_S, _LETS_GO_CALLS = 10.0, 3
"""How long, and for how many calls more, a worker may not know that it lost its payment."""
_OPEN = ("submitted", "pending", "unknown")


@dataclass(frozen=True)
class Violation:
    """An invariant that does not hold, and where."""

    invariant: str
    text: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.text}"


def _legal() -> dict[tuple[str, str], str]:
    """Every move of a payment that docs/payment_states.md draws."""
    moves: dict[tuple[str, str], str] = {}
    for state in ("created", *_OPEN):
        moves |= {
            (state, "authorize"): "authorized",
            (state, "paid"): "succeeded",
            (state, "decline"): "failed",
            (state, "undone_unpaid"): "closed",
            (state, "undone_paid"): "reversed",
            (state, "undo"): "closed" if state == "created" else "reversing",
            (state, "give_up"): "closed" if state == "created" else "reversing",
        }
    moves |= {
        ("created", "submit"): "submitted",
        ("submitted", "not_sent"): "failed",
        ("authorized", "paid"): "succeeded",
        ("authorized", "undo"): "reversing",
        ("authorized", "undone_unpaid"): "closed",
        ("authorized", "undone_paid"): "reversed",
        ("succeeded", "undo"): "reversing",
        ("succeeded", "undone_paid"): "reversed",
        ("reversing", "undone_unpaid"): "closed",
        ("reversing", "undone_paid"): "reversed",
        ("reversing", "paid"): "reversing",  # noted: an undo must return it
    }
    for state in ("created", "submitted", "unknown"):
        moves[state, "payer_acting"] = "pending"
    for state in ("created", "submitted"):
        moves[state, "answer_lost"] = "unknown"
    for state in ("failed", "closed"):
        moves[state, "authorize"] = moves[state, "paid"] = "reversing"
        moves[state, "undone_paid"] = "reversed"
    for deed in ("reserve", "refund_succeeded", "refund_failed"):
        moves["succeeded", deed] = "succeeded"
    return moves


LEGAL = _legal()
LEGAL_REFUND = {
    ("created", "submit"): "submitted",
    ("submitted", "answer_lost"): "unknown",
    ("submitted", "returned"): "succeeded",
    ("submitted", "decline"): "failed",
    ("unknown", "accepted"): "submitted",
    ("unknown", "returned"): "succeeded",
    ("unknown", "decline"): "failed",
    ("failed", "returned"): "succeeded",
}


def _reachable() -> dict[str, frozenset[str]]:
    """Which states may follow a state, however far."""
    after: dict[str, set[str]] = defaultdict(set)
    for (state, _), following in LEGAL.items():
        after[state].add(following)
    found: dict[str, frozenset[str]] = {}
    for state in (*after, "reversed"):
        seen, ahead = {state}, [state]
        while ahead:
            for following in after[ahead.pop()] - seen:
                seen.add(following)
                ahead.append(following)
        found[state] = frozenset(seen)
    return found


_AFTER = _reachable()


class Books:
    """The database as the checker reads it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.payments = {row["id"]: row for row in self._rows("SELECT * FROM payments")}
        self.by_key = {(row["door"], row["order_key"]): row for row in self.payments.values()}
        self.attempts = self._rows("SELECT * FROM attempts")
        self.events = _grouped(
            self._rows("SELECT * FROM payment_events ORDER BY payment_id, sequence"), "payment_id"
        )
        self.postings = _grouped(self._rows("SELECT * FROM postings ORDER BY rowid"), "payment_id")
        self.refunds = _grouped(self._rows("SELECT * FROM refunds ORDER BY rowid"), "payment_id")
        self.refund_events = _grouped(
            self._rows("SELECT * FROM refund_events ORDER BY refund_id, sequence"), "refund_id"
        )
        self.notices = _grouped(
            self._rows("SELECT * FROM notices ORDER BY payment_id, sequence"), "payment_id"
        )
        self.open_cases = {
            row["subject"] for row in self._rows("SELECT * FROM cases WHERE is_open")
        }
        self.ever_cases = {row["subject"] for row in self._rows("SELECT * FROM cases")}
        self.jobs = self._rows("SELECT * FROM jobs")

    def _rows(self, sql: str) -> list[Row]:
        cursor = self._connection.execute(sql)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]


def _grouped(rows: Iterable[Row], name: str) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[name]].append(row)
    return groups


def captures(connection: sqlite3.Connection, door: str, order_key: str) -> list[int]:
    """The amounts captured for an order, as the ledger has them at this moment."""
    rows = connection.execute(
        "SELECT p.amount_fen FROM postings p JOIN payments o ON o.id = p.payment_id "
        "WHERE o.door = ? AND o.order_key = ? AND p.account LIKE 'channel:%' AND p.amount_fen > 0",
        (door, order_key),
    )
    return [amount_fen for (amount_fen,) in rows]


def ledger_lines(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
    """Every ledger line in the order in which it was written."""
    return connection.execute(
        "SELECT rowid, payment_id, sequence, line, account, amount_fen FROM postings ORDER BY rowid"
    ).fetchall()


def at_rest(connection: sqlite3.Connection) -> bool:
    """Whether nothing is open any more but what waits for a person."""
    open_payments = connection.execute(
        "SELECT count(*) FROM payments WHERE status NOT IN "
        "('succeeded', 'failed', 'closed', 'reversed') AND parked_reason = ''"
    ).fetchone()[0]
    open_refunds = connection.execute(
        "SELECT count(*) FROM refunds WHERE status NOT IN ('succeeded', 'failed') "
        "AND parked_reason = ''"
    ).fetchone()[0]
    open_notices = connection.execute(
        "SELECT count(*) FROM notices WHERE state = 'pending'"
    ).fetchone()[0]
    return not (open_payments or open_refunds or open_notices)


class Checker:
    """One seed's verdict."""

    def __init__(self, histories: Histories, connection: sqlite3.Connection) -> None:
        self._histories = histories
        self._books = Books(connection)
        self._lines = ledger_lines(connection)
        self.violations: list[Violation] = []
        numbers = {row["channel_order_no"]: row["payment_id"] for row in self._books.attempts}
        self._net: Counter[str] = Counter()
        self._charges: dict[str, list[Row]] = defaultdict(list)
        for charge in histories.charges:
            payment_id = numbers.get(charge["order_no"])
            if payment_id is None:
                self._say("I2", f"a charge of an order that nobody knows: {charge}")
                continue
            self._charges[payment_id].append(charge)
            self._net[payment_id] += charge["charged_fen"] - charge["returned_fen"]
        self._lied = {numbers[number] for number in histories.lies if number in numbers}

    def _say(self, invariant: str, text: str) -> None:
        self.violations.append(Violation(invariant, text))

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
        """Once a later worker has called, an earlier one stops within a few calls."""
        latest, since_s = -1, 0.0
        behind: Counter[int] = Counter()
        for call in made:
            if call.worker > latest:
                latest, since_s = call.worker, call.at_s
                behind.clear()
            elif call.worker < latest and call.at_s > since_s + _LETS_GO_S:
                behind[call.worker] += 1
        if behind and max(behind.values()) >= _LETS_GO_CALLS:
            self._say("I2", f"{number}: who lost it went on, {max(behind.values())} calls")

    def _open(self) -> list[str]:
        books = self._books
        found = [
            f"{row['id']} {row['door']} {row['channel']} {row['status']}"
            for row in books.payments.values()
            if row["status"] not in _FINAL and not row["parked_reason"]
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
        if status not in _FINAL:
            self._say("I3", f"{where}: still {status}")
            return
        kept_fen = payment["captured_fen"] - payment["returned_fen"] if status == "succeeded" else 0
        if net_fen != kept_fen and not self._open_refunds(payment):
            self._say("I2", f"{where}: {status}, keeps {kept_fen} fen, the channel {net_fen}")
        if status == "succeeded" and charged != [payment["amount_fen"]]:
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
        if payment["status"] == "succeeded" and not captured:
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
            if payment is not None and payment["status"] in _FINAL and job["kind"] == "settle":
                self._say("I3", f"a job is left of {payment['id']}, which is {payment['status']}")

    # I1, I7, I14: what terminals saw

    def _sale(self, sale: Sale) -> None:
        payment = self._books.by_key.get(("pos", sale.order_key))
        signed = [reply for reply in sale.replies if reply.signed]
        if len({reply.payload for reply in signed}) > 1:
            codes = [reply.response_code for reply in signed]
            self._say("I7", f"{sale.order_key}: one message, several answers: {codes}")
        reversed_ = [reply for reply in sale.reversal_replies if reply.signed]
        if len({reply.payload for reply in reversed_}) > 1:
            self._say("I7", f"{sale.order_key}: one reversal, several answers")
        if any(reply.response_code == "00" for reply in sale.conflict_replies):
            self._say("I7", f"{sale.order_key}: another amount was approved")
        if (
            sale.conflict_replies
            and payment is not None
            and payment["amount_fen"] != sale.amount_fen
        ):
            self._say("I7", f"{sale.order_key}: another amount took the place")
        was_approved = any(reply.response_code == "00" for reply in signed)
        if was_approved:
            self._approved("pos", sale.order_key, sale.amount_fen, "a terminal")
            if not sale.reversals and (payment is None or payment["status"] != "succeeded"):
                state = "absent" if payment is None else payment["status"]
                self._say("I1", f"{sale.order_key}: approved, never reversed, and {state}")
        is_paid = payment is not None and payment["status"] == "succeeded"
        if sale.over and is_paid != sale.approved:
            status = "absent" if payment is None else payment["status"]
            self._say("I14", f"{sale.order_key}: the terminal says {sale.approved}, we {status}")
        if not sale.over:
            self._say("I3", f"{sale.order_key}: its terminal never heard how it ended")

    def _approved(self, door: str, key: str, amount_fen: int, who: str) -> None:
        payment = self._books.by_key.get((door, key))
        lines = [] if payment is None else self._books.postings[payment["id"]]
        captured = [
            line["amount_fen"]
            for line in lines
            if line["account"].startswith("channel:") and line["amount_fen"] > 0
        ]
        if captured != [amount_fen]:
            self._say("I1", f"{key}: {who} saw {amount_fen} approved, the ledger has {captured}")

    def _settlement(self) -> None:
        said: Counter[str] = Counter()
        count: Counter[str] = Counter()
        for sale in self._histories.sales:
            if sale.approved:
                said[sale.terminal_id] += sale.amount_fen
                count[sale.terminal_id] += 1
        host: Counter[str] = Counter()
        host_count: Counter[str] = Counter()
        for payment in self._books.payments.values():
            if payment["door"] == "pos" and payment["status"] == "succeeded":
                terminal_id = payment["order_key"].partition("-")[0]
                host[terminal_id] += payment["amount_fen"]
                host_count[terminal_id] += 1
        if all(sale.over for sale in self._histories.sales) and (said, count) != (host, host_count):
            self._say("I14", f"totals of the terminals {dict(said)}, ours {dict(host)}")

    # I1, I6, I7: what merchants saw

    def _order(self, order: Order) -> None:
        payment = self._books.by_key.get(("api", order.number))
        ids = {seen.body["id"] for seen in order.seen}
        if len(ids) > 1 or (ids and (payment is None or ids != {payment["id"]})):
            self._say("I7", f"{order.number}: several payments {sorted(ids)}")
        if sum(seen.how == "created" for seen in order.seen) > 1:
            self._say("I7", f"{order.number}: created more than once")
        for seen in order.seen:
            asked_fen = order.conflict_amount_fen if seen.how == "conflict" else order.amount_fen
            by_body = seen.how in ("created", "replayed", "conflict")
            if by_body and seen.body["amount"] != asked_fen:
                self._say(
                    "I7", f"{order.number}: {asked_fen} asked, {seen.body['amount']} answered"
                )
        paid = [seen for seen in order.seen if seen.body["status"] == "succeeded"]
        if paid:
            amount_fen = paid[0].body["amount"]
            self._approved("api", order.number, amount_fen, "a merchant")
            state = "absent" if payment is None else payment["status"]
            is_parked = payment is not None and payment["parked_reason"]
            if not order.cancels and state != "succeeded" and not is_parked:
                self._say("I1", f"{order.number}: seen paid, never cancelled, and {state}")
        self._no_way_back(order.number, order.seen)
        if payment is not None and self._histories.quiet:
            last = order.seen[-1] if order.seen else None
            shown = last.body["status"] if last and last.at_s >= self._histories.final_at_s else ""
            if shown != payment["status"]:
                self._say("I6", f"{order.number}: shown {shown} at the end, is {payment['status']}")
        self._asked_refunds(order, payment)

    def _no_way_back(self, number: str, seen: list[Seen]) -> None:
        ordered = sorted(seen, key=lambda one: one.asked_at_s)
        for index, earlier in enumerate(ordered):
            for later in ordered[index + 1 :]:
                if later.asked_at_s <= earlier.at_s or later.body.get("case_id"):
                    continue
                was, now = earlier.body["status"], later.body["status"]
                if now not in _AFTER[was] and not earlier.body.get("case_id"):
                    self._say("I6", f"{number}: shown {was}, later {now}")

    def _asked_refunds(self, order: Order, payment: Row | None) -> None:
        rows = {} if payment is None else {
            row["merchant_refund_no"]: row for row in self._books.refunds[payment["id"]]
        }  # fmt: skip
        for asked in order.refunds:
            row = rows.get(asked.number)
            if len({seen.body["id"] for seen in asked.seen}) > 1:
                self._say("I7", f"{asked.number}: several refunds under one number")
            if asked.conflict_accepted:
                self._say("I7", f"{asked.number}: another amount was taken under its number")
            if sum(seen.how == "created" for seen in asked.seen) > 1:
                self._say("I7", f"{asked.number}: created more than once")
            for seen in asked.seen:
                if row is None or seen.body["amount"] != asked.amount_fen:
                    self._say(
                        "I7",
                        f"{asked.number}: shown {seen.body['amount']} fen, asked {asked.amount_fen}",
                    )
            is_done = any(seen.body["status"] == "succeeded" for seen in asked.seen)
            if is_done and (row is None or row["status"] != "succeeded"):
                self._say("I1", f"{asked.number}: seen refunded, and it is not")

    # I9: what merchants were told

    def _notifications(self) -> None:
        told: dict[str, list[Notification]] = defaultdict(list)
        for notification in self._histories.notifications:
            if not notification.signed:
                self._say("I9", "a notification with a wrong signature")
                continue
            told[_payment_of(notification)].append(notification)
        for payment in self._books.payments.values():
            if (
                payment["notify_url"]
                and payment["status"] in _FINAL
                and not payment["parked_reason"]
            ):
                self._told(payment, told[payment["id"]])

    def _told(self, payment: Row, told: list[Notification]) -> None:
        where = f"{payment['id']} ({payment['order_key']})"
        delivered = [one for one in told if one.acknowledged]
        sequences = {one.body["sequence"] for one in delivered}
        if sequences != set(range(1, payment["notices"] + 1)):
            self._say("I9", f"{where}: told {sorted(sequences)} of 1 to {payment['notices']}")
        types = {one.body["type"] for one in told}
        if f"payment.{payment['status']}" not in types:
            self._say("I9", f"{where}: is {payment['status']}, told {sorted(types)}")
        by_sequence: dict[int, set[str]] = defaultdict(set)
        for one in told:
            by_sequence[one.body["sequence"]].add(json.dumps(one.body, sort_keys=True))
            if one.url != payment["notify_url"]:
                self._say("I9", f"{where}: told at another address")
        for sequence, bodies in by_sequence.items():
            if len(bodies) > 1:
                self._say("I9", f"{where}: number {sequence} was told in several versions")
        about = [
            one.body for one in sorted(told, key=lambda one: int(one.body["sequence"]))
            if one.body["type"].startswith("payment.")
        ]  # fmt: skip
        if about and about[-1]["payment"]["status"] != payment["status"]:
            self._say("I9", f"{where}: the last number tells {about[-1]['payment']['status']}")


def _payment_of(notification: Notification) -> str:
    body = notification.body
    if "payment" in body:
        return str(body["payment"]["id"])
    return str(body["refund"]["payment_id"])
