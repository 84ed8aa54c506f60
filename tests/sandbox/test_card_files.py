"""The card host's files of a day, made from its own charges, are read back with equal totals."""

import subprocess
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.bill_rows import BillReader
from channels.bills import BillTotals
from channels.card import CardAction
from channels.unionpay.files import BILLS
from channels.unionpay.lzw import unpacked
from sandbox import control
from sandbox.card_books import CardBooks, CardOrder, OrderKind
from sandbox.card_files import card_files
from sandbox.card_files_site import PREFIX, handle
from sandbox.http_wire import HttpRequest
from sandbox.institution_file import interchange_fen, switch_fee_fen
from sandbox.merchant_file import fee_fen
from sandbox.unionpay_qr_books import clearing_day
from sandbox.unix_compress import compressed
from sandbox.world import World
from tests.sandbox.test_card_agreement import MERCHANT, NOON_MS, STEP, TERMINAL, Day, step

TODAY = clearing_day(NOON_MS)
Row = dict[str, Any]


def opened(files: dict[str, bytes], kind: str, folder: Path, day: date = TODAY) -> BillReader:
    """The reader of the one file of ``kind``; a merchant's zip holds two."""
    for name, content in files.items():
        path = folder / name
        path.write_bytes(content)
        is_zip = name.endswith(".zip")
        if kind in (("zm", "zme") if is_zip else (BILLS.kind_of(path),)):
            return BILLS.open(kind, path, day)
    raise LookupError(kind)


def read(files: dict[str, bytes], kind: str, day: date = TODAY) -> tuple[list[Row], BillTotals]:
    with tempfile.TemporaryDirectory() as place:
        reader = opened(files, kind, Path(place), day)
        rows = [row for batch in reader for row in batch.to_pylist()]
        return rows, reader.totals()


def days_of(books: CardBooks) -> set[date]:
    times = [order.at_ms for order in books] + [one.at_ms for one in books.returns()]
    return {clearing_day(at_ms) for at_ms in times}


def paid(books: CardBooks, day: date) -> Iterator[CardOrder]:
    """What was charged on a day and not reversed."""
    for order in books:
        if order.charged_fen and not order.undone and clearing_day(order.at_ms) == day:
            yield order


def costs(amounts: list[int], back: list[int]) -> int:
    def of(fen: int) -> int:
        return interchange_fen(fen) + switch_fee_fen(fen)

    return 1000 * (sum(map(of, amounts)) - sum(map(of, back)))


def check(day: Day) -> int:
    """Every file of every day against the books; how many rows were compared."""
    books, seen = day.state.books, 0
    for on in days_of(books):
        files = card_files(day.state, on)
        sold = list(paid(books, on))
        back = [
            one
            for one in books.returns()
            if one.response_code == "00" and not one.undone and clearing_day(one.at_ms) == on
        ]
        if not (sold or back):
            continue
        amounts, returned = [o.charged_fen for o in sold], [one.amount_fen for one in back]
        for kind in ("acom", "acomn", "zm"):
            _, totals = read(files, kind, on)
            assert (totals.payments, totals.payments_fen) == (len(sold), sum(amounts)), kind
            assert (totals.refunds, totals.refunds_fen) == (len(back), sum(returned)), kind
            seen += totals.lines
            if kind == "zm":
                fees = sum(map(fee_fen, amounts)) - sum(map(fee_fen, returned))
                assert (totals.footer_agrees, totals.fee_mfen) == (True, 1000 * fees)
            else:
                assert totals.fee_mfen == costs(amounts, returned)
        voided = {one.original_no for one in back if one.is_void}
        _, totals = read(files, "coma", on)
        kept = [o.charged_fen for o in sold if o.order_no not in voided]
        assert totals.payments_fen == sum(kept)
        assert totals.refunds_fen == sum(one.amount_fen for one in back if not one.is_void)
    return seen


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(STEP, min_size=5, max_size=20))
def test_files_and_books_agree(steps: list[tuple[str, int, int, bool]]) -> None:
    day = Day()
    step(day, "sale", 0, 1990, heard=True)
    for one in steps:
        step(day, *one)
    day.end()
    check(day)


def full_day() -> Day:
    """A sale, its void; a sale, its part refund; one reversed; a hold and its completion."""
    day = Day()
    for what, pick, fen in (
        ("sale", 0, 1990), ("refund", 0, 0), ("sale", 0, 1990), ("refund", 1, 995),
        ("sale", 0, 1990), ("reverse", 2, 0), ("hold", 0, 1990), ("complete", 0, 995),
    ):  # fmt: skip
        step(day, what, pick, fen, heard=True)
    return day


def test_a_row_says_what_its_request_said() -> None:
    """Order and refund by their numbers; the day's times; the host's own references."""
    day = full_day()
    day.end()
    assert check(day) == 3 * 5
    rows, _ = read(card_files(day.state, TODAY), "acomn")
    kinds = [row["kind"] for row in rows]
    assert kinds == ["payment", "payment", "payment", "refund", "refund"]
    assert [row["order_no"] for row in rows[:3]] == [
        o.order_no for o in paid(day.state.books, TODAY)
    ]
    assert [row["refund_no"] for row in rows[3:]] == [
        one.return_no for one in day.state.books.returns()
    ]
    assert {row["at_ms"] for row in rows} == {NOON_MS}
    first = next(paid(day.state.books, TODAY))
    assert (rows[0]["trade_no"], rows[0]["status"]) == (first.reference, "00")


def test_a_reversed_sale_is_in_no_file_but_coma_and_there_it_is_marked() -> None:
    day = Day()
    step(day, "sale", 0, 1990, heard=True)
    step(day, "sale", 0, 1990, heard=True)
    step(day, "reverse", 1, 0, heard=True)
    day.end()
    files = card_files(day.state, TODAY)
    for kind in ("acom", "acomn", "coma", "zm"):
        assert read(files, kind)[1].lines == 1, kind
    packed = next(content for name, content in files.items() if "COMA" in name)
    lines = subprocess.run(["gzip", "-dc"], input=packed, capture_output=True, check=True).stdout
    marks = [line[324:327] for line in lines.splitlines()]
    assert marks == [b"   ", b"R  ", b"R  "]


def test_no_card_number_is_in_any_file() -> None:
    day = full_day()
    pan = next(paid(day.state.books, TODAY)).pan
    for content in card_files(day.state, TODAY).values():
        plain = content
        if content[:2] == b"\x1f\x9d":
            plain = subprocess.run(
                ["gzip", "-dc"], input=content, capture_output=True, check=True
            ).stdout
        assert pan.encode() not in plain
    row = read(card_files(day.state, TODAY), "acom")[0][0]
    assert pan not in str(row)


def test_what_goes_back_without_a_request_is_in_the_error_files() -> None:
    """AERR names the payment by terminal and trace; ZME by its reference alone."""
    day = full_day()
    order = next(o for o in day.state.books if o.kind is OrderKind.COMPLETION)
    day.state.books.adjust(order, 5, NOON_MS)
    with pytest.raises(ValueError, match="not so much"):
        day.state.books.adjust(order, 991, NOON_MS)
    files = card_files(day.state, TODAY)
    (row,), totals = read(files, "aerr")
    assert (row["kind"], row["amount_fen"], row["trade_no"]) == ("refund", 5, order.reference)
    assert row["order_no"] == f"{TERMINAL}??????{order.order_no[14:]}"
    assert totals.refunds_fen == 5
    (error,), _ = read(files, "zme")
    assert (error["kind"], error["amount_fen"], error["status"]) == ("refund", 5, "E32")
    assert error["trade_no"] == order.reference
    assert read(files, "zm")[1].footer_agrees is True


def test_an_offline_sale_is_a_payment_though_it_came_as_an_advice() -> None:
    day = Day()
    step(day, "sale", 0, 1990, heard=True)
    sale = next(iter(day.state.books))
    sale.kind = OrderKind.OFFLINE
    rows, _ = read(card_files(day.state, TODAY), "acomn")
    assert [(row["kind"], row["order_no"]) for row in rows] == [("payment", sale.order_no)]


def test_a_day_goes_from_23_to_23_and_an_empty_one_has_no_file() -> None:
    day = Day()
    day.now_ms = NOON_MS + 11 * 3_600_000 - 1
    day.pay(CardAction.SALE, "9900000000000010", 100, heard=True, hold=None)
    day.now_ms += 1
    day.pay(CardAction.SALE, "9900000000000010", 200, heard=True, hold=None)
    tomorrow = date.fromordinal(TODAY.toordinal() + 1)
    assert read(card_files(day.state, TODAY), "acom")[1].payments_fen == 100
    assert read(card_files(day.state, tomorrow), "acom", tomorrow)[1].payments_fen == 200
    assert card_files(day.state, date.fromordinal(TODAY.toordinal() - 1)) == {}


def test_files_are_listed_and_fetched_over_http() -> None:
    day = full_day()

    def get(path: str, method: str = "GET") -> tuple[int, bytes]:
        request = HttpRequest(method, path, b"", b"", keep_alive=True)
        answer = handle(request, day.state)
        return answer.status, answer.effect.answer

    status, listed = get(f"{PREFIX}{TODAY:%Y%m%d}")
    files = card_files(day.state, TODAY)
    assert (status, listed.decode().split()) == (200, list(files))
    assert f"{MERCHANT}_{TERMINAL}_{TODAY:%Y%m%d}.zip" in files
    for name in files:
        assert get(f"{PREFIX}{TODAY:%Y%m%d}/{name}") == (200, files[name])
    for path in ("20261399", "20200101", f"{TODAY:%Y%m%d}/other.Z", f"{TODAY:%Y%m%d}/../x", ""):
        assert get(PREFIX + path)[0] == 404
    assert get(f"{PREFIX}{TODAY:%Y%m%d}", "POST")[0] == 404


def test_the_control_server_adjusts_an_order_and_refuses_what_it_has_not(world: World) -> None:
    day = full_day()
    world.card_state = day.state
    order = next(o for o in day.state.books if o.kind is OrderKind.COMPLETION)

    def adjust(body: bytes) -> int:
        request = HttpRequest("POST", "/adjust", b"", body, keep_alive=True)
        return control.handle(request, world, NOON_MS).status

    asked = {"order_no": order.order_no, "amount_fen": 990}
    assert adjust(orjson.dumps(asked)) == 200
    assert (order.returned_fen, len(day.state.books.adjustments)) == (990, 1)
    assert adjust(orjson.dumps(asked)) == 409
    assert adjust(orjson.dumps(asked | {"order_no": "nobody"})) == 404
    for wrong in (b"{", b"[]", b'{"order_no":1,"amount_fen":1}', b'{"order_no":"a"}'):
        assert adjust(wrong) == 400
    assert order.returned_fen == 990


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=3000) | st.binary(max_size=9).map(lambda some: some * 500))
def test_what_the_sandbox_compresses_our_reader_reads(data: bytes) -> None:
    assert b"".join(unpacked(compressed(data))) == data


def test_gzip_reads_it_too() -> None:
    data = b"".join(f"{number:06} {number * 7919:012}\n".encode() for number in range(20_000))
    found = subprocess.run(["gzip", "-dc"], input=compressed(data), capture_output=True, check=True)
    assert found.stdout == data
