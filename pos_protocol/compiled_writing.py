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
    """Writes the function; ``constants`` are the tables that it looks into.

    All fixed digits of a message are checked and packed at one stroke, as ``d``, all fixed
    ASCII as ``t``; each run of them is a slice.
    """

    def __init__(self, runs: tuple[tuple[FieldSpec, ...], ...], pad: str) -> None:
        self._pad = pad
        self._parts: list[str] = []
        self._digits = [run for run in runs if _is_fixed(run, Content.DIGITS)]
        self._ascii = [run for run in runs if _is_fixed(run, Content.ASCII)]
        self._runs = runs
        self.constants: dict[str, object] = {}

    def lines(self) -> Iterator[str]:
        yield "def write(f):"
        if self._digits:
            yield from self._checked("d", self._digits, " ", "DIGITS")
            yield f"d = fromhex({self._with_pads()})"  # which skips the blanks
        if self._ascii:
            yield from self._checked("t", self._ascii, "\x1f", "PRINTABLE")
            yield "t = t.translate(None, b'\\x1f')"
        places = {"d": 0, "t": 0}
        for run in self._runs:
            spec = run[0]
            name = "d" if run in self._digits else "t" if run in self._ascii else ""
            if not name:
                yield from self._one(spec)
                continue
            start = places[name]
            places[name] = end = start + sum(one.fixed_bytes for one in run)
            self._parts.append(f"{name}[{start}:{end}]")
        yield f"return b''.join((HEAD, {', '.join(self._parts)}))"

    def _checked(
        self, name: str, fixed: list[tuple[FieldSpec, ...]], separator: str, masking: str
    ) -> Iterator[str]:
        """Fixed fields joined as ``s`` and encoded; masked, they must be their own mask."""
        specs = [spec for run in fixed for spec in run]
        numbers = [spec.number for spec in specs]
        self.constants[f"M{name}"] = separator.join("0" * spec.length for spec in specs).encode()
        if len(numbers) == 1:
            yield f"s = f[{numbers[0]}]"
        else:
            self.constants[f"values_{name}"] = itemgetter(*numbers)
            yield f"s = {separator!r}.join(values_{name}(f))"
        yield f"{name} = s.encode()"
        yield f"if {name}.translate({masking}) != M{name}: return None"

    def _with_pads(self) -> str:
        """``s`` with a pad nibble beside every odd number of digits."""
        text, start, at = "", 0, 0
        for spec in (spec for run in self._digits for spec in run):
            if spec.length % 2:
                place = at if spec.align_right else at + spec.length
                text += f"s[{start}:{place}] + {self._pad!r} + "
                start = place
            at += spec.length + 1
        return f"{text}s[{start}:]" if text else "s"

    def _one(self, spec: FieldSpec) -> Iterator[str]:
        number = spec.number
        name = f"v{number}"
        self.constants[f"P{number}"] = prefixes_of(spec)
        yield f"{name} = f[{number}]"
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


def _is_fixed(run: tuple[FieldSpec, ...], content: Content) -> bool:
    return run[0].size is Size.FIXED and run[0].content is content


def prefixes_of(spec: FieldSpec) -> Mapping[int, bytes]:
    """Every permitted length with the bytes that say it; nothing says a fixed one."""
    if spec.size is Size.FIXED:
        return {spec.length: b""}
    return _variable_prefixes(spec.size, spec.length)


@lru_cache(maxsize=64)
def _variable_prefixes(size: Size, maximum: int) -> Mapping[int, bytes]:
    digits = 2 * size.prefix_bytes
    return {length: bytes.fromhex(f"{length:0{digits}d}") for length in range(maximum + 1)}
