"""Writers made of source text: one straight function per MTI and set of fields, for those in use.

Rules, as in ``compiled_reading.py``: only the field table is in the source; what is not
usual (a value of another type or length, a pad nibble to be kept) makes a compiled writer
give ``None`` or raise one of :data:`NOT_USUAL`, and the plain writers of ``writing.py``
have the word; a test holds the two equal.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from operator import itemgetter
from typing import Final

from pos_protocol import charset
from pos_protocol.bcd import DIGITS_MASKED, PRINTABLE_MASKED
from pos_protocol.spec import Content, FieldSpec, Size

Values = Mapping[int, str | bytes]
CompiledWriter = Callable[[Values], bytes | None]
"""MTI, bitmap and fields without F64's MAC; ``None``: let the plain writers look."""

NOT_USUAL: Final = (KeyError, TypeError, ValueError, AttributeError)

_NAMES: Final = {
    "fromhex": bytes.fromhex,
    "text": charset.to_bytes,
    "DIGITS": DIGITS_MASKED,
    "PRINTABLE": PRINTABLE_MASKED,
}


def compile_writer(
    head: bytes, runs: tuple[tuple[FieldSpec, ...], ...], pad: str
) -> CompiledWriter:
    """The writer of ``head`` (MTI and bitmap) and these fields, ``pad`` filling odd ones."""
    source = _Source(runs, pad)
    text = "\n ".join(source.lines())
    names = dict(_NAMES, HEAD=head, **source.constants)
    exec(compile(text, "<writer>", "exec"), names)  # noqa: S102 - see the rules
    writer: CompiledWriter = names["write"]  # type: ignore[assignment] # what exec put there
    return writer


class _Source:
    """Writes the function; ``constants`` are the tables that it looks into."""

    def __init__(self, runs: tuple[tuple[FieldSpec, ...], ...], pad: str) -> None:
        self._runs = runs
        self._pad = pad
        self._parts: list[str] = []
        self.constants: dict[str, object] = {}

    def lines(self) -> Iterator[str]:
        numbers = [spec.number for run in self._runs for spec in run]
        yield "def write(f):"
        if len(numbers) == 1:
            yield f"v{numbers[0]} = f[{numbers[0]}]"
        elif numbers:
            self.constants["values"] = itemgetter(*numbers)
            yield f"{', '.join(f'v{number}' for number in numbers)} = values(f)"
        for run in self._runs:
            spec = run[0]
            is_run = spec.size is Size.FIXED and spec.content in (Content.DIGITS, Content.ASCII)
            yield from self._fixed(run) if is_run else self._one(spec)
        yield f"return b''.join((HEAD, {', '.join(self._parts)}))"

    def _fixed(self, run: tuple[FieldSpec, ...]) -> Iterator[str]:
        """All of a run at once: joined and masked, it must be the run's own mask."""
        number, is_digits = run[0].number, run[0].is_bcd
        separator, mask = (" ", "DIGITS") if is_digits else ("\x1f", "PRINTABLE")
        zeros = separator.join(self._padded_zeros(spec) for spec in run)
        self.constants[f"M{number}"] = zeros.encode()
        joined = ", ".join(self._padded(spec) for spec in run)
        yield f"s = {separator!r}.join(({joined},))"
        yield f"e{number} = s.encode()"
        yield f"if e{number}.translate({mask}) != M{number}: return None"
        if is_digits:
            self._parts.append(f"e{number}")
            yield f"e{number} = fromhex(s)"  # which skips the blanks
        elif len(run) > 1:
            self._parts.append(f"e{number}.translate(None, b'\\x1f')")
        else:
            self._parts.append(f"e{number}")

    def _padded_zeros(self, spec: FieldSpec) -> str:
        """A run's own mask: zeros, and a pad that is a letter as it is."""
        zeros = "0" * spec.length
        if not (spec.is_bcd and spec.length % 2):
            return zeros
        pad = "0" if self._pad.isdigit() else self._pad
        return pad + zeros if spec.align_right else zeros + pad

    def _padded(self, spec: FieldSpec) -> str:
        name = f"v{spec.number}"
        if not (spec.is_bcd and spec.length % 2):
            return name
        return f"{self._pad!r} + {name}" if spec.align_right else f"{name} + {self._pad!r}"

    def _one(self, spec: FieldSpec) -> Iterator[str]:
        number = spec.number
        name, prefixes = f"v{number}", f"P{number}"
        self.constants[prefixes] = prefixes_of(spec)
        match spec.content:
            case Content.BINARY:
                yield f"if {name}.__class__ is not bytes: return None"
                self._parts += self._prefixed(spec, name)
            case Content.ASCII | Content.TEXT:
                if spec.content is Content.ASCII:
                    yield f"if not ({name}.isascii() and {name}.isprintable()): return None"
                yield f"e{number} = {name}.encode() if {name}.isascii() else text({name})"
                self._parts += self._prefixed(spec, f"e{number}")
            case Content.DIGITS | Content.NIBBLES | Content.TRACK:
                yield from self._nibbles(spec, name)

    def _prefixed(self, spec: FieldSpec, name: str) -> list[str]:
        """The prefix, looked up even when it is empty: that proves the length."""
        return [f"P{spec.number}[len({name})]", name]

    def _nibbles(self, spec: FieldSpec, name: str) -> Iterator[str]:
        number = spec.number
        yield f"n = len({name}); p{number} = P{number}[n]"
        if spec.content is Content.DIGITS:
            yield f"if n and not {name}.isdigit(): return None"
        elif spec.content is Content.TRACK:
            yield f"{name} = {name}.replace('=', 'D')"
        yield f"e{number} = fromhex({name} + {self._pad!r} if n & 1 else {name})"
        if spec.content is not Content.DIGITS:
            yield f"if len(e{number}) != n + 1 >> 1: return None"
        self._parts += [f"p{number}", f"e{number}"]


def prefixes_of(spec: FieldSpec) -> Mapping[int, bytes]:
    """Every permitted length with the bytes that say it; nothing says a fixed one."""
    if spec.size is Size.FIXED:
        return {spec.length: b""}
    return _variable_prefixes(spec.size, spec.length)


@lru_cache(maxsize=64)
def _variable_prefixes(size: Size, maximum: int) -> Mapping[int, bytes]:
    digits = 2 * size.prefix_bytes
    return {length: bytes.fromhex(f"{length:0{digits}d}") for length in range(maximum + 1)}
