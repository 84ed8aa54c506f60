"""How often and how wrongly a channel tells: the schedule, the factor, the faults."""

from typing import Any

import pytest

from sandbox.faults import Faults, parse_rules
from sandbox.notifier import MAX_WAITING, Notice, NoticeRequest, Notifier, Spoil

SCHEDULE = (10, 60)


class Told:
    """A channel with one thing to tell, and how it was written each time."""

    def __init__(self, factor: int = 1, **rule: Any) -> None:
        self.spoils: list[Spoil] = []
        faults = Faults(lambda: 0.0)
        faults.replace(parse_rules([rule] if rule else []))
        self.notifier = Notifier(factor)
        self.notifier.serve("bank", SCHEDULE, faults)

    def add(self, now_ms: int = 0, url: str = "http://shop/notify") -> None:
        def write(_: int, spoil: Spoil) -> NoticeRequest:
            self.spoils.append(spoil)
            return NoticeRequest({}, b"body")

        notice = Notice(
            channel="bank",
            order_no="O1",
            event="paid",
            url=url,
            write=write,
            is_taken=lambda status, body: body == b"ok",
        )
        self.notifier.add(notice, now_ms)

    def attempts(self, until_ms: int, answer: bytes = b"no") -> list[int]:
        """When it was tried, if every attempt is answered so at once."""
        times = []
        while (at := self.notifier.next_due_ms()) is not None and at <= until_ms:
            for delivery in self.notifier.due(at):
                times.append(at)
                self.notifier.answered(delivery, 200, answer, at)
        return times


def test_it_is_tried_by_the_schedule_and_then_given_up() -> None:
    told = Told()
    told.add(5)
    assert told.attempts(10**9) == [5, 10_005, 70_005]
    assert told.notifier.history() == [
        {
            "channel": "bank",
            "order_no": "O1",
            "event": "paid",
            "attempts": 3,
            "state": "given_up",
            "last_status": 200,
        }
    ]


def test_the_factor_shortens_the_waits() -> None:
    told = Told(factor=10)
    told.add()
    assert told.attempts(10**9) == [0, 1000, 7000]


def test_taken_it_is_not_told_again() -> None:
    told = Told()
    told.add()
    assert told.attempts(10**9, b"ok") == [0]
    assert told.notifier.history()[0]["state"] == "taken"


def test_without_an_answer_it_is_told_again() -> None:
    told = Told()
    told.add()
    [delivery] = told.notifier.due(0)
    told.notifier.answered(delivery, 0, b"ok", 0)
    assert told.notifier.next_due_ms() == 10_000


def test_without_a_url_nothing_is_told() -> None:
    told = Told()
    told.add(url="")
    assert told.notifier.next_due_ms() is None


@pytest.mark.parametrize(
    ("rule", "spoil", "copies", "delay_ms"),
    [
        ({"kind": "corrupt"}, Spoil.FORGED, 1, 0),
        ({"kind": "wrong_amount"}, Spoil.WRONG_AMOUNT, 1, 0),
        ({"kind": "duplicate"}, Spoil.NOT, 2, 0),
        ({"kind": "delay", "delay_ms": 700}, Spoil.NOT, 1, 700),
        ({"kind": "corrupt", "match": "refunded"}, Spoil.NOT, 1, 0),
    ],
)
def test_faults(rule: dict[str, Any], spoil: Spoil, copies: int, delay_ms: int) -> None:
    told = Told(**rule)
    told.add()
    [delivery] = told.notifier.due(0)
    assert (told.spoils, delivery.copies, delivery.delay_ms) == ([spoil], copies, delay_ms)


def test_a_dropped_attempt_is_made_up_for_by_the_next() -> None:
    told = Told(kind="drop", limit=1)
    told.add()
    assert told.notifier.due(0) == []
    assert told.attempts(10**9, b"ok") == [10_000]


def test_too_many_are_counted_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_WAITING > 0
    monkeypatch.setattr("sandbox.notifier.MAX_WAITING", 2)
    told = Told()
    for _ in range(3):
        told.add()
    assert told.notifier.forgotten == 1
