"""What was seen outside, what the books hold and what the channels took, compared.

Rules: it shares no code with the gateway; it knows the words of the API and the tables;
every difference is one violation with the invariant's number (``docs/reliability.md``).
A payment that is parked with an open case is a person's: its charge proves nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from tests.crash.books import Books, Row
from tests.crash.history import Bill, History, Refund, Sale

Charges = Mapping[tuple[str, str], tuple[int, int]]
"""Charged and returned fen by channel and order number."""
_FINAL: Final = frozenset(("succeeded", "failed", "closed", "reversed"))
_UNPAID: Final = frozenset(("failed", "closed", "reversed"))
_NEXT: Final = {
    "succeeded": frozenset(("reversing", "reversed", "parked")),
    "failed": frozenset(("reversing", "reversed", "parked")),
    "closed": frozenset(("reversing", "reversed", "parked")),
    "reversed": frozenset[str](),
    "reversing": frozenset(("closed", "reversed", "parked")),
}
"""What a merchant may see after a state; whatever is not here may be followed by anything."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise: which one, of what, and how."""

    rule: str
    subject: str
    detail: str

    def __str__(self) -> str:
        return f"{self.rule} {self.subject}: {self.detail}"


def violations(history: History, books: Books, charges: Charges) -> list[Violation]:
    """Every broken promise, none when all are kept."""
    view = _View(books, charges)
    return [
        *(Violation("seen", "", fault) for fault in history.faults),
        *_finished(view),
        *_charged(view),
        *_booked(view),
        *_remembered(view),
        *_sold(view, history.sales),
        *_billed(view, history.bills),
        *_refunded(view, history.refunds()),
        *_notified(view, history),
    ]


class _View:
    """The books by payment."""

    def __init__(self, books: Books, charges: Charges) -> None:
        self.books = books
        self.charges = charges
        self.payments = {row["id"]: row for row in books.payments}
        self.by_key = {(row["door"], row["order_key"]): row for row in books.payments}
        self.refund_by_number = {row["merchant_refund_no"]: row for row in books.refunds}
        self.attempts = _grouped(books.attempts, "payment_id")
        self.events = _grouped(books.payment_events, "payment_id")
        self.postings = _grouped(books.postings, "payment_id")
        self.refunds = _grouped(books.refunds, "payment_id")
        self.open_cases = {row["subject"] for row in books.cases if row["is_open"]}

    def is_persons(self, row: Row) -> bool:
        """Whether a person has to decide about it, or about a refund of it."""
        own = bool(row["parked_reason"]) and row["id"] in self.open_cases
        return own or any(
            refund["parked_reason"] and refund["id"] in self.open_cases
            for refund in self.refunds.get(row["id"], ())
        )

    def taken(self, row: Row) -> tuple[int, int]:
        """Charged and returned at the channels, over all attempts."""
        found = [
            self.charges.get((attempt["channel"], attempt["channel_order_no"]), (0, 0))
            for attempt in self.attempts.get(row["id"], ())
        ]
        return sum(charged for charged, _ in found), sum(returned for _, returned in found)

    def net(self, row: Row) -> int:
        """What the payer has paid and not got back."""
        charged, returned = self.taken(row)
        return charged - returned


def _grouped(rows: Iterable[Row], name: str) -> dict[Any, list[Row]]:
    groups: defaultdict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[name]].append(row)
    return dict(groups)


def _finished(view: _View) -> Iterator[Violation]:
    """I3: nothing stays unknown; what is parked has an open case, and nothing else has one."""
    for row in (*view.books.payments, *view.books.refunds):
        is_parked = bool(row["parked_reason"])
        if is_parked != (row["id"] in view.open_cases):
            yield Violation("I3", row["id"], "parked without an open case, or the other way round")
        if row["status"] not in _FINAL and not is_parked:
            yield Violation("I3", row["id"], f"still {row['status']}")
    for job in view.books.jobs:
        yield Violation("I3", job["id"], "a job is left")


def _charged(view: _View) -> Iterator[Violation]:
    """I2, I3: each charge is of one order, stands in the books, and never twice."""
    owners = Counter(
        (attempt["channel"], attempt["channel_order_no"]) for attempt in view.books.attempts
    )
    for order, (charged, returned) in view.charges.items():
        if owners[order] != 1:
            yield Violation("I3", " ".join(order), f"a charge of {owners[order]} orders")
        if returned > charged:
            yield Violation("I4", " ".join(order), f"{returned} returned of {charged}")
    for row in view.books.payments:
        charged, _ = view.taken(row)
        net = view.net(row)
        if net > row["amount_fen"]:
            yield Violation("I2", row["id"], f"{net} charged net for {row['amount_fen']}")
        if view.is_persons(row):
            continue
        booked = row["captured_fen"] - row["returned_fen"]
        if net != booked:
            yield Violation("I3", row["id"], f"{net} charged net, {booked} in the books")
        if row["status"] == "succeeded" and charged != row["amount_fen"]:
            yield Violation("I3", row["id"], f"succeeded, {charged} charged")
        if row["status"] in _UNPAID and net:
            yield Violation("I2", row["id"], f"{row['status']}, {net} charged net")


def _booked(view: _View) -> Iterator[Violation]:
    """I4, I5: the ledger balances, holds each capture once, and equals the payments."""
    for (payment_id, sequence), lines in _entries(view.books.postings).items():
        if sum(line["amount_fen"] for line in lines):
            yield Violation("I5", payment_id, f"entry {sequence} does not sum to zero")
    for payment_id in view.postings.keys() - view.payments.keys():
        yield Violation("I5", payment_id, "postings of no payment")
    for row in view.books.payments:
        lines = view.postings.get(row["id"], [])
        due = [line for line in lines if line["account"].startswith("channel:")]
        owed = [line for line in lines if line["account"].startswith("merchant:")]
        booked = row["captured_fen"] - row["returned_fen"]
        if sum(line["amount_fen"] for line in due) != booked:
            yield Violation("I5", row["id"], f"the ledger does not hold {booked} at its channel")
        if sum(line["amount_fen"] for line in owed) != -booked:
            yield Violation("I5", row["id"], f"the ledger does not owe {booked} to its merchant")
        captures = [line["amount_fen"] for line in due if line["entry"] == "capture"]
        if captures != ([row["captured_fen"]] if row["captured_fen"] else []):
            yield Violation("I1", row["id"], f"captures {captures}, not {row['captured_fen']}")
        refunds = view.refunds.get(row["id"], ())
        back = sum(refund["amount_fen"] for refund in refunds if refund["status"] == "succeeded")
        under_way = sum(
            refund["amount_fen"] for refund in refunds if refund["status"] not in _FINAL
        )
        if back + under_way > row["captured_fen"] or back > row["returned_fen"]:
            yield Violation("I4", row["id"], f"{back} + {under_way} refunded, see {dict(row)}")
        if under_way != row["refunding_fen"]:
            yield Violation("I4", row["id"], f"{row['refunding_fen']} reserved for {under_way}")


def _entries(postings: Iterable[Row]) -> dict[tuple[str, int], list[Row]]:
    entries: defaultdict[tuple[str, int], list[Row]] = defaultdict(list)
    for line in postings:
        entries[line["payment_id"], line["sequence"]].append(line)
    return dict(entries)


def _remembered(view: _View) -> Iterator[Violation]:
    """I6: every version has its event, and each goes on from the state before it."""
    for row in view.books.payments:
        history = sorted(view.events.get(row["id"], ()), key=lambda event: event["sequence"])
        if [event["sequence"] for event in history] != list(range(1, row["version"] + 1)):
            yield Violation("I6", row["id"], "its history has gaps")
            continue
        for before, after in pairwise(history):
            if before["status"] != after["previous"]:
                yield Violation("I6", row["id"], f"{before['status']}, then {after['previous']}")
        if history[-1]["status"] != row["status"]:
            yield Violation("I6", row["id"], f"{row['status']} is not the end of its history")


def _sold(view: _View, sales: Sequence[Sale]) -> Iterator[Violation]:
    """I1, I2, I7: what each terminal holds of its sale is what the payer paid."""
    for key, count in Counter(sale.key for sale in sales).items():
        if count > 1:
            yield Violation("I7", key, "a terminal used a number twice: the harness is wrong")
    for sale in sales:
        row = view.by_key.get(("pos", sale.key))
        if row is None:
            if sale.is_kept or sale.is_reversed:
                yield Violation("I1", sale.key, "answered to the terminal, not in the books")
            continue
        if row["amount_fen"] != sale.amount_fen:
            yield Violation("I1", sale.key, f"{row['amount_fen']} in the books")
        if view.is_persons(row):
            continue
        net = view.net(row)
        if sale.is_kept and (row["status"] != "succeeded" or net != sale.amount_fen):
            yield Violation("I1", sale.key, f"approved; {row['status']}, {net} charged net")
        if sale.is_off and (row["status"] not in _UNPAID or net):
            yield Violation("I2", sale.key, f"not paid; {row['status']}, {net} charged net")


def _billed(view: _View, bills: Sequence[Bill]) -> Iterator[Violation]:
    """I1, I6, I7: what each merchant saw of its payment is where it stands, or was on its way."""
    for bill in bills:
        row = view.by_key.get(("api", bill.number))
        if row is None or row["id"] != (bill.id or row["id"]):
            if bill.id:
                yield Violation("I1", bill.number, "shown to the merchant, not in the books")
            continue
        if row["amount_fen"] != bill.amount_fen:
            yield Violation("I1", bill.number, f"{row['amount_fen']} in the books")
        for before, after in pairwise(bill.statuses):
            if before in _NEXT and after not in _NEXT[before]:
                yield Violation("I6", bill.number, f"seen {before}, then {after}")
        last, status = (bill.statuses or [""])[-1], row["status"]
        if view.is_persons(row) or last == "parked":
            continue
        if last in _FINAL and status != last and status not in _NEXT[last]:
            yield Violation("I1", bill.number, f"seen {last}, is {status}")
        if last == "succeeded" and not bill.is_cancelled and status != "succeeded":
            yield Violation("I1", bill.number, f"succeeded and never cancelled, is {status}")
        if bill.is_cancelled and not bill.refunds and status == "succeeded":
            yield Violation("I1", bill.number, "cancelled, still succeeded")


def _refunded(view: _View, refunds: Iterable[tuple[Bill, Refund]]) -> Iterator[Violation]:
    """I4, I7: every refund that a merchant saw is there once, as it saw it."""
    for bill, refund in refunds:
        row = view.refund_by_number.get(refund.number)
        if row is None:
            if refund.id:
                yield Violation("I7", refund.number, "shown to the merchant, not in the books")
            continue
        if refund.refused_as:
            yield Violation("I7", refund.number, f"refused as {refund.refused_as}, yet booked")
        if (row["amount_fen"], row["payment_id"]) != (refund.amount_fen, bill.id):
            yield Violation("I7", refund.number, f"booked as {row['amount_fen']}")
        last = (refund.statuses or [""])[-1]
        if last in _FINAL and row["status"] != last:
            yield Violation("I6", refund.number, f"seen {last}, is {row['status']}")


def _notified(view: _View, history: History) -> Iterator[Violation]:
    """I9: every final state of a payment that asked for it was heard, signed, in sequence."""
    heard: defaultdict[str, dict[int, str]] = defaultdict(dict)
    known = {row["event_id"]: row for row in view.books.notices}
    for notice in history.notices:
        row = known.get(notice.event_id)
        said = (notice.payment_id, notice.sequence, notice.type)
        if row is None or said != (row["payment_id"], row["sequence"], row["type"]):
            yield Violation("I9", notice.event_id, f"not a notice of ours: {notice}")
        if not notice.is_signed:
            yield Violation("I9", notice.event_id, "its signature does not verify")
        if notice.is_acknowledged:
            heard[notice.payment_id][notice.sequence] = notice.type
    for row in view.books.payments:
        if not row["notify_url"]:
            continue
        told = heard.get(row["id"], {})
        if sorted(told) != list(range(1, row["notices"] + 1)):
            detail = f"heard {sorted(told)} of {row['notices']} notices"
            yield Violation("I9", row["id"], detail)
        due = Counter(_ends(view, row))
        if due - Counter(told.values()):
            yield Violation("I9", row["id"], f"heard {told}, due {dict(due)}")


def _ends(view: _View, row: Row) -> Iterator[str]:
    """The types of notification that a payment's history calls for."""
    for event in view.events.get(row["id"], ()):
        if event["status"] in _FINAL and event["status"] != event["previous"]:
            yield f"payment.{event['status']}"
    for refund in view.refunds.get(row["id"], ()):
        if refund["status"] in _FINAL:
            yield f"refund.{refund['status']}"
