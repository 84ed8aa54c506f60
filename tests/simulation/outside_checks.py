"""What terminals and merchants saw, against the books."""

import json
import sqlite3
from collections import Counter, defaultdict
from dataclasses import dataclass

from tests.simulation.books import Books, Row
from tests.simulation.histories import (
    GivenBack,
    Histories,
    Notification,
    Order,
    Reply,
    Sale,
    Seen,
)
from tests.simulation.legal import AFTER

FINAL = frozenset({"succeeded", "failed", "closed", "reversed"})


@dataclass(frozen=True)
class Violation:
    """An invariant that does not hold, and where."""

    invariant: str
    text: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.text}"


def _said(reply: Reply) -> bytes:
    """A signed reply but for its MAC, which is made anew for new keys."""
    return reply.payload[:-8]


def _stands(payment: Row) -> bool:
    """Whether a payment keeps money, once what is on its way back has arrived."""
    gone_fen = payment["returned_fen"] + payment["refunding_fen"]
    return bool(payment["status"] == "succeeded" and payment["captured_fen"] > gone_fen)


class OutsideChecks:
    """The invariants as seen from outside; ``violations`` gathers what does not hold."""

    def __init__(self, histories: Histories, connection: sqlite3.Connection) -> None:
        self._histories = histories
        self._books = Books(connection)
        self.violations: list[Violation] = []
        numbers = {row["channel_order_no"]: row["payment_id"] for row in self._books.attempts}
        self._lied = {numbers[number] for number in histories.lies if number in numbers}

    def _say(self, invariant: str, text: str) -> None:
        self.violations.append(Violation(invariant, text))

    # I1, I7, I14: what terminals saw

    def _sale(self, sale: Sale) -> None:
        payment = self._books.by_key.get(("pos", sale.order_key))
        signed = [reply for reply in sale.replies if reply.signed]
        if len({_said(reply) for reply in signed}) > 1:
            codes = [reply.response_code for reply in signed]
            self._say("I7", f"{sale.order_key}: one message, several answers: {codes}")
        reversed_ = [reply for reply in sale.reversal_replies if reply.signed]
        if len({_said(reply) for reply in reversed_}) > 1:
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
        is_paid = payment is not None and _stands(payment)
        given = sale.given_back
        if given is not None and payment is not None:
            self._gave_back(sale.order_key, given, payment)
        is_excused = given is not None and self._is_excused(given, payment)
        if sale.over and is_paid != sale.approved and not is_excused:
            status = "absent" if payment is None else payment["status"]
            self._say("I14", f"{sale.order_key}: the terminal says {sale.approved}, we {status}")
        if not sale.over:
            self._say("I3", f"{sale.order_key}: its terminal never heard how it ended")

    def _is_excused(self, given: GivenBack, payment: Row | None) -> bool:
        """Whether nobody can say how it ended: the channel lied, or the terminal gave up."""
        return given.accepted is None or (payment is not None and payment["id"] in self._lied)

    def _gave_back(self, key: str, given: GivenBack, payment: Row) -> None:
        """I14: what a terminal was told of a void or refund is what the books have."""
        if self._is_excused(given, payment):
            return
        statuses = [
            row["status"]
            for row in self._books.refunds[payment["id"]]
            if row["merchant_refund_no"] == f"pos:{given.order_key}"
        ]
        fits = statuses == ["succeeded"] if given.accepted else statuses in ([], ["failed"])
        if not fits:
            what = "void" if given.is_void else "refund"
            self._say("I14", f"{key}: its {what} was {given.accepted}, the books say {statuses}")

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
        excused = self._excused_terminals()
        for sale in self._histories.sales:
            if sale.approved and sale.terminal_id not in excused:
                said[sale.terminal_id] += sale.amount_fen
                count[sale.terminal_id] += 1
        host: Counter[str] = Counter()
        host_count: Counter[str] = Counter()
        for payment in self._books.payments.values():
            terminal_id = payment["order_key"].partition("-")[0]
            if payment["door"] == "pos" and _stands(payment) and terminal_id not in excused:
                host[terminal_id] += payment["amount_fen"]
                host_count[terminal_id] += 1
        if all(sale.over for sale in self._histories.sales) and (said, count) != (host, host_count):
            self._say("I14", f"totals of the terminals {dict(said)}, ours {dict(host)}")

    def _excused_terminals(self) -> set[str]:
        return {
            sale.terminal_id
            for sale in self._histories.sales
            if sale.given_back is not None
            and self._is_excused(sale.given_back, self._books.by_key.get(("pos", sale.order_key)))
        }

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
            state = "unknown" if payment["parked_reason"] else payment["status"]
            if shown != state:
                self._say("I6", f"{order.number}: shown {shown} at the end, is {state}")
        self._asked_refunds(order, payment)

    def _no_way_back(self, number: str, seen: list[Seen]) -> None:
        ordered = sorted(seen, key=lambda one: one.asked_at_s)
        for index, earlier in enumerate(ordered):
            for later in ordered[index + 1 :]:
                if later.asked_at_s <= earlier.at_s or later.body.get("case_id"):
                    continue
                was, now = earlier.body["status"], later.body["status"]
                if now not in AFTER[was] and not earlier.body.get("case_id"):
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
                and payment["door"] != "checkout"
                and payment["status"] in FINAL
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
