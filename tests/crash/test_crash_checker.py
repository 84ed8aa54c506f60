"""The checker of the crash harness finds what it is there to find.

One small day on which everything agrees; each test doctors one thing about it, in what was
seen, in the books or at the channels, and the rule that it breaks must be named.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.crash.books import Books
from tests.crash.checker import Violation, violations
from tests.crash.history import Bill, History, Notice, Refund, Sale

Rows = list[dict[str, Any]]


@dataclass
class Day:
    """A history, the books and the channels' charges, open to doctoring."""

    history: History
    tables: dict[str, Rows] = field(default_factory=dict)
    charges: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)

    def found(self) -> list[Violation]:
        """What the checker says."""
        tables: dict[str, Any] = dict(self.tables)
        return violations(self.history, Books(**tables), self.charges)

    def payment(self, id_: str) -> dict[str, Any]:
        """A payment's row."""
        return next(row for row in self.tables["payments"] if row["id"] == id_)


def _payment(id_: str, door: str, key: str, status: str, **changes: Any) -> dict[str, Any]:
    captured = 500 if status in ("succeeded", "reversed") else 0
    row = {
        "id": id_,
        "door": door,
        "order_key": key,
        "amount_fen": 500,
        "channel": "alipay",
        "channel_order_no": f"A{id_}",
        "notify_url": "http://shop/" if door == "api" else "",
        "status": status,
        "version": 2,
        "captured_fen": captured,
        "returned_fen": captured if status == "reversed" else 0,
        "refunding_fen": 0,
        "notices": 1 if door == "api" else 0,
        "parked_reason": "",
    }
    return row | changes


def _lines(payment_id: str, sequence: int, entry: str, amount_fen: int) -> Rows:
    accounts = (("channel:alipay:a1", amount_fen), ("merchant:M1", -amount_fen))
    return [
        {
            "payment_id": payment_id,
            "sequence": sequence,
            "line": number,
            "entry": entry,
            "account": account,
            "amount_fen": amount,
            "currency": "CNY",
        }
        for number, (account, amount) in enumerate(accounts)
    ]


def _event(payment_id: str, sequence: int, previous: str, status: str) -> dict[str, Any]:
    return {
        "payment_id": payment_id,
        "sequence": sequence,
        "event": "",
        "previous": previous,
        "status": status,
    }


def _notice(payment_id: str, sequence: int, kind: str, number: str) -> Notice:
    return Notice(
        event_id=f"evt-{payment_id}-{sequence}",
        type=kind,
        sequence=sequence,
        payment_id=payment_id,
        number=number,
        status=kind.partition(".")[2],
        is_signed=True,
        is_acknowledged=True,
    )


def _history() -> History:
    history = History()
    history.sales += [
        Sale("T-1-1", 500, "00"),
        Sale("T-1-2", 500, "00", is_reversing=True, is_reversed=True),
        Sale("T-1-3", 500, "51"),
        Sale("T-1-4", 500),
    ]
    history.bills += [
        Bill("B1", 500, "p4", ["pending", "succeeded"], refunds=[Refund("R1", 200, "r1")]),
        Bill("B2", 500, "p5", ["pending", "closed"], is_cancelled=True),
        Bill("B3", 500),
    ]
    history.bills[0].refunds[0].statuses = ["submitted", "succeeded"]
    history.notices += [
        _notice("p4", 1, "payment.succeeded", "B1"),
        _notice("p4", 2, "refund.succeeded", "R1"),
        _notice("p5", 1, "payment.closed", "B2"),
    ]
    return history


def _whole_day() -> Day:
    payments = [
        _payment("p1", "pos", "T-1-1", "succeeded"),
        _payment("p2", "pos", "T-1-2", "reversed", version=3),
        _payment("p3", "pos", "T-1-3", "failed"),
        _payment("p4", "api", "B1", "succeeded", returned_fen=200, notices=2, version=4),
        _payment("p5", "api", "B2", "closed", version=3),
    ]
    events = [_event(row["id"], 1, "created", "submitted") for row in payments]
    events += [
        _event("p1", 2, "submitted", "succeeded"),
        _event("p2", 2, "submitted", "reversing"),
        _event("p2", 3, "reversing", "reversed"),
        _event("p3", 2, "submitted", "failed"),
        _event("p4", 2, "submitted", "succeeded"),
        _event("p4", 3, "succeeded", "succeeded"),
        _event("p4", 4, "succeeded", "succeeded"),
        _event("p5", 2, "submitted", "reversing"),
        _event("p5", 3, "reversing", "closed"),
    ]
    history = _history()
    return Day(
        history,
        {
            "payments": payments,
            "attempts": [
                {
                    "payment_id": row["id"],
                    "channel": "alipay",
                    "channel_order_no": row["channel_order_no"],
                }
                for row in payments
            ],
            "payment_events": events,
            "postings": [
                *_lines("p1", 2, "capture", 500),
                *_lines("p2", 3, "capture", 500),
                *_lines("p2", 3, "reversal", -500),
                *_lines("p4", 2, "capture", 500),
                *_lines("p4", 4, "refund", -200),
            ],
            "refunds": [
                {
                    "id": "r1",
                    "payment_id": "p4",
                    "merchant_refund_no": "R1",
                    "amount_fen": 200,
                    "status": "succeeded",
                    "parked_reason": "",
                }
            ],
            "notices": [
                {
                    "event_id": notice.event_id,
                    "payment_id": notice.payment_id,
                    "sequence": notice.sequence,
                    "type": notice.type,
                    "state": "delivered",
                }
                for notice in history.notices
            ],
            "cases": [],
            "jobs": [],
        },
        {
            ("alipay", "Ap1"): (500, 0),
            ("alipay", "Ap2"): (500, 500),
            ("alipay", "Ap4"): (500, 200),
        },
    )


def test_a_day_on_which_everything_agrees_has_no_violation() -> None:
    """So that whatever is found below was planted there."""
    assert _whole_day().found() == []


def _two_captures(day: Day) -> None:
    day.tables["postings"] += _lines("p1", 9, "capture", 500)
    day.payment("p1")["captured_fen"] = 1000


def _a_lost_approval(day: Day) -> None:
    day.history.sales.append(Sale("T-1-9", 500, "00"))


def _an_approval_that_was_undone(day: Day) -> None:
    day.history.sales[1].is_reversing = day.history.sales[1].is_reversed = False


def _a_reversal_that_left_the_charge(day: Day) -> None:
    day.charges["alipay", "Ap2"] = (500, 0)


def _a_refused_sale_that_was_charged(day: Day) -> None:
    day.history.sales[0].response_code = "51"


def _another_amount_at_the_till(day: Day) -> None:
    day.history.sales[0].amount_fen = 501


def _a_charge_of_nobody(day: Day) -> None:
    day.charges["alipay", "Ap999"] = (500, 0)


def _charged_again_under_another_number(day: Day) -> None:
    day.charges["alipay", "Aagain"] = (500, 0)
    attempt = {"payment_id": "p1", "channel": "alipay", "channel_order_no": "Aagain"}
    day.tables["attempts"].append(attempt)


def _a_success_that_nobody_was_charged_for(day: Day) -> None:
    del day.charges["alipay", "Ap1"]


def _a_lost_success_at_the_channel(day: Day) -> None:
    day.charges["alipay", "Ap3"] = (500, 0)


def _still_unknown(day: Day) -> None:
    day.payment("p5")["status"] = "unknown"


def _parked_without_a_case(day: Day) -> None:
    day.payment("p1")["parked_reason"] = "amount_differs"


def _a_job_left_behind(day: Day) -> None:
    day.tables["jobs"].append({"id": "settle:p1", "kind": "settle", "subject": "p1"})


def _an_unbalanced_entry(day: Day) -> None:
    day.tables["postings"][0]["amount_fen"] = 499


def _a_missing_posting(day: Day) -> None:
    del day.tables["postings"][-2:]


def _a_hole_in_the_history(day: Day) -> None:
    day.tables["payment_events"] = [
        event
        for event in day.tables["payment_events"]
        if (event["payment_id"], event["sequence"]) != ("p2", 2)
    ]


def _a_leap_in_the_history(day: Day) -> None:
    day.tables["payment_events"][-1]["previous"] = "pending"


def _more_refunded_than_captured(day: Day) -> None:
    day.tables["refunds"].append({**day.tables["refunds"][0], "id": "r2", "amount_fen": 400})


def _more_returned_than_charged(day: Day) -> None:
    day.charges["alipay", "Ap4"] = (500, 600)


def _a_reservation_left(day: Day) -> None:
    day.payment("p4")["refunding_fen"] = 100


def _a_refund_that_vanished(day: Day) -> None:
    day.history.bills[0].refunds.append(Refund("R2", 100, "r2", ["succeeded"]))


def _a_refund_of_another_amount(day: Day) -> None:
    day.history.bills[0].refunds[0].amount_fen = 201


def _a_refund_that_was_seen_to_succeed(day: Day) -> None:
    day.tables["refunds"][0]["status"] = "failed"


def _a_refused_refund_that_was_booked(day: Day) -> None:
    day.history.bills[0].refunds[0].refused_as = "refund_exceeds_payment"


def _a_payment_that_vanished(day: Day) -> None:
    day.history.bills[2].id = "p9"


def _seen_to_succeed_and_closed(day: Day) -> None:
    day.history.bills[1].statuses = ["succeeded"]
    day.history.bills[1].is_cancelled = False


def _a_state_that_went_back(day: Day) -> None:
    day.history.bills[0].statuses = ["succeeded", "pending", "succeeded"]


def _a_cancel_that_did_nothing(day: Day) -> None:
    day.history.bills[0].is_cancelled = True
    day.history.bills[0].refunds.clear()


def _a_notice_never_heard(day: Day) -> None:
    del day.history.notices[1]


def _a_notice_never_written(day: Day) -> None:
    del day.history.notices[2]
    del day.tables["notices"][2]
    day.payment("p5")["notices"] = 0


def _a_notice_never_acknowledged(day: Day) -> None:
    day.history.notices[0] = replace(day.history.notices[0], is_acknowledged=False)


def _a_notice_of_somebody_else(day: Day) -> None:
    day.history.notices.append(_notice("p1", 7, "payment.succeeded", "B7"))


def _a_notice_with_a_wrong_signature(day: Day) -> None:
    day.history.notices[0] = replace(day.history.notices[0], is_signed=False)


def _a_replay_let_in(day: Day) -> None:
    day.history.fault("a replay was answered 201")


@pytest.mark.parametrize(
    ("doctor", "rule"),
    [
        (_two_captures, "I1"),
        (_a_lost_approval, "I1"),
        (_an_approval_that_was_undone, "I1"),
        (_another_amount_at_the_till, "I1"),
        (_a_payment_that_vanished, "I1"),
        (_seen_to_succeed_and_closed, "I1"),
        (_a_cancel_that_did_nothing, "I1"),
        (_a_reversal_that_left_the_charge, "I2"),
        (_a_refused_sale_that_was_charged, "I2"),
        (_charged_again_under_another_number, "I2"),
        (_a_lost_success_at_the_channel, "I2"),
        (_a_charge_of_nobody, "I3"),
        (_a_success_that_nobody_was_charged_for, "I3"),
        (_still_unknown, "I3"),
        (_parked_without_a_case, "I3"),
        (_a_job_left_behind, "I3"),
        (_more_refunded_than_captured, "I4"),
        (_more_returned_than_charged, "I4"),
        (_a_reservation_left, "I4"),
        (_an_unbalanced_entry, "I5"),
        (_a_missing_posting, "I5"),
        (_a_hole_in_the_history, "I6"),
        (_a_leap_in_the_history, "I6"),
        (_a_state_that_went_back, "I6"),
        (_a_refund_that_was_seen_to_succeed, "I6"),
        (_a_refund_that_vanished, "I7"),
        (_a_refund_of_another_amount, "I7"),
        (_a_refused_refund_that_was_booked, "I7"),
        (_a_notice_never_heard, "I9"),
        (_a_notice_never_written, "I9"),
        (_a_notice_never_acknowledged, "I9"),
        (_a_notice_of_somebody_else, "I9"),
        (_a_notice_with_a_wrong_signature, "I9"),
        (_a_replay_let_in, "seen"),
    ],
)
def test_every_doctored_day_is_found_out(doctor: Callable[[Day], None], rule: str) -> None:
    """Under the name of the promise that it breaks."""
    day = _whole_day()
    doctor(day)
    assert rule in {violation.rule for violation in day.found()}
