"""Settlement and upload, rule by rule: what is told, what is stored, when a batch is over."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from domain.payment import Status
from domain.refund import RefundStatus
from gateway.pos import batches as batches_module
from gateway.pos.batches import SETTLEMENTS_MAX
from gateway.pos.translate import RefusedError
from gateway.store.batch_records import Batch, BatchDifference, BatchState, DifferenceKind
from gateway.store.port import Store
from pos_protocol import asks, management_asks
from pos_protocol.asks import Ask
from pos_protocol.card import chip_card, magnetic_card
from pos_protocol.fields.totals import ClassTotals, SettlementTotals, TotalsResult, parse_totals
from pos_protocol.fields.upload import ChipLine, UploadLine
from pos_protocol.transactions import TransactionKind, row_of
from tests.gateway.pos.settling import OTHER_PAN, PAN, Sold, Till

_K = DifferenceKind


@pytest.fixture
async def till(store: Store) -> AsyncIterator[Till]:
    """A signed-in terminal in batch 1."""
    opened = Till(store)
    await opened.open()
    yield opened


async def sell(till: Till, trace: int, amount_fen: int = 1990, **more: str) -> Sold:
    """A sale that both sides have."""
    sold = Sold(trace=f"{trace:06d}", amount_fen=amount_fen, **more)  # type: ignore[arg-type]
    await till.books.payment(till.batch, sold.trace, amount_fen, pan=sold.pan)
    till.log_of_batch.append(sold)
    return sold


def line_of(sold: Sold) -> Ask:
    """Its line in an upload."""
    return management_asks.upload_lines(
        [UploadLine(trace=sold.trace, pan=sold.pan, amount_fen=sold.amount_fen)]
    )


async def stored(till: Till) -> Batch:
    """The terminal's batch, settled."""
    batch = await till.store.batch(till.key)
    assert batch is not None
    return batch


async def code_of(till: Till, ask: Ask) -> str:
    """The F39 that a message is refused with."""
    with pytest.raises(RefusedError) as caught:
        await till.say(ask)
    return caught.value.response_code


async def test_equal_totals_are_flag_1_and_close_the_batch(till: Till) -> None:
    await sell(till, 1, 1990)
    await till.books.refund(till.batch, "000002", 500)
    till.log_of_batch.append(Sold(trace="000002", amount_fen=500, is_credit=True))
    answer = await till.settle()
    sums = ClassTotals(debit_fen=1990, debit_count=1, credit_fen=500, credit_count=1)
    equal = TotalsResult.EQUAL
    assert answer == SettlementTotals(replace(sums, result=equal), ClassTotals(result=equal))
    batch = await stored(till)
    assert (batch.state, batch.totals_agree, batch.closed_at_ms > 0) == (
        BatchState.CLOSED,
        True,
        True,
    )
    assert await till.differences(till.key) == []


async def test_an_empty_batch_is_equal(till: Till) -> None:
    assert (await till.settle()).are_equal


async def test_the_answer_has_the_fields_of_a_settlement(till: Till) -> None:
    """And no F39 (reference §3)."""
    answer = await till.say(management_asks.settlement(till.totals(), "01 "))
    assert sorted(answer.fields) == [11, 12, 13, 15, 32, 37, 41, 42, 48, 49, 60, 63]


async def test_other_totals_are_flag_2_with_the_hosts_own(till: Till) -> None:
    await sell(till, 1, 1990)
    said = SettlementTotals(ClassTotals(debit_fen=1991, debit_count=1), ClassTotals(debit_fen=7))
    answer = await till.settle(said)
    assert (answer.domestic.debit_fen, answer.domestic.result) == (1990, TotalsResult.DIFFERENT)
    assert (answer.foreign.debit_fen, answer.foreign.result) == (0, TotalsResult.DIFFERENT)
    assert (await stored(till)).state is BatchState.UPLOADING
    [found] = await till.differences(till.key)
    assert (found.kind, found.trace) == (_K.TOTALS_DIFFER, "")
    assert (found.terminal_fen, found.host_fen) == (1998, 1990)


async def test_one_half_may_agree_without_the_other(till: Till) -> None:
    await sell(till, 1, 1990)
    answer = await till.settle(SettlementTotals(ClassTotals(), ClassTotals()))
    results = (answer.domestic.result, answer.foreign.result)
    assert results == (TotalsResult.DIFFERENT, TotalsResult.EQUAL)


@pytest.mark.parametrize(
    "status",
    [Status.SUBMITTED, Status.UNKNOWN, Status.REVERSING, Status.REVERSED, Status.CLOSED,
     Status.FAILED, Status.AUTHORIZED],
)  # fmt: skip
async def test_only_money_that_stands_is_a_debit(till: Till, status: Status) -> None:
    """Neither what was reversed nor what nobody knows yet, nor a hold."""
    await till.books.payment(till.batch, "000001", 1990, status=status)
    assert (await till.settle()).are_equal


async def test_a_parked_payment_is_in_neither_and_a_difference(till: Till) -> None:
    """The terminal was told yes by a host that it did not hear rightly, say."""
    of = await till.books.payment(
        till.batch, "000001", 1990, status=Status.UNKNOWN, parked="amount_mismatch"
    )
    sold = Sold(trace="000001", amount_fen=1990)
    till.log_of_batch.append(sold)
    assert not (await till.settle()).are_equal
    await till.say(line_of(sold))
    await till.end(1, everything=True)
    found = [d for d in await till.differences(till.key) if d.trace]
    assert [(d.kind, d.payment_id) for d in found] == [(_K.ONLY_TERMINAL, of)]


async def test_a_refund_counts_until_it_fails(till: Till) -> None:
    await till.books.refund(till.batch, "000001", 100, status=RefundStatus.FAILED)
    await till.books.refund(till.batch, "000002", 200, status=RefundStatus.UNKNOWN)
    await till.books.refund(till.batch, "000003", 300, status=RefundStatus.SUCCEEDED)
    answer = await till.settle()
    assert (answer.domestic.credit_fen, answer.domestic.credit_count) == (500, 2)


async def test_a_repeat_gets_the_judgement_that_was_stored(till: Till) -> None:
    """Although a payment has ended since."""
    await sell(till, 1)
    first = await till.settle()
    await till.books.payment(till.batch, "000002", 5)
    assert await till.settle() == first
    assert (await stored(till)).version == 1


async def test_other_totals_of_the_same_batch_are_judged_anew(till: Till) -> None:
    """It sold on without having heard the answer; what differed before is history."""
    await till.books.payment(till.batch, "000001", 1990)
    assert not (await till.settle()).are_equal
    assert [d.kind for d in await till.differences(till.key)] == [_K.TOTALS_DIFFER]
    till.log_of_batch.append(Sold(trace="000001", amount_fen=1990))
    assert (await till.settle()).are_equal
    batch = await stored(till)
    assert (batch.settlement_no, batch.state) == (2, BatchState.CLOSED)
    assert await till.differences(till.key) == []


async def test_more_than_the_wire_can_count_is_told_as_the_most_it_can(till: Till) -> None:
    """No exception, and never equal; what is stored is the truth."""
    for trace in (1, 2):
        await till.books.payment(till.batch, f"{trace:06d}", 10**12 - 1)
    most = SettlementTotals(ClassTotals(debit_fen=10**12 - 1, debit_count=2))
    answer = await till.settle(most)
    assert answer.domestic == replace(most.domestic, result=TotalsResult.DIFFERENT)
    assert (await stored(till)).host.domestic.debit_fen == 2 * (10**12 - 1)


async def test_more_than_999_of_a_kind_are_told_as_999(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    await till.books.payment(till.batch, "000001", 10)
    [entry] = await till.store.batch_payments(till.key, "", 10)

    async def many(*_: object) -> list[object]:
        return [replace(entry, trace=f"{n:06d}") for n in range(1001)] if not asked.pop() else []

    asked = [True, True, False]
    monkeypatch.setattr(till.store, "batch_payments", many)
    answer = await till.settle(SettlementTotals(ClassTotals(debit_fen=10_010, debit_count=999)))
    assert (answer.domestic.debit_count, answer.domestic.debit_fen) == (999, 10_010)
    assert answer.domestic.result is TotalsResult.DIFFERENT


@pytest.mark.parametrize("field_48", ["", "0" * 61, "0" * 61 + "4", "0" * 63])
async def test_totals_that_are_none_are_30(till: Till, field_48: str) -> None:
    row = row_of(TransactionKind.SETTLEMENT)
    ask = Ask(row=row, fields={48: field_48, 49: "156", 63: "01 "})
    assert await code_of(till, ask) == "30"
    assert await till.store.batch(till.key) is None


@pytest.mark.parametrize(
    ("management", "fields"),
    [("201", {48: "01"}), ("201", {48: "09" + "0" * 320}), ("203", {62: b"99"})],
)
async def test_a_line_that_is_none_is_30(
    till: Till, management: str, fields: dict[int, str | bytes]
) -> None:
    await till.settle()
    row = row_of(TransactionKind.UPLOAD, management)
    assert await code_of(till, Ask(row=row, fields=fields)) == "30"
    assert await till.store.batch_line_count(till.key) == 0


async def test_an_end_without_a_count_is_30(till: Till) -> None:
    await till.settle()
    row = row_of(TransactionKind.UPLOAD_END, "202")
    assert await code_of(till, Ask(row=row, fields={48: "12"})) == "30"
    assert (await stored(till)).upload_expected is None


async def test_a_batch_that_was_never_settled_takes_no_upload(till: Till) -> None:
    sold = await sell(till, 1)
    assert await code_of(till, line_of(sold)) == "77"
    assert await code_of(till, management_asks.upload_end(0, totals_agreed=True)) == "77"


async def test_the_answer_to_lines_repeats_them(till: Till) -> None:
    """F48, and 00 in F39."""
    sold = await sell(till, 1)
    await till.settle()
    ask = line_of(sold)
    answer = await till.say(ask)
    assert (answer.mti, answer.text(39), answer.text(48)) == ("0330", "00", ask.fields[48])


async def test_after_equal_totals_only_what_was_uploaded_is_compared(till: Till) -> None:
    """A chip line with another card, and a magnetic sale that nobody asked for."""
    await sell(till, 1)
    await till.books.payment(till.batch, "000002", 70, pan=PAN)
    till.log_of_batch.append(Sold(trace="000002", amount_fen=70, pan=OTHER_PAN, is_chip=True))
    assert (await till.settle()).are_equal
    for ask in till.uploads(everything=False):
        await till.say(ask)
    await till.end(1, everything=False)
    found = await till.differences(till.key)
    assert [(d.kind, d.trace) for d in found] == [(_K.CARD_DIFFERS, "000002")]
    assert till.said("batch differs")[0]["differences"] == 1


async def test_lines_that_did_not_come_are_a_difference_of_the_count(till: Till) -> None:
    sold = await sell(till, 1)
    await till.settle(SettlementTotals())
    await till.say(line_of(sold))
    assert (await till.end(2, everything=True)).text(39) == "00"
    batch = await stored(till)
    assert (batch.upload_expected, batch.uploaded) == (2, 1)
    kinds = [d.kind for d in await till.differences(till.key)]
    assert kinds == [_K.COUNT_DIFFERS, _K.TOTALS_DIFFER]


async def test_an_attempt_that_failed_is_a_line_and_no_difference(till: Till) -> None:
    await till.settle(SettlementTotals(ClassTotals(debit_fen=1)))
    failed = ChipLine(amount_fen=900, has_failed=True, is_foreign=True)
    card = chip_card(PAN, "3012", b"")
    await till.say(management_asks.upload_chip(card, "000009", failed, totals_agreed=False))
    await till.end(1, everything=True)
    assert [d.kind for d in await till.differences(till.key)] == [_K.TOTALS_DIFFER]
    [line] = await till.store.batch_lines(till.key, "", 10)
    assert (line.management, line.has_failed, line.is_foreign) == ("206", True, True)


async def test_an_advice_that_comes_again_is_a_line(till: Till) -> None:
    """0320 with 60.3 = 000: it moves no money, and is compared like any other."""
    card = magnetic_card(PAN, "9900001234567899=30121010000000000000")
    advice = till.counter.terminal.ask(asks.offline_sale(card, 4500))
    of = await till.books.payment(till.batch, advice.trace, 4500)
    await till.settle()
    answer = await till.say(management_asks.notice_upload(advice))
    assert (answer.mti, answer.text(39)) == ("0330", "00")
    await till.end(1, everything=True)
    assert [d.payment_id for d in await till.differences(till.key) if d.trace] == []
    [line] = await till.store.batch_lines(till.key, "", 10)
    assert (line.trace, line.management, line.amount_fen) == (advice.trace, "000", 4500)
    assert line.pan_token == till.counter.sealer.token(PAN.encode())
    assert of


async def test_a_trace_that_comes_with_other_words_stays_as_it_came(till: Till) -> None:
    sold = await sell(till, 1, 1990)
    await till.settle(SettlementTotals())
    await till.say(line_of(sold))
    await till.say(line_of(replace(sold, amount_fen=1)))
    [line] = await till.store.batch_lines(till.key, "", 10)
    assert line.amount_fen == 1990


async def test_a_batch_has_a_bounded_number_of_lines(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches_module, "LINES_MAX", 2)
    await till.settle()
    lines = [Sold(trace=f"{trace:06d}", amount_fen=1) for trace in (1, 2, 3)]
    for sold in lines[:2]:
        await till.say(line_of(sold))
    assert await code_of(till, line_of(lines[2])) == "30"
    assert await till.store.batch_line_count(till.key) == 2


async def test_no_card_number_rests_in_clear(till: Till, tmp_path: Path) -> None:
    """Of a line's card only a keyed token is in the database."""
    for pan in (PAN, OTHER_PAN):
        await till.settle(SettlementTotals(ClassTotals(debit_fen=1)))
        await till.say(line_of(Sold(trace=pan[-6:], amount_fen=1, pan=pan)))
    await till.end(2, everything=True)
    files = [path.read_bytes() for path in tmp_path.glob("store.db*")]
    assert files
    assert not any(pan.encode() in file for file in files for pan in (PAN, OTHER_PAN))
    assert PAN not in str(till.capture.entries)


async def sale_in(till: Till, batch: int) -> str:
    """Let a sale of ``batch`` in: the batch that the session is in then."""
    till.counter.terminal.batch = f"{batch:06d}"
    card = magnetic_card(PAN, "9900001234567899=30121010000000000000")
    exchange = await till.let_in(asks.sale(card, 100))
    assert exchange.known.session == await till.session()
    return f"{(await till.session()).batch_no}"


async def test_the_next_batch_is_let_in_once_this_one_is_settled(till: Till) -> None:
    """A terminal that counts for itself is followed, by one batch and no more."""
    for batch in (2, 3, 999_999):
        with pytest.raises(RefusedError):
            await sale_in(till, batch)
    till.counter.terminal.batch = "000001"
    await till.settle(SettlementTotals(ClassTotals(debit_fen=1)))
    assert await sale_in(till, 1) == "1"
    assert await sale_in(till, 2) == "2"
    for batch in (1, 3):
        with pytest.raises(RefusedError):
            await sale_in(till, batch)
    left = await till.store.batch(till.key._replace(batch_no=1))
    assert left is not None
    assert (left.state, left.upload_expected) == (BatchState.CLOSED, None)


async def test_after_the_last_batch_comes_the_first(till: Till) -> None:
    session = await till.session()
    assert await till.store.save_session(replace(session, version=2, batch_no=999_999))
    till.counter.terminal.batch = "999999"
    await till.settle()
    await till.end(0, everything=False)
    assert (await till.end(0, everything=False)).text(39) == "00"
    till.next_batch()
    assert till.batch == "000001"
    await till.first_sale()
    assert (await till.session()).batch_no == 1
    await till.settle()


async def test_a_settlement_is_repeated_after_the_terminal_was_moved_on(till: Till) -> None:
    """Its answer was lost, and another process took the end of the upload, say."""
    first = await till.settle()
    await till.end(0, everything=False)
    till.next_batch()
    await till.first_sale()
    till.counter.terminal.batch = "000001"
    assert await till.settle() == first
    assert (await till.end(0, everything=False)).text(39) == "00"
    other = SettlementTotals(ClassTotals(debit_fen=5, debit_count=1))
    assert await code_of(till, management_asks.settlement(other, "01 ")) == "77"
    assert (await till.session()).batch_no == 2


async def test_an_upload_under_the_next_number_is_of_the_batch_before(till: Till) -> None:
    """The terminal was given its next number in the middle."""
    sold, key = await sell(till, 1), till.key
    await till.settle(SettlementTotals())
    till.next_batch()
    await till.say(line_of(sold))
    assert (await till.end(1, everything=True)).text(39) == "00"
    assert [d.kind for d in await till.differences(key)] == [_K.TOTALS_DIFFER]
    assert (await till.session()).batch_no == 1


async def test_nobody_walks_a_terminal_through_its_batches_without_its_mac(till: Till) -> None:
    """Whoever reads a terminal's number may settle and end its batch, and no more."""
    till.next_batch()
    for _ in range(3):
        till.counter.terminal.batch = f"{(await till.session()).batch_no:06d}"
        await till.settle(SettlementTotals(ClassTotals(debit_fen=7)))
        await till.end(0, everything=True)
        till.next_batch()
        assert await code_of(till, management_asks.settlement(SettlementTotals(), "01 ")) == "77"
    assert (await till.session()).batch_no == 1


async def test_a_batch_is_judged_only_so_often(till: Till) -> None:
    for fen in range(1, SETTLEMENTS_MAX + 1):
        await till.settle(SettlementTotals(ClassTotals(debit_fen=fen)))
    other = SettlementTotals(ClassTotals(debit_fen=999))
    assert await code_of(till, management_asks.settlement(other, "01 ")) == "77"


async def test_the_end_of_an_upload_is_repeated_without_effect(till: Till) -> None:
    """What was sold since is none of its batch's comparison."""
    await till.settle(SettlementTotals(ClassTotals(debit_fen=1)))
    await till.end(0, everything=True)
    await till.books.payment(till.batch, "000001", 1990)
    before = await till.differences(till.key)
    assert (await till.end(0, everything=True)).text(39) == "00"
    assert await till.differences(till.key) == before


async def test_a_sign_out_after_a_settlement_leads_to_the_next_batch(till: Till) -> None:
    session = await till.session()
    assert await till.order.batch_at_sign_out(session) == 1
    await till.settle(SettlementTotals(ClassTotals(debit_fen=1)))
    assert await till.order.batch_at_sign_out(session) == 2
    assert (await stored(till)).state is BatchState.CLOSED


async def test_a_sign_in_waits_for_an_upload_but_not_for_ever(till: Till) -> None:
    """In the middle of an upload the number stays; an hour later nobody is uploading."""
    session = await till.session()
    assert await till.order.batch_at_sign_in(session) == 1
    await till.settle(SettlementTotals(ClassTotals(debit_fen=1)))
    assert await till.order.batch_at_sign_in(session) == 1
    batch = await stored(till)
    old = replace(batch, version=2, settled_at_ms=batch.settled_at_ms - 3_700_000)
    assert await till.store.save_batch(old)
    assert await till.order.batch_at_sign_in(session) == 2
    assert (await stored(till)).state is BatchState.CLOSED


async def test_a_sign_in_after_equal_totals_is_to_the_next_batch(till: Till) -> None:
    await till.settle()
    assert await till.order.batch_at_sign_in(await till.session()) == 2


async def test_a_batch_that_is_no_number_is_refused(till: Till) -> None:
    """Some terminals send letters there (reference §2)."""
    till.counter.terminal.batch = "00000A"
    assert await code_of(till, management_asks.settlement(till.totals(), "01 ")) == "77"


async def test_two_processes_settle_a_batch_once(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second finds it judged while it was adding up."""
    await sell(till, 1)
    save = till.store.save_batch
    overtaking = [True]

    async def overtaken(batch: Batch, differences: Sequence[BatchDifference] = ()) -> bool:
        if overtaking:
            overtaking.clear()
            assert await save(replace(batch, settled_at_ms=1))
        return await save(batch, differences)

    monkeypatch.setattr(till.store, "save_batch", overtaken)
    assert (await till.settle()).are_equal
    batch = await stored(till)
    assert (batch.version, batch.settled_at_ms) == (1, 1)


async def test_f48_of_the_answer_can_be_read_by_any_terminal(till: Till) -> None:
    """62 digits, whatever the host holds."""
    await sell(till, 1)
    answer = await till.say(management_asks.settlement(till.totals(), "01 "))
    assert len(answer.text(48)) == 62
    assert parse_totals(answer.text(48)).are_equal


# --- card classes


async def test_each_card_class_is_compared_by_itself(till: Till) -> None:
    """What the channel calls foreign is the second half of F48, debits and credits."""
    await sell(till, 1, 1_000)
    await till.books.payment(till.batch, "000002", 2_000, organisation="VIS")
    await till.books.payment(till.batch, "000003", 500, organisation="CUP")
    said = SettlementTotals(
        ClassTotals(debit_fen=1_500, debit_count=2), ClassTotals(debit_fen=2_000, debit_count=1)
    )
    answer = await till.settle(said)
    assert (answer.domestic.result, answer.foreign.result) == (TotalsResult.EQUAL,) * 2
    assert (await stored(till)).totals_agree


async def test_the_right_sum_in_the_wrong_class_differs(till: Till) -> None:
    """Both halves are told as the host has them, and the line shows why."""
    await till.books.payment(till.batch, "000001", 2_000, organisation="VIS")
    sold = Sold(trace="000001", amount_fen=2_000)
    till.log_of_batch.append(sold)
    answer = await till.settle()
    assert (answer.domestic.result, answer.foreign.result) == (TotalsResult.DIFFERENT,) * 2
    assert (answer.foreign.debit_fen, answer.domestic.debit_fen) == (2_000, 0)
    await till.say(line_of(sold))
    await till.end(1, everything=True)
    found = {one.kind for one in await till.differences(till.key)}
    assert found == {_K.TOTALS_DIFFER, _K.CLASS_DIFFERS}
