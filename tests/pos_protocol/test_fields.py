"""The parts of fields: what is built is read back, what does not hold is refused by name."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pos_protocol.errors import CodecError
from pos_protocol.fields.balance import AdditionalAmount, build_amounts, parse_amounts
from pos_protocol.fields.download import (
    BLOCK_BYTES_MAX,
    BlockMark,
    DownloadBlock,
    build_block,
    build_query,
    cut_into_blocks,
    parse_block,
    parse_query,
)
from pos_protocol.fields.institutions import Institutions, build_institutions, parse_institutions
from pos_protocol.fields.original import Original, build_original, parse_original
from pos_protocol.fields.payment_status import (
    PaymentState,
    PaymentStatus,
    build_payment_status,
    parse_payment_status,
)
from pos_protocol.fields.scan_info import DeviceInfo, ScanInfo, build_scan_info, parse_scan_info
from pos_protocol.fields.serial_number import (
    SerialNumber,
    build_serial_number,
    parse_serial_number,
)
from pos_protocol.fields.totals import (
    ClassTotals,
    SettlementTotals,
    TotalsResult,
    build_totals,
    parse_totals,
)
from pos_protocol.fields.transaction_type import (
    TransactionType,
    build_transaction_type,
    parse_transaction_type,
)
from pos_protocol.fields.upload import (
    LINES_MAX,
    ChipLine,
    UploadLine,
    blocks,
    build_chip_line,
    build_count,
    build_lines,
    parse_chip_line,
    parse_count,
    parse_lines,
)

PAN = "9900001234567899"


def digits(size: int) -> st.SearchStrategy[str]:
    return st.text("0123456789", min_size=size, max_size=size)


AMOUNTS = st.integers(0, 10**12 - 1)
HALVES = st.builds(
    ClassTotals,
    debit_fen=AMOUNTS,
    debit_count=st.integers(0, 999),
    credit_fen=AMOUNTS,
    credit_count=st.integers(0, 999),
    result=st.sampled_from(TotalsResult),
)
PANS = st.text("0123456789", min_size=12, max_size=18).map(lambda rest: f"9{rest}")
LINES = st.builds(
    UploadLine, trace=digits(6), pan=PANS, amount_fen=AMOUNTS, is_foreign=st.booleans()
)
WORDS = st.text("ABC019 x", max_size=11).map(str.strip)


@given(HALVES, HALVES)
def test_totals(domestic: ClassTotals, foreign: ClassTotals) -> None:
    totals = SettlementTotals(domestic, foreign)
    assert len(build_totals(totals)) == 62
    assert parse_totals(build_totals(totals)) == totals


def test_totals_lie_as_the_reference_says() -> None:
    """Debit n12, n3, credit n12, n3, result n1; RMB first."""
    domestic = ClassTotals().plus(debit_fen=1990).plus(debit_fen=10).plus(credit_fen=500)
    built = build_totals(SettlementTotals(domestic))
    assert built == "0000000020000020000000005000010" + "0" * 31


def test_a_host_judges_each_half_by_itself() -> None:
    """The answer has the host's own numbers, whichever they are (§6)."""
    terminal = SettlementTotals(ClassTotals(debit_fen=100, debit_count=1), ClassTotals())
    host = SettlementTotals(ClassTotals(debit_fen=200, debit_count=2), ClassTotals())
    answer = terminal.judged_by(host)
    assert answer.domestic.result is TotalsResult.DIFFERENT
    assert answer.domestic.debit_fen == 200
    assert answer.foreign.result is TotalsResult.EQUAL
    assert not answer.are_equal
    assert terminal.judged_by(terminal).are_equal


@pytest.mark.parametrize("field", ["", "0" * 61, "0" * 63, "0" * 30 + "4" + "0" * 31, "x" * 62])
def test_broken_totals_are_refused(field: str) -> None:
    with pytest.raises(CodecError, match="field 48"):
        parse_totals(field)


def test_more_than_a_count_can_say_is_refused() -> None:
    with pytest.raises(CodecError, match="debit count"):
        build_totals(SettlementTotals(ClassTotals(debit_count=1000)))


@given(st.lists(LINES, max_size=LINES_MAX))
def test_upload_lines(lines: list[UploadLine]) -> None:
    assert parse_lines(build_lines(lines)) == tuple(lines)


@given(st.lists(LINES, max_size=40))
def test_a_batch_is_cut_into_messages_and_loses_nothing(lines: list[UploadLine]) -> None:
    cut = blocks(lines)
    assert [line for block in cut for line in block] == lines
    assert all(0 < len(block) <= LINES_MAX for block in cut)


def test_an_upload_line_is_laid_out_as_the_reference_says_and_shows_no_card() -> None:
    line = UploadLine(trace="000123", pan=PAN, amount_fen=1990)
    assert build_lines([line]) == "01000001230000" + PAN + "000000001990"
    assert PAN not in repr(line)


@pytest.mark.parametrize("field", ["", "01", "0x", "09" + "0" * 360, "01" + "0" * 39, "0102" + "0" * 38])  # fmt: skip
def test_broken_upload_lines_are_refused_without_showing_them(field: str) -> None:
    with pytest.raises(CodecError, match="field 48"):
        parse_lines(field)


@pytest.mark.parametrize("pan", ["0" + PAN, "9" * 21, "99x"])
def test_a_card_number_that_has_no_form_is_refused(pan: str) -> None:
    with pytest.raises(CodecError) as caught:
        build_lines([UploadLine(trace="000001", pan=pan, amount_fen=1)])
    assert pan not in str(caught.value)


@given(st.integers(0, 9999))
def test_upload_count(count: int) -> None:
    assert parse_count(build_count(count)) == count


@given(AMOUNTS, st.booleans(), st.booleans(), digits(3), st.text("AB01\xe9", max_size=20))
def test_chip_line(amount: int, foreign: bool, failed: bool, currency: str, rest: str) -> None:
    line = ChipLine(
        amount_fen=amount, is_foreign=foreign, has_failed=failed, currency=currency, rest=rest
    )
    assert parse_chip_line(build_chip_line(line)) == line


def test_a_chip_line_is_laid_out_as_the_reference_says() -> None:
    assert build_chip_line(ChipLine(amount_fen=1990)) == b"610000000000001990156"
    assert build_chip_line(ChipLine(amount_fen=1, has_failed=True))[:2] == b"71"


@pytest.mark.parametrize("field", [b"", b"62" + b"0" * 19, b"61" + b"0" * 18, b"6102" + b"0" * 17])
def test_a_broken_chip_line_is_refused(field: bytes) -> None:
    with pytest.raises(CodecError, match="field 62"):
        parse_chip_line(field)


AMOUNT_PARTS = st.builds(
    AdditionalAmount,
    amount_fen=st.integers(-(10**12) + 1, 10**12 - 1),
    account_type=st.sampled_from(["00", "10", "20", "30"]),
    amount_type=st.sampled_from(["01", "02"]),
    currency=digits(3),
)


@given(st.lists(AMOUNT_PARTS, max_size=6))
def test_amounts(amounts: list[AdditionalAmount]) -> None:
    assert parse_amounts(build_amounts(amounts)) == tuple(amounts)


def test_a_debit_balance_is_below_zero() -> None:
    assert parse_amounts("1002156D000000001990")[0].amount_fen == -1990
    assert build_amounts([AdditionalAmount(amount_fen=123)]) == "1002156C000000000123"


@pytest.mark.parametrize("field", ["1", "1002156X000000001990", "1002156C00000000199x", "1002156C000000001990" * 7])  # fmt: skip
def test_broken_amounts_are_refused(field: str) -> None:
    with pytest.raises(CodecError, match="field 54"):
        parse_amounts(field)


@given(WORDS, WORDS)
def test_institutions(issuer: str, acquirer: str) -> None:
    both = Institutions(issuer, acquirer)
    assert len(build_institutions(both)) == 22
    assert parse_institutions(build_institutions(both)) == both


def test_institutions_as_in_the_reference() -> None:
    assert parse_institutions("03080000   48025800   ") == Institutions("03080000", "48025800")
    with pytest.raises(CodecError):
        build_institutions(Institutions("0" * 12))


PARTS = (2, 6, 3, 1, 1, 1, 3)


@given(st.integers(2, 7), st.data())
def test_transaction_type(count: int, data: st.DataObject) -> None:
    """As many parts as there are digits."""
    parts = TransactionType(*(data.draw(digits(width)) for width in PARTS[:count]))
    assert parse_transaction_type(build_transaction_type(parts)) == parts


@pytest.mark.parametrize("size", range(20))
def test_any_number_of_digits_is_read(size: int) -> None:
    """Seen in the wild: 8, 11, 12, 13, 14; nothing is lost of what is more."""
    text = "2212345600050100480"[:size]
    parts = parse_transaction_type(text)
    values = (getattr(parts, name) for name in parts.__slots__)
    assert "".join(values) == text


@pytest.mark.parametrize("digits_", [8, 11, 12, 13, 14, 17])
def test_a_dialect_decides_how_many_digits_go_out(digits_: int) -> None:
    parts = TransactionType("22", "000007", "000", "6", "0")
    built = build_transaction_type(parts, digits_)
    assert built == "22000007000600000"[:digits_]


def test_a_part_after_a_missing_one_is_refused() -> None:
    with pytest.raises(CodecError, match="field 60"):
        build_transaction_type(TransactionType("22", "000007", "", "6"))
    with pytest.raises(CodecError, match="field 60"):
        build_transaction_type(TransactionType("22", "7"))


ORIGINALS = st.one_of(
    st.builds(Original, digits(6), digits(6)),
    st.builds(Original, digits(6), digits(6), digits(4)),
    st.builds(Original, digits(6), digits(6), digits(4), digits(2)),
    st.builds(Original, digits(6), digits(6), digits(4), digits(2), digits(11)),
)


@given(ORIGINALS)
def test_original(original: Original) -> None:
    assert parse_original(build_original(original)) == original


def test_a_date_that_nobody_remembers() -> None:
    assert not parse_original("0000010000020000").has_date
    assert parse_original("0000010000021122").has_date
    assert not parse_original("000001000002").has_date


@pytest.mark.parametrize("field", ["", "00000100000", "00000A000002"])
def test_a_broken_original_is_refused(field: str) -> None:
    with pytest.raises(CodecError, match="field 61"):
        parse_original(field)


@given(digits(4), st.text("ABCX0123-", max_size=60))
def test_serial_number(certificate: str, serial: str) -> None:
    number = SerialNumber(certificate, serial)
    assert parse_serial_number(build_serial_number(number)) == number


def test_serial_numbers_of_public_terminals() -> None:
    assert parse_serial_number(b"Sequence No12306022003600") == SerialNumber("3060", "22003600")
    assert parse_serial_number(b"9DBCE904451F1FBFD64C7580EF9D807A") is None
    assert parse_serial_number(b"Sequence No99306022003600") is None
    with pytest.raises(CodecError):
        build_serial_number(SerialNumber("306", "22003600"))


ENTRIES = st.lists(
    st.tuples(
        st.tuples(st.just("9F06"), st.binary(min_size=5, max_size=8)),
        st.tuples(st.just("DF02"), st.binary(min_size=1, max_size=248)),
    ),
    max_size=30,
)


@given(ENTRIES)
def test_download_blocks_hold_every_entry_whole(entries: list[tuple[tuple[str, bytes], ...]]) -> None:  # fmt: skip
    """Each fits into F62; all but the last say that more follow."""
    cut = cut_into_blocks(entries)
    assert [tag for block in cut for tag in block.tags] == [tag for e in entries for tag in e]
    assert all(len(build_block(block)) <= BLOCK_BYTES_MAX + 1 for block in cut)
    assert [block.has_more for block in cut] == [True] * (len(cut) - 1) + [False]
    assert all(parse_block(build_block(block)) == block for block in cut)
    assert (cut[0].mark is BlockMark.EMPTY) == (not entries)


@pytest.mark.parametrize("field", [b"", b"4", b"1\x9f", b"\xff"])
def test_a_broken_block_is_refused(field: bytes) -> None:
    with pytest.raises(CodecError, match="field 62"):
        parse_block(field)


def test_an_entry_that_no_block_holds_is_refused() -> None:
    with pytest.raises(CodecError, match="at most"):
        cut_into_blocks([(("DF02", bytes(1000)),)])
    with pytest.raises(CodecError):
        build_block(DownloadBlock(BlockMark.LAST, (("DF02", bytes(70_000)),)))


@given(st.integers(0, 99))
def test_query(known: int) -> None:
    assert parse_query(build_query(known)) == known


@pytest.mark.parametrize("field", [b"", b"00", b"200", b"1xx", b"1000"])
def test_a_broken_query_is_refused(field: bytes) -> None:
    with pytest.raises(CodecError, match="field 62"):
        parse_query(field)


@pytest.mark.parametrize("state", PaymentState)
@pytest.mark.parametrize("code", ["", "00", "51", "A0"])
def test_payment_status(state: PaymentState, code: str) -> None:
    status = PaymentStatus(state, code)
    assert parse_payment_status(build_payment_status(status)) == status


@pytest.mark.parametrize("field", [b"", b"PGS1", b"PGS1400", b"PGS20  ", b"PGS1000x", b"PGS10\xff0"])  # fmt: skip
def test_what_is_no_payment_status_is_refused(field: bytes) -> None:
    """An answer that a cashier acts on is never guessed."""
    with pytest.raises(CodecError, match="field 62"):
        parse_payment_status(field)


def test_scan_info() -> None:
    info = ScanInfo(
        code="289900000000000017",
        voucher="58210526789789570802",
        device=DeviceInfo(device_type="04", serial="00001004N1", random_factor="000017",
                          ciphertext="0A1B2C3D", version="01000000"),
        others=(("A5", "0512"),),
    )  # fmt: skip
    assert parse_scan_info(build_scan_info(info)) == info
    assert "289900000000000017" not in repr(info)
    assert "000017" not in repr(info)
    with pytest.raises(CodecError, match="field 59"):
        build_scan_info(ScanInfo(code="2" * 1000))


@given(st.integers(0, 2**32))
def test_scan_info_never_fails_on_what_a_vendor_writes(seed: int) -> None:
    rng = Random(seed)
    text = "".join(rng.choices("A2A3A40123456789 x", k=rng.randrange(80)))
    info = parse_scan_info(text)
    tags = [*info.device.tags(), *info.others]
    assert all(part in text for part in (info.code, info.voucher, *(value for _, value in tags)))
