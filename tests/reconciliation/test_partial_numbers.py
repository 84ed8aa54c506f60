"""Lines that name their order in part, or a refund's payment not at all, find it in our books."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from channels.bill_rows import BILL_SCHEMA
from reconciliation.days import business_day
from reconciliation.differences import DifferenceKind
from reconciliation.engine import Engine, EngineBounds
from reconciliation.entries import Pool
from reconciliation.match import Matched
from reconciliation.orders import STORED_SCHEMA, entries_of
from reconciliation.partial_numbers import NEAR_MS
from sandbox.card_files import card_files
from tests.reconciliation.nights import DAY, RULES, settled
from tests.sandbox.test_card_files import TODAY, full_day, opened

NOON_MS = business_day("unionpay_card").start_ms(DAY) + 13 * 3_600_000
SALE = "99000099000001000007"
REFUND = "99000099000001000008"
PART, REFUND_PART = "99000099??????000007", "99000099??????000008"


def stored(order_no: str, refund_no: str = "", **changes: Any) -> dict[str, Any]:
    """A payment of ours that was captured, or a refund that was paid out."""
    row = {
        "kind": "refund" if refund_no else "payment", "order_no": order_no,
        "refund_no": refund_no, "status": "succeeded", "amount_fen": 1000,
        "captured_fen": 0 if refund_no else 1000, "currency": "CNY", "subject": order_no,
        "merchant_no": "m1", "store_id": "", "terminal_id": "", "method": "card",
        "made_at_ms": NOON_MS, "channel_at_ms": NOON_MS,
    }  # fmt: skip
    return row | changes


def line(number: int, order_no: str, refund_no: str = "", **changes: Any) -> dict[str, Any]:
    """A line of an acquirer's file."""
    row = {
        "kind": "refund" if refund_no else "payment", "order_no": order_no,
        "refund_no": refund_no, "trade_no": "", "status": "00", "amount_fen": 1000,
        "fee_mfen": 0, "currency": "CNY", "at_ms": NOON_MS, "line": number,
    }  # fmt: skip
    return row | changes


def rows(of: Sequence[dict[str, Any]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    if of:
        yield pa.RecordBatch.from_pylist(list(of), schema=schema)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "night.duckdb", EngineBounds(memory_mb=256, threads=1)) as made:
        yield made


def night(
    engine: Engine, ours: Sequence[dict[str, Any]], bill: Sequence[dict[str, Any]]
) -> Matched:
    kind = business_day("unionpay_card")
    engine.load_bill(rows(bill, BILL_SCHEMA))
    engine.load_ours(entries_of(batch, kind) for batch in rows(ours, STORED_SCHEMA))
    engine.complete_numbers()
    return settled(engine, DAY, Pool(), RULES)


def test_a_sale_is_found_by_terminal_and_trace(engine: Engine) -> None:
    ours = [stored(SALE), stored("99000099000001000009")]
    found = night(engine, ours, [line(1, PART), line(2, "99000099??????000009")])
    assert (found.pairs, list(found.differences)) == (2, [])
    assert engine.unknown_orders() == []


def test_a_refund_finds_its_payment_by_its_own_number(engine: Engine) -> None:
    """Whole or in part, whatever the line says of the payment."""
    other, third = "99000099000001000010", "99000099000001000011"
    ours = [stored(SALE), stored(SALE, REFUND), stored(SALE, other), stored(SALE, third)]
    bill = [
        line(1, SALE), line(2, "", REFUND), line(3, PART, other),
        line(4, "", "99000099??????000011"),
    ]  # fmt: skip
    found = night(engine, ours, bill)
    assert (found.pairs, list(found.differences)) == (4, [])


def test_a_trace_that_came_again_is_told_apart_by_its_time(engine: Engine) -> None:
    """The day before had the same trace, in its own batch."""
    before = stored("99000099000000000007", made_at_ms=NOON_MS - 2 * NEAR_MS)
    before["channel_at_ms"] = before["made_at_ms"]
    found = night(engine, [stored(SALE), before], [line(1, PART)])
    assert found.pairs == 1
    assert {one.key.order_no for one in found.pool.ours} == {before["order_no"]}


def test_two_that_fit_are_none(engine: Engine) -> None:
    ours = [stored(SALE), stored("99000099000002000007", made_at_ms=NOON_MS)]
    found = night(engine, ours, [line(1, PART)])
    assert found.pairs == 0
    assert {one.key.order_no for one in found.pool.theirs} == {PART}


def test_what_is_not_ours_stays_as_the_line_tells_it(engine: Engine) -> None:
    """Another terminal's, another time's, a refund that we know nothing of."""
    bill = [
        line(1, "99000098??????000007"),
        line(2, PART, at_ms=NOON_MS - NEAR_MS - 1),
        line(3, PART, REFUND_PART),
        line(4, "", "UNKNOWN"),
    ]
    found = night(engine, [stored(SALE)], bill)
    assert found.pairs == 0
    assert {(one.key.order_no, one.key.refund_no) for one in found.pool.theirs} == {
        ("99000098??????000007", ""), (PART, ""), (PART, REFUND_PART), ("", "UNKNOWN"),
    }  # fmt: skip
    assert engine.unknown_orders() == []  # no number that a store could be asked for


def test_a_whole_number_is_never_changed(engine: Engine) -> None:
    """A refund that the file books on another payment is a difference, not mended."""
    ours = [stored(SALE), stored(SALE, REFUND)]
    found = night(engine, ours, [line(1, SALE), line(2, "ANOTHER", REFUND)])
    assert found.pairs == 1
    assert {one.key.order_no for one in found.pool.theirs} == {"ANOTHER"}


@pytest.mark.parametrize("kind", ["acom", "acomn"])
def test_the_simulated_acquirers_file_agrees_with_what_was_sold(
    engine: Engine, tmp_path: Path, kind: str
) -> None:
    """Sales, a void, a refund, a reversal and a completion: nothing differs, in either file."""
    day = full_day()
    ours = []
    for made in day.made:
        if made.request.action.name == "AUTHORISE":
            continue
        changes: dict[str, Any] = {
            "amount_fen": made.request.amount_fen, "captured_fen": made.request.amount_fen,
            "status": "reversed" if made.undone else "succeeded",
            "made_at_ms": made.request.created_at_ms, "channel_at_ms": made.answer.paid_at_ms,
        }  # fmt: skip
        ours.append(stored(made.request.order_no, **changes))
    for one in day.state.books.returns():
        changes = {"amount_fen": one.amount_fen, "made_at_ms": one.at_ms, "channel_at_ms": 0}
        ours.append(stored(one.original_no, one.return_no, **changes))
    reader = opened(card_files(day.state, TODAY), kind, tmp_path)
    engine.load_bill(iter(reader))
    engine.load_ours(
        entries_of(batch, business_day("unionpay_card")) for batch in rows(ours, STORED_SCHEMA)
    )
    engine.complete_numbers()
    found = settled(engine, TODAY, Pool(), RULES)
    assert [one.kind for one in found.differences if one.kind is not DifferenceKind.LATE] == []
    assert (found.pairs, found.pool) == (5, Pool())
