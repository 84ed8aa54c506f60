"""The compiled readers and writers against the plain ones, and both against every dialect."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pos_protocol.codec import (
    CodecError,
    Message,
    body_offset,
    decode,
    encode,
    encode_with_mac,
    mac_input,
)
from pos_protocol.compiled_reading import COMPILED_AFTER, compile_reader
from pos_protocol.compiled_writing import NOT_USUAL, compile_writer
from pos_protocol.dialect import STANDARD, Dialect
from pos_protocol.reading import reading_plan, runs
from pos_protocol.transactions import TRANSACTIONS, Transaction
from pos_protocol.writing import WritingPlan, writing_plan
from tests.fuzz import grammar

SEEDS = st.integers(0, 2**32)
BODY = 11
FIELDS = 21


def read_plainly(payload: bytes, dialect: Dialect) -> Message | None:
    """What a plan that nobody compiled says, ``None`` for a fault."""
    reading_plan.cache_clear()
    try:
        return decode(payload, dialect)
    except CodecError:
        return None


def read_compiled(payload: bytes, dialect: Dialect) -> Message | None:
    try:
        plan = reading_plan(payload[BODY:FIELDS], dialect)
    except CodecError:
        return None
    grouped = tuple(tuple(run) for run in runs(plan.specs))
    try:
        return compile_reader(plan.mti, grouped, dialect.pad)(payload)
    except IndexError:
        return None


def usual(seed: int) -> tuple[Message, Dialect]:
    """A message behind the usual header, which alone has compiled readers."""
    rng = Random(seed)
    dialect = grammar.dialect(rng)
    message = grammar.message(rng, dialect)
    message.header = b"\x60\x31\x00\x31\x11\x08"
    return message, dialect


@settings(max_examples=150)
@given(SEEDS)
def test_a_compiled_reader_reads_what_the_plain_ones_read(seed: int) -> None:
    """Every transaction, every dialect; pads of variable fields included."""
    message, dialect = usual(seed)
    payload = encode(message, dialect)
    compiled = read_compiled(payload, dialect)
    assert compiled in (None, message)
    assert read_plainly(payload, dialect) == message
    if not message.pads:
        assert compiled == message


@settings(max_examples=150)
@given(SEEDS, st.data())
def test_a_compiled_reader_accepts_nothing_that_the_plain_ones_refuse(
    seed: int, data: st.DataObject
) -> None:
    """Bytes changed, added, cut: the same message or none, never a third thing."""
    message, dialect = usual(seed)
    raw = bytearray(encode(message, dialect))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(FIELDS, len(raw) - 1))] = data.draw(st.integers(0, 255))
    payload = bytes(raw[: data.draw(st.integers(FIELDS, len(raw)))])
    compiled = read_compiled(payload, dialect)
    if compiled is not None:
        assert compiled == read_plainly(payload, dialect)


def write_compiled(message: Message, dialect: Dialect) -> bytes | None:
    plan = writing_plan(message.mti, tuple(message.fields), dialect, False)
    grouped = tuple(
        tuple(run) for run in runs([_spec(dialect, number) for number in sorted(message.fields)])
    )
    try:
        return compile_writer(plan.head, grouped, dialect.pad)(message.fields)
    except NOT_USUAL:
        return None


def _spec(dialect: Dialect, number: int):  # type: ignore[no-untyped-def] # a FieldSpec
    return dialect.field(number)


@settings(max_examples=150)
@given(SEEDS)
def test_a_compiled_writer_writes_what_the_plain_ones_write(seed: int) -> None:
    message, dialect = usual(seed)
    message.pads = ()
    writing_plan.cache_clear()
    assert write_compiled(message, dialect) == encode(message, dialect)[BODY:]


WRONG = ("", "x", "12 34", "٣", "é", "\ud800", "\n", b"", b"bytes", 7, None, "0" * 2000, "1" * 13)


@settings(max_examples=150)
@given(SEEDS, st.data())
def test_a_compiled_writer_writes_nothing_that_the_plain_ones_refuse(
    seed: int, data: st.DataObject
) -> None:
    """A value of another type, length or alphabet in any field."""
    message, dialect = usual(seed)
    message.pads = ()
    number = data.draw(st.sampled_from(sorted(message.fields)))
    message.fields[number] = data.draw(st.sampled_from(WRONG))  # type: ignore[assignment] # meant
    compiled = write_compiled(message, dialect)
    writing_plan.cache_clear()
    try:
        plain: bytes | None = encode(message, dialect)[BODY:]
    except CodecError as error:
        assert error.field == number
        plain = None
    assert compiled in (None, plain)
    if plain is None:
        assert compiled is None


@pytest.mark.parametrize("row", TRANSACTIONS, ids=lambda row: f"{row.mti}-{row.type_code}-{row.management}-{row.kind.value}")  # fmt: skip
def test_decode_and_encode_are_inverse_for_every_transaction(row: Transaction) -> None:
    """Requests and answers, with the usual and with other dialects, cold and compiled."""
    rng = Random(repr((row.mti, row.processing_code, row.type_code, row.management)))
    for number in range(12):
        dialect = STANDARD if number < 4 else grammar.dialect(rng)
        make = grammar.request if number % 2 else grammar.answer
        message = make(rng, row, dialect)
        payload = encode(message, dialect)
        assert decode(payload, dialect) == message
        assert encode(decode(payload, dialect), dialect) == payload


def test_a_plan_is_compiled_once_it_is_in_use_and_still_says_the_same() -> None:
    """Before, at and after the threshold; faults keep their names."""
    message = grammar.request(Random(3), TRANSACTIONS[1])
    message.header = b"\x60\x31\x00\x31\x11\x08"
    reading_plan.cache_clear()
    writing_plan.cache_clear()
    payload = encode(message)
    plan = reading_plan(payload[BODY:FIELDS], STANDARD)
    writing = writing_plan(message.mti, tuple(message.fields), STANDARD, False)
    for _ in range(COMPILED_AFTER):
        assert plan.compiled is None
        assert decode(payload) == message
        assert encode(message) == payload
    assert plan.compiled is not None
    assert isinstance(writing, WritingPlan)
    assert writing.compiled is not None
    assert decode(payload) == message
    assert encode(message) == payload
    with pytest.raises(CodecError, match="ends inside"):
        decode(payload[:-1])
    with pytest.raises(CodecError, match="after the last field"):
        decode(payload + b"0")
    message.fields[3] = "00000x"
    with pytest.raises(CodecError, match="field 3"):
        encode(message)


@settings(max_examples=60)
@given(SEEDS)
def test_the_mac_covers_the_body_behind_every_header(seed: int) -> None:
    """With, without and with a routed header the bytes are those from the MTI on."""
    rng = Random(seed)
    dialect = grammar.dialect(rng)
    message = grammar.message(rng, dialect)
    seen: list[bytes] = []

    def mac(body: bytes) -> bytes:
        seen.append(body)
        return b"0123ABCD"

    payload = encode_with_mac(message, mac, dialect)
    assert seen == [mac_input(payload)]
    assert payload[body_offset(payload) :] == seen[0] + b"0123ABCD"
    assert body_offset(payload) == 5 + dialect.header.value


@pytest.mark.parametrize("size", [1, 5, 7, 12, 19, 21])
def test_a_header_of_another_size_is_refused(size: int) -> None:
    message = grammar.request(Random(1), TRANSACTIONS[1])
    message.header = b"\x60" * size
    with pytest.raises(CodecError, match="header"):
        encode(message)
