"""The checker can fail: each invariant, broken on purpose in a sound history, is reported."""

import ast
import copy
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.simulation.checker import Checker, Violation
from tests.simulation.histories import Call, Histories, Notification, Order, Sale
from tests.simulation.plan import CLEAN, StoreFaults, draw
from tests.simulation.run import Simulation

SHARED = {
    f"tests.simulation.{name}"
    for name in ("histories", "books", "legal", "live_checks", "outside_checks")
}
Doctor = Callable[[Histories, sqlite3.Connection], None]


@pytest.fixture(scope="module")
def sound() -> Iterator[Simulation]:
    """A day on which nothing went wrong."""
    calm = replace(
        draw(5),
        alipay=CLEAN,
        card=CLEAN,
        pos=CLEAN,
        api=CLEAN,
        merchant=CLEAN,
        store=StoreFaults(),
        crash_steps=0,
        clock_jump_s=0.0,
        live_orders=10,
        daily_limit_fen=100_000,
    )
    simulation = Simulation(calm)
    simulation.play()
    yield simulation
    simulation.close()


def judge(sound: Simulation, doctor: Doctor) -> list[Violation]:
    """What the checker says once ``doctor`` has been at a copy of it."""
    histories = copy.deepcopy(sound.scene.histories)
    connection = sqlite3.connect(":memory:", isolation_level=None)
    sound.connection.backup(connection)
    triggers = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
    for (name,) in triggers.fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    try:
        doctor(histories, connection)
        return Checker(histories, connection).run()
    finally:
        connection.close()


def paid_sale(histories: Histories) -> Sale:
    return next(sale for sale in histories.sales if sale.approved)


def paid_order(histories: Histories) -> Order:
    """One that stayed paid, without refunds, and with a ``notify_url``."""
    return next(
        order
        for order in histories.orders
        if order.notify_url
        and not order.refunds
        and not order.cancels
        and order.seen
        and order.seen[-1].body["status"] == "succeeded"
    )


def told(histories: Histories) -> Notification:
    number = paid_order(histories).seen[-1].body["id"]
    about = (one for one in histories.notifications if "payment" in one.body)
    return next(one for one in about if one.body["payment"]["id"] == number)


def capture_lost(histories: Histories, connection: sqlite3.Connection) -> None:
    connection.execute(
        "DELETE FROM postings WHERE payment_id = (SELECT id FROM payments WHERE order_key = ?)",
        (paid_sale(histories).order_key,),
    )


def captured_twice(histories: Histories, connection: sqlite3.Connection) -> None:
    connection.execute(
        "INSERT INTO postings (payment_id, sequence, line, account, amount_fen, currency, at_ms,"
        " entry) SELECT payment_id, sequence, line + 2, account, amount_fen, currency, at_ms, entry"
        " FROM postings WHERE payment_id = (SELECT id FROM payments WHERE order_key = ?)",
        (paid_sale(histories).order_key,),
    )


def approval_undone_unasked(histories: Histories, connection: sqlite3.Connection) -> None:
    connection.execute(
        "UPDATE payments SET status = 'reversed' WHERE order_key = ?",
        (paid_sale(histories).order_key,),
    )


def unknown_charge(histories: Histories, _: sqlite3.Connection) -> None:
    charge = {"channel": "alipay", "order_no": "NOBODYS", "charged_fen": 1, "returned_fen": 0}
    histories.charges.append(charge)


def charged_twice(histories: Histories, _: sqlite3.Connection) -> None:
    histories.charges.append(
        dict(next(one for one in histories.charges if not one["returned_fen"]))
    )


def surplus_kept(histories: Histories, _: sqlite3.Connection) -> None:
    charge = next(one for one in histories.charges if one["returned_fen"])
    charge["returned_fen"] = 0


def never_final(histories: Histories, connection: sqlite3.Connection) -> None:
    connection.execute(
        "UPDATE payments SET status = 'unknown' WHERE order_key = ?",
        (paid_sale(histories).order_key,),
    )


def success_never_charged(histories: Histories, _: sqlite3.Connection) -> None:
    histories.charges.remove(next(one for one in histories.charges if not one["returned_fen"]))


def parked_unseen(histories: Histories, connection: sqlite3.Connection) -> None:
    connection.execute(
        "UPDATE payments SET parked_reason = 'amount_mismatch' WHERE order_key = ?",
        (paid_sale(histories).order_key,),
    )


def not_quiet(histories: Histories, _: sqlite3.Connection) -> None:
    histories.quiet = False


def refunded_beyond(_: Histories, connection: sqlite3.Connection) -> None:
    connection.execute(
        "UPDATE refunds SET amount_fen = amount_fen + 1000000 WHERE status = 'succeeded'"
    )


def reserved_beyond(_: Histories, connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE payments SET refunding_fen = captured_fen + 1")


def one_sided(_: Histories, connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM postings WHERE line = 1")


def ledger_rewritten(histories: Histories, _: sqlite3.Connection) -> None:
    line = histories.snapshots[-1][0]
    histories.snapshots[-1][0] = (*line[:-1], line[-1] + 1)


def illegal_move(_: Histories, connection: sqlite3.Connection) -> None:
    connection.execute(
        "UPDATE payment_events SET event = 'submit' WHERE event = 'paid' AND status = 'succeeded'"
    )


def history_with_a_gap(_: Histories, connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM payment_events WHERE sequence = 1")


def shown_going_back(histories: Histories, _: sqlite3.Connection) -> None:
    order = paid_order(histories)
    seen = copy.deepcopy(order.seen[-1])
    seen.asked_at_s, seen.at_s = seen.at_s + 1, seen.at_s + 2
    seen.body["status"] = "pending"
    order.seen.append(seen)


def answered_differently(histories: Histories, _: sqlite3.Connection) -> None:
    sale = paid_sale(histories)
    sale.replies.append(replace(sale.replies[-1], payload=b"another"))


def conflict_approved(histories: Histories, _: sqlite3.Connection) -> None:
    sale = paid_sale(histories)
    sale.conflict_replies.append(replace(sale.replies[-1], response_code="00"))


def two_payments(histories: Histories, _: sqlite3.Connection) -> None:
    order = paid_order(histories)
    seen = copy.deepcopy(order.seen[-1])
    seen.body["id"] = "pay_another"
    order.seen.append(seen)


def never_told(histories: Histories, _: sqlite3.Connection) -> None:
    histories.notifications.remove(told(histories))


def told_unsigned(histories: Histories, _: sqlite3.Connection) -> None:
    told(histories).signed = False


def told_something_else(histories: Histories, _: sqlite3.Connection) -> None:
    histories.notifications.append(copy.deepcopy(told(histories)))
    histories.notifications[-1].body["type"] = "payment.closed"


def terminal_disagrees(histories: Histories, _: sqlite3.Connection) -> None:
    next(sale for sale in histories.sales if not sale.approved).approved = True


def sent_twice(histories: Histories, _: sqlite3.Connection) -> None:
    histories.calls.append(next(call for call in histories.calls if call.kind == "pay"))


def paid_after_its_undo(histories: Histories, _: sqlite3.Connection) -> None:
    pay = next(call for call in histories.calls if call.kind == "pay")
    histories.calls.append(replace(pay, kind="cancel", at_s=pay.at_s - 1))


def two_workers(histories: Histories, _: sqlite3.Connection) -> None:
    number = paid_order(histories).seen[-1].body["channel_order_no"]
    for at_s in range(1000, 1020):
        histories.calls.append(Call(at_s, 10_000 + at_s % 2, "query", number))


def paid_twice(_: Histories, connection: sqlite3.Connection) -> None:
    """Another attempt of an order that stays paid stands as well."""
    connection.execute(
        "UPDATE payments SET status = 'succeeded' WHERE door = 'checkout' AND id = ("
        " SELECT min(other.id) FROM payments other JOIN payments base"
        " ON other.id LIKE base.id || '-%' WHERE base.method = 'qr'"
        " AND base.status = 'succeeded' AND other.status = 'reversed')"
    )


def second_kept(histories: Histories, connection: sqlite3.Connection) -> None:
    """The channel kept what another wallet had paid of an order."""
    numbers = {
        row[0]
        for row in connection.execute(
            "SELECT channel_order_no FROM payments WHERE door = 'checkout' AND status = 'reversed'"
        )
    }
    charge = next(one for one in histories.charges if one["order_no"] in numbers)
    charge["returned_fen"] = 0


def order_forgotten(_: Histories, connection: sqlite3.Connection) -> None:
    """An attempt is paid, and its order is not."""
    connection.execute(
        "UPDATE payments SET status = 'closed' WHERE method = 'qr' AND status = 'succeeded'"
    )


def day_too_big(histories: Histories, _: sqlite3.Connection) -> None:
    histories.daily_limit_fen = 1


DOCTORED: list[tuple[str, Doctor]] = [
    ("I1", capture_lost),
    ("I1", approval_undone_unasked),
    ("I2", unknown_charge),
    ("I2", charged_twice),
    ("I2", surplus_kept),
    ("I2", sent_twice),
    ("I2", paid_after_its_undo),
    ("I2", two_workers),
    ("I2", paid_twice),
    ("I2", second_kept),
    ("I1", order_forgotten),
    ("I2", day_too_big),
    ("I3", never_final),
    ("I3", success_never_charged),
    ("I3", parked_unseen),
    ("I3", not_quiet),
    ("I4", refunded_beyond),
    ("I4", reserved_beyond),
    ("I5", captured_twice),
    ("I5", one_sided),
    ("I5", ledger_rewritten),
    ("I6", illegal_move),
    ("I6", history_with_a_gap),
    ("I6", shown_going_back),
    ("I7", answered_differently),
    ("I7", conflict_approved),
    ("I7", two_payments),
    ("I9", never_told),
    ("I9", told_unsigned),
    ("I9", told_something_else),
    ("I14", terminal_disagrees),
]


def test_the_checker_shares_no_code_with_the_product() -> None:
    folder = Path(__file__).parent
    for name in ("checker", "live_checks", "outside_checks", "books", "legal", "histories"):
        tree = ast.parse((folder / f"{name}.py").read_text())
        for node in ast.walk(tree):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [one.name for one in node.names] if isinstance(node, ast.Import) else []
            for module in modules:
                root = module.partition(".")[0]
                assert root in sys.stdlib_module_names or module in SHARED, f"{name}: {module}"


def test_a_sound_history_passes(sound: Simulation) -> None:
    assert judge(sound, lambda _histories, _connection: None) == []


@pytest.mark.parametrize(
    ("invariant", "doctor"), DOCTORED, ids=[doctor.__name__ for _, doctor in DOCTORED]
)
def test_a_broken_invariant_is_reported(sound: Simulation, invariant: str, doctor: Doctor) -> None:
    reported = {violation.invariant for violation in judge(sound, doctor)}
    assert invariant in reported
