"""Writers: one compiled plan per set of fields, from values to bytes.

Rules: exact. A fixed field has exactly its length, a variable one at most its
maximum; nothing is padded, cut or guessed here. A writer raises
:class:`CodecError` naming the field, never showing its content. Plans are cached by MTI
and tuple of field numbers, at most ``PLANS_MAX`` of them; one that is in use gets a
compiled writer (``compiled_writing.py``).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import assert_never

from pos_protocol import charset
from pos_protocol.bcd import DIGITS_MASKED, PRINTABLE_MASKED
from pos_protocol.compiled_reading import COMPILED_AFTER
from pos_protocol.compiled_writing import CompiledWriter, compile_writer, prefixes_of
from pos_protocol.dialect import Dialect
from pos_protocol.errors import CodecError
from pos_protocol.reading import PLANS_MAX, runs
from pos_protocol.spec import Content, FieldSpec, Size

Values = Mapping[int, str | bytes]
Writer = Callable[[Values, Mapping[int, str]], bytes]
"""``write(fields, pads)`` gives the wire bytes of one or several fields."""


class WritingPlan:
    """MTI and bitmap of a set of fields, and the writers in ascending order.

    ``compiled`` is ``None`` until the plan has been used often enough; it changes how
    long writing takes and nothing else.
    """

    __slots__ = ("_dialect", "_specs", "_uses", "compiled", "head", "writers")

    def __init__(self, head: bytes, specs: Sequence[FieldSpec], dialect: Dialect) -> None:
        self.head = head
        self.writers = tuple(_writer(run, dialect.pad) for run in runs(specs))
        self.compiled: CompiledWriter | None = None
        self._specs = specs
        self._dialect = dialect
        self._uses = 0

    def use(self) -> None:
        """Count one message that was written by the plain writers."""
        self._uses += 1
        if self._uses == COMPILED_AFTER:
            grouped = tuple(tuple(run) for run in runs(self._specs))
            self.compiled = compile_writer(self.head, grouped, self._dialect.pad)


@lru_cache(maxsize=PLANS_MAX)
def writing_plan(
    mti: str, numbers: tuple[int, ...], dialect: Dialect, with_mac: bool
) -> WritingPlan:
    """The plan for ``numbers`` in any order.

    ``with_mac`` sets bit 64 and leaves the bytes of F64 to the caller.

    Raises:
        CodecError: a field is not declared, or the MTI has no form.
    """
    if not (len(mti) == 4 and mti.isascii() and mti.isdigit()):
        raise CodecError(0, -1, "an MTI is 4 digits")
    bits = 1 if with_mac else 0
    specs = []
    for number in sorted(numbers):
        spec = dialect.field(number)
        if spec is None:
            raise CodecError(number, -1, "not in the field table")
        bits |= 1 << (64 - number)
        if not (with_mac and number == 64):
            specs.append(spec)
    return WritingPlan(bytes.fromhex(mti) + bits.to_bytes(8, "big"), tuple(specs), dialect)


def _writer(run: Sequence[FieldSpec], pad: str) -> Writer:
    if len(run) > 1:
        return _run(run, pad)
    spec = run[0]
    match spec.content:
        case Content.DIGITS | Content.NIBBLES | Content.TRACK:
            return _bcd(spec, pad)
        case Content.ASCII | Content.TEXT:
            return _text(spec)
        case Content.BINARY:
            return _binary(spec)
        case _:
            assert_never(spec.content)


def _run(run: Sequence[FieldSpec], usual_pad: str) -> Writer:
    """Two or more fixed fields of the same content, checked and written together.

    The values are joined with a separator, every digit (or printable character) is
    masked to ``0``, and the result must be the run's own mask: one comparison proves
    every length and every character.
    """
    values_of: Callable[[Values], tuple[str, ...]] = itemgetter(*(spec.number for spec in run))
    is_digits = run[0].is_bcd
    separator, masking = (" ", DIGITS_MASKED) if is_digits else ("\x1f", PRINTABLE_MASKED)
    expected = separator.join("0" * spec.length for spec in run).encode()
    pad_places = _pad_places(run)
    padded = frozenset(spec.number for spec in run if spec.is_bcd and spec.length % 2)
    singles = tuple(_writer([spec], usual_pad) for spec in run)

    def write(fields: Values, pads: Mapping[int, str]) -> bytes:
        try:
            joined = separator.join(values_of(fields))
        except TypeError:  # bytes or a number among them: one by one finds which
            joined = ""
        if not (joined.isascii() and joined.encode().translate(masking) == expected) or (
            pads and not padded.isdisjoint(pads)
        ):
            return b"".join([single(fields, pads) for single in singles])
        if not is_digits:
            return joined.replace(separator, "").encode()
        for place in pad_places:
            joined = f"{joined[:place]}{usual_pad}{joined[place:]}"
        return bytes.fromhex(joined)  # which skips the blanks

    return write


def _pad_places(run: Sequence[FieldSpec]) -> tuple[int, ...]:
    """Where pad nibbles go into the joined digits of a run, last first."""
    places = []
    at = 0
    for spec in run:
        if spec.is_bcd and spec.length % 2:
            places.append(at if spec.align_right else at + spec.length)
        at += spec.length + 1
    return tuple(reversed(places))


def _bcd(spec: FieldSpec, usual_pad: str) -> Writer:
    number, content, align_right = spec.number, spec.content, spec.align_right
    prefixes, fault = prefixes_of(spec), _fault(spec)

    def write(fields: Values, pads: Mapping[int, str]) -> bytes:
        value = fields[number]
        if not isinstance(value, str):
            raise CodecError(number, -1, "text is needed")
        length = len(value)
        if length not in prefixes:
            raise fault(length)
        if content is Content.TRACK:
            value = value.replace("=", "D")
        elif content is Content.DIGITS and length and not value.isdigit():
            raise CodecError(number, -1, "not digits")
        if length & 1:
            pad = pads.get(number, usual_pad)
            value = pad + value if align_right else value + pad
        try:
            octets = bytes.fromhex(value)
        except ValueError:
            raise CodecError(number, -1, "not digits") from None
        if 2 * len(octets) != len(value):
            raise CodecError(number, -1, "not digits")  # fromhex skips blanks
        return prefixes[length] + octets

    return write


def _text(spec: FieldSpec) -> Writer:
    number, is_ascii = spec.number, spec.content is Content.ASCII
    prefixes, fault = prefixes_of(spec), _fault(spec)

    def write(fields: Values, pads: Mapping[int, str]) -> bytes:
        value = fields[number]
        if not isinstance(value, str):
            raise CodecError(number, -1, "text is needed")
        if is_ascii and not (value.isascii() and value.isprintable()):
            raise CodecError(number, -1, "not printable ASCII")
        try:
            raw = charset.to_bytes(value)
        except UnicodeEncodeError:
            raise CodecError(number, -1, "text that GBK cannot write") from None
        if len(raw) not in prefixes:
            raise fault(len(raw))
        return prefixes[len(raw)] + raw

    return write


def _binary(spec: FieldSpec) -> Writer:
    number, prefixes, fault = spec.number, prefixes_of(spec), _fault(spec)

    def write(fields: Values, pads: Mapping[int, str]) -> bytes:
        value = fields[number]
        if not isinstance(value, bytes):
            raise CodecError(number, -1, "bytes are needed")
        if len(value) not in prefixes:
            raise fault(len(value))
        return prefixes[len(value)] + value

    return write


def _fault(spec: FieldSpec) -> Callable[[int], CodecError]:
    word = "exactly" if spec.size is Size.FIXED else "at most"

    def fault(length: int) -> CodecError:
        return CodecError(spec.number, -1, f"length {length}, {word} {spec.length} is permitted")

    return fault
