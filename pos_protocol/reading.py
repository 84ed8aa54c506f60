"""Readers: one compiled plan per bitmap, from bytes to field values.

Rules:

* Neighbouring fixed BCD fields, and neighbouring fixed ASCII fields, are read as
  one run: one slice and one check for all of them. Only when the check fails is
  the run looked at field by field, to name the guilty one.
* A reader does not ask whether the message is long enough: a slice past the end is
  short or raises ``IndexError``, offsets only grow, and the caller compares the last
  one with the length once. :func:`cut_off` then finds the field.
* Reading is lenient about pad nibbles, strict about everything a later step
  relies on: digits are digits, lengths are BCD and inside the table's maximum.
* Plans are cached by MTI and bitmap, at most :data:`PLANS_MAX` of them. A plan that is
  in use gets a compiled reader (``compiled_reading.py``); these here read what is rare
  and what is wrong.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Final, assert_never

from pos_protocol import charset
from pos_protocol.bcd import TWO_DIGITS
from pos_protocol.compiled_reading import COMPILED_AFTER, CompiledReader, compile_reader
from pos_protocol.dialect import Dialect
from pos_protocol.errors import CodecError
from pos_protocol.spec import Content, FieldSpec, Size

Fields = dict[int, str | bytes]
Pads = dict[int, str]
Reader = Callable[[bytes, int, Fields, Pads], int]
"""``read(raw, offset, fields, pads)`` stores values and returns the next offset.

Raises ``CodecError``, or ``IndexError`` when the message ends inside."""

PLANS_MAX: Final = 512
BITMAP_OFFSET: Final = 13


class ReadingPlan:
    """The readers for one MTI and bitmap, and the fields they read, both in order.

    ``blank`` has a place for every field: a copy of it never grows while it is filled.
    ``compiled`` is ``None`` until the plan has been asked for often enough; it changes
    how long reading takes and nothing else.
    """

    __slots__ = ("_dialect", "_uses", "blank", "compiled", "mti", "readers", "specs")

    def __init__(self, mti: str, specs: tuple[FieldSpec, ...], dialect: Dialect) -> None:
        self.mti = mti
        self.specs = specs
        self.readers = tuple(_reader(run, dialect.pad) for run in runs(specs))
        self.blank: Fields = dict.fromkeys((spec.number for spec in specs), "")
        self.compiled: CompiledReader | None = None
        self._dialect = dialect
        self._uses = 0

    def use(self) -> None:
        """Count one message that was read by the plain readers."""
        self._uses += 1
        if self._uses == COMPILED_AFTER:
            grouped = tuple(tuple(run) for run in runs(self.specs))
            self.compiled = compile_reader(self.mti, grouped, self._dialect.pad)


@lru_cache(maxsize=PLANS_MAX)
def reading_plan(mti_and_bitmap: bytes, dialect: Dialect) -> ReadingPlan:
    """The plan for ten bytes, MTI and bitmap.

    Raises:
        CodecError: the MTI is not BCD, bit 1 is set (no field is above 64), or a field is
            not declared; offsets as if they stood behind the usual header.
    """
    mti = mti_and_bitmap[:2].hex()
    if not mti.isdigit():
        raise CodecError(0, BITMAP_OFFSET - 2, "the MTI is not BCD")
    bits = int.from_bytes(mti_and_bitmap[2:], "big")
    if bits >> 63:
        raise CodecError(1, BITMAP_OFFSET, "bit 1 is set, but there is no second bitmap")
    specs = []
    for number in range(2, 65):
        if bits >> (64 - number) & 1:
            spec = dialect.field(number)
            if spec is None:
                raise CodecError(number, BITMAP_OFFSET, "not in the field table")
            specs.append(spec)
    return ReadingPlan(mti, tuple(specs), dialect)


def cut_off(raw: bytes, offset: int, specs: tuple[FieldSpec, ...]) -> CodecError:
    """The error of a message that is too short for its fields, naming the first such field."""
    for spec in specs:
        start = offset + spec.size.prefix_bytes
        if start > len(raw):
            return CodecError(spec.number, offset, "the message ends inside the length")
        octets = spec.fixed_bytes
        if spec.size is not Size.FIXED:
            count = _length(spec, raw, offset)
            octets = (count + 1) // 2 if spec.is_bcd else count
        if start + octets > len(raw):
            return CodecError(spec.number, start, "the message ends inside the field")
        offset = start + octets
    return CodecError(0, len(raw), "the message ends early")


def _length(spec: FieldSpec, raw: bytes, offset: int) -> int:
    """The length of a variable field; raises :class:`CodecError` naming what is wrong."""
    prefix = raw[offset : offset + spec.size.prefix_bytes].hex()
    if not prefix.isdigit():
        raise CodecError(spec.number, offset, "the length is not BCD")
    count = int(prefix)
    if count > spec.length:
        reason = f"length {count} is above the maximum {spec.length}"
        raise CodecError(spec.number, offset, reason)
    return count


def runs(specs: Sequence[FieldSpec]) -> Iterator[list[FieldSpec]]:
    """Group neighbours that can be read or written at one stroke."""
    run: list[FieldSpec] = []
    for spec in specs:
        if run and not (_joins(spec) and run[-1].content is spec.content and _joins(run[-1])):
            yield run
            run = []
        run.append(spec)
    if run:
        yield run


def _joins(spec: FieldSpec) -> bool:
    return spec.size is Size.FIXED and spec.content in (Content.DIGITS, Content.ASCII)


Part = tuple[int, int, int, int]
"""Field, start and end of its digits in the run, index of its pad nibble (-1: none)."""


def _reader(run: list[FieldSpec], pad: str) -> Reader:
    spec = run[0]
    if _joins(spec):
        return _digit_run(run, pad) if spec.content is Content.DIGITS else _ascii_run(run)
    if spec.is_bcd:
        return _bcd(spec, pad)
    return _octets(spec) if spec.size is not Size.FIXED else _fixed_octets(spec)


def _digit_run(run: list[FieldSpec], usual_pad: str) -> Reader:
    parts: list[Part] = []
    size = 0
    for spec in run:
        start, end, pad = 2 * size, 2 * size + spec.length, -1
        if spec.length % 2:
            pad = start if spec.align_right else end
            start, end = (start + 1, end + 1) if spec.align_right else (start, end)
        parts.append((spec.number, start, end, pad))
        size += spec.fixed_bytes
    plain = tuple((field, start, end) for field, start, end, _ in parts)
    padded = tuple((field, pad) for field, _, _, pad in parts if pad >= 0)

    def read(raw: bytes, offset: int, fields: Fields, pads: Pads) -> int:
        after = offset + size
        digits = raw[offset:after].hex()
        if not digits.isdigit():
            _check_digits(digits, offset, run, parts)
        for field, start, end in plain:
            fields[field] = digits[start:end]
        for field, pad in padded:
            nibble = digits[pad].upper()
            if nibble != usual_pad:
                pads[field] = nibble
        return after

    return read


def _check_digits(digits: str, offset: int, run: list[FieldSpec], parts: list[Part]) -> None:
    """Name the field of a run that is not decimal; a pad nibble may be anything.

    Raises:
        IndexError: the message ends inside the run.
    """
    at = 0
    for spec, (field, start, end, _) in zip(run, parts, strict=True):
        at += 2 * spec.fixed_bytes
        if len(digits) < at:
            raise IndexError
        if not digits[start:end].isdigit():
            raise CodecError(field, offset + at // 2 - spec.fixed_bytes, "not decimal digits")


def _ascii_run(run: list[FieldSpec]) -> Reader:
    parts: list[tuple[int, int, int]] = []
    size = 0
    for spec in run:
        parts.append((spec.number, size, size + spec.length))
        size += spec.length

    def read(raw: bytes, offset: int, fields: Fields, pads: Pads) -> int:
        after = offset + size
        text = raw[offset:after].decode("latin-1")
        if not (text.isascii() and text.isprintable()):
            for field, start, end in parts:
                _check_ascii(field, offset + start, text[start:end])
        for field, start, end in parts:
            fields[field] = text[start:end]
        return after

    return read


def _check_ascii(field: int, offset: int, text: str) -> None:
    if not (text.isascii() and text.isprintable()):
        raise CodecError(field, offset, "not printable ASCII")


def _bcd(spec: FieldSpec, usual_pad: str) -> Reader:
    """A BCD field that is variable."""
    number, content, prefix, maximum = (
        spec.number,
        spec.content,
        spec.size.prefix_bytes,
        spec.length,
    )

    def read(raw: bytes, offset: int, fields: Fields, pads: Pads) -> int:
        start = offset + prefix
        count = TWO_DIGITS[raw[start - 1]]
        if prefix == 2:
            count += 100 * TWO_DIGITS[raw[offset]]
        if count > maximum:
            _length(spec, raw, offset)
        after = start + (count + 1) // 2
        value = raw[start:after].hex()
        if count & 1:
            nibble = value[count].upper()
            value = value[:-1]
            if nibble != usual_pad:
                pads[number] = nibble
        if not value.isdigit() and count:
            if content is Content.DIGITS:
                raise CodecError(number, start, "not decimal digits")
            value = value.upper()
            if content is Content.TRACK:
                value = value.replace("D", "=")
        fields[number] = value
        return after

    return read


def _octets(spec: FieldSpec) -> Reader:
    """A variable field of bytes: binary or text."""
    number, prefix, maximum = spec.number, spec.size.prefix_bytes, spec.length
    value_of = _value_reader(spec)

    def read(raw: bytes, offset: int, fields: Fields, pads: Pads) -> int:
        start = offset + prefix
        count = TWO_DIGITS[raw[start - 1]]
        if prefix == 2:
            count += 100 * TWO_DIGITS[raw[offset]]
        if count > maximum:
            _length(spec, raw, offset)
        after = start + count
        value = raw[start:after]
        fields[number] = value if value_of is None else value_of(value, start)
        return after

    return read


def _fixed_octets(spec: FieldSpec) -> Reader:
    """A fixed field of bytes: binary or text."""
    number, size, value_of = spec.number, spec.length, _value_reader(spec)

    def read(raw: bytes, offset: int, fields: Fields, pads: Pads) -> int:
        after = offset + size
        value = raw[offset:after]
        fields[number] = value if value_of is None else value_of(value, offset)
        return after

    return read


def _value_reader(spec: FieldSpec) -> Callable[[bytes, int], str] | None:
    """What turns bytes into the field's value; ``None`` when they are it."""
    number = spec.number

    def text(raw: bytes, offset: int) -> str:
        return charset.from_bytes(raw)

    def ascii_text(raw: bytes, offset: int) -> str:
        value = raw.decode("latin-1")
        _check_ascii(number, offset, value)
        return value

    match spec.content:
        case Content.BINARY:
            return None
        case Content.TEXT:
            return text
        case Content.ASCII:
            return ascii_text
        case Content.DIGITS | Content.NIBBLES | Content.TRACK:
            raise AssertionError("BCD content is read by nibbles")
        case _:
            assert_never(spec.content)
