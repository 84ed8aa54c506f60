"""The engine says exactly what the pure rules say, whatever it is given."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from channels.bill_rows import BILL_SCHEMA
from channels.bills import BillKind, BillRefused
from reconciliation import engine as engine_module
from reconciliation import engine_rows
from reconciliation.engine import Engine, EngineBounds
from reconciliation.entries import Ours, OurState, Pool, Side, Theirs, Waiting
from reconciliation.match import Matched, Rules, match
from reconciliation.rates import ChannelRate
from reconciliation.rows import OURS_SCHEMA
from tests.reconciliation.nights import DAY, RULES, day, key, ours, settled, theirs

RATE = ChannelRate(rate_ppm=6000)
numbers = st.sampled_from(["A", "B", "C", "D", "E", "F"])
refunds = st.sampled_from(["", "", "R1", "R2"])
amounts = st.sampled_from([1, 999, 1000, 1000, 1000])
fees = st.sampled_from([0, 6000, 6000, 6500, 6501])
days = st.integers(-4, 1)

our_entries = st.builds(
    lambda number, refund, fen, state, on: ours(number, refund, fen=fen, state=state, on=on),
    numbers, refunds, amounts, st.sampled_from([OurState.DONE, OurState.DONE, *OurState]), days,
)  # fmt: skip
bill_lines = st.builds(
    lambda number, refund, fen, fee_mfen: theirs(number, refund, fen=fen, fee_mfen=fee_mfen),
    numbers, refunds, amounts, fees,
)  # fmt: skip
old_lines = st.builds(
    lambda line, on, place: replace(line, day=day(on), line=place),
    bill_lines, st.integers(-3, -1), st.integers(1, 9),
)  # fmt: skip
waiting = st.builds(
    lambda side, number, refund, on: Waiting(side=side, key=key(number, refund), first_day=day(on)),
    st.sampled_from(list(Side)), numbers, refunds, st.integers(-31, -1),
)  # fmt: skip


def bill_batch(lines: list[Theirs]) -> Iterator[pa.RecordBatch]:
    """The lines as a bill's reader delivers them."""
    columns: list[list[Any]] = [
        [line.key.kind.value for line in lines],
        [line.key.order_no for line in lines],
        [line.key.refund_no for line in lines],
        [line.trade_no for line in lines],
        ["" for _ in lines],
        [line.amount_fen for line in lines],
        [line.fee_mfen for line in lines],
        [line.currency for line in lines],
        [0 for _ in lines],
        [line.line for line in lines],
    ]
    named = dict(zip(BILL_SCHEMA.names, columns, strict=True))
    yield pa.RecordBatch.from_pydict(named, schema=BILL_SCHEMA)


def ours_batch(entries: list[Ours]) -> Iterator[pa.RecordBatch]:
    """The entries as the store delivers them."""
    columns: list[list[Any]] = [
        [one.key.kind.value for one in entries],
        [one.key.order_no for one in entries],
        [one.key.refund_no for one in entries],
        [one.state.value for one in entries],
        [one.amount_fen for one in entries],
        [one.currency for one in entries],
        [one.day for one in entries],
        [one.subject for one in entries],
        *([""] * len(entries) for _ in range(4)),
        [0 for _ in entries],
        [""] * len(entries),
    ]
    named = dict(zip(OURS_SCHEMA.names, columns, strict=True))
    yield pa.RecordBatch.from_pydict(named, schema=OURS_SCHEMA)


def by_engine(
    entries: list[Ours], bill: list[Theirs], pool: Pool, rules: Rules, rate: ChannelRate | None
) -> Matched:
    """The night as the engine sees it."""
    with (
        TemporaryDirectory() as folder,
        Engine(Path(folder) / "night.duckdb", EngineBounds(memory_mb=256, threads=1)) as engine,
    ):
        engine.load_bill(bill_batch(bill))
        engine.load_ours(ours_batch(entries))
        return settled(engine, DAY, pool, rules, rate)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(our_entries, max_size=8, unique_by=lambda one: one.key),
    st.lists(bill_lines, max_size=10),
    st.lists(waiting, max_size=4, unique_by=lambda one: one.key),
    st.lists(old_lines, max_size=4, unique_by=lambda one: (one.key, one.day, one.line)),
    st.integers(0, 3),
    st.sampled_from([None, RATE]),
    st.sampled_from([date.min, day(-2), DAY]),
)
def test_the_engine_is_equal_to_the_rules(
    entries: list[Ours],
    bill: list[Theirs],
    kept_ours: list[Waiting],
    kept_theirs: list[Theirs],
    carry_days: int,
    rate: ChannelRate | None,
    since: date,
) -> None:
    bill = [replace(line, line=place) for place, line in enumerate(bill, 1)]
    pool = Pool(ours=frozenset(kept_ours), theirs=frozenset(kept_theirs))
    rules = replace(RULES, carry_days=carry_days, since=since)
    known = entries
    if rate is not None:
        known = [replace(one, fee_mfen=rate.fee_mfen(one.amount_fen)) for one in entries]
    assert by_engine(entries, bill, pool, rules, rate) == match(DAY, known, bill, pool, rules)


def test_orders_are_handed_to_the_rules_in_parts_of_a_bounded_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More odd orders than one part takes come to the same."""
    monkeypatch.setattr(engine_module, "_ORDERS_AT_ONCE", 3)
    entries = [ours(f"N{number}") for number in range(20)]
    bill = [theirs(f"N{number}", fen=999, line=number) for number in range(20)]
    assert by_engine(entries, bill, Pool(), RULES, None) == match(DAY, entries, bill, Pool(), RULES)


def test_what_plainly_agrees_never_reaches_the_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bulk is matched in the database: only what is odd becomes a Python object."""
    seen: list[str] = []

    def watched(on: date, mine, lines, pool: Pool, rules: Rules) -> Matched:  # type: ignore[no-untyped-def]
        mine = list(mine)
        seen.extend(one.key.order_no for one in mine)
        return match(on, mine, lines, pool, rules)

    monkeypatch.setattr(engine_module, "match", watched)
    entries = [ours(f"N{number}") for number in range(50)]
    bill = [theirs(f"N{number}", line=number) for number in range(49)]
    found = by_engine(entries, bill, Pool(), RULES, None)
    assert (seen, found.pairs) == (["N49"], 49)


def test_a_line_of_each_kind_is_told_from_the_other() -> None:
    """A payment and a refund of one order are two keys."""
    entries = [ours("A"), ours("A", "R1", fen=10)]
    bill = [theirs("A", line=1), theirs("A", "R1", fen=10, line=2)]
    assert by_engine(entries, bill, Pool(), RULES, None).pairs == 2
    assert {BillKind.PAYMENT, BillKind.REFUND} == {line.key.kind for line in bill}


def test_both_sides_are_loaded_at_once_and_the_bills_fault_is_told_first(tmp_path: Path) -> None:
    """Beside each other it is what it is in turn; of two faults the bill's is the night's."""
    bill, entries = [theirs("A"), theirs("B", line=2)], [ours("A"), ours("C")]

    def broken(why: str) -> Iterator[pa.RecordBatch]:
        yield from ()
        raise BillRefused("bill.csv", 7, why)

    with Engine(tmp_path / "one.duckdb", EngineBounds(memory_mb=256, threads=2)) as engine:
        engine.load_both(
            lambda: engine.load_bill(bill_batch(bill)),
            lambda: engine.load_ours(ours_batch(entries)),
        )
        assert settled(engine, DAY, Pool(), RULES) == match(DAY, entries, bill, Pool(), RULES)
    with Engine(tmp_path / "two.duckdb", EngineBounds(memory_mb=256, threads=2)) as engine:
        for first, why in (("bill", "bill"), ("", "ours")):
            with pytest.raises(BillRefused, match=why):
                engine.load_both(
                    partial(engine.load_bill, broken(first) if first else ()),
                    lambda: engine.load_ours(broken("ours")),
                )


def test_what_waits_goes_in_and_out_in_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bill that names nothing of a day leaves all of it to wait, in pages of bounded size."""
    monkeypatch.setattr(engine_rows, "PAGE", 3)
    monkeypatch.setattr(engine_module, "_ORDERS_AT_ONCE", 4)
    entries = [ours(f"N{number}") for number in range(20)]
    lines = [theirs(f"X{number}", line=number) for number in range(10)]
    with Engine(tmp_path / "one.duckdb", EngineBounds(memory_mb=256, threads=1)) as engine:
        engine.load_bill(bill_batch(lines))
        engine.load_ours(ours_batch(entries))
        found = engine.settle(DAY, RULES)
        pages = list(engine.kept())
    assert found.waiting == 30
    assert [len(page.ours) + len(page.theirs) for page in pages] == [3] * 6 + [2] + [3] * 3 + [1]
    whole = match(DAY, entries, lines, Pool(), RULES).pool
    assert frozenset().union(*(page.ours for page in pages)) == whole.ours
    assert frozenset().union(*(page.theirs for page in pages)) == whole.theirs
