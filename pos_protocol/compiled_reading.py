"""Readers made of source text: one straight function per MTI and bitmap, for those in use.

Rules:

* The source is put together from numbers of the field table alone: nothing that came
  over a wire is ever in it.
* A compiled reader knows the usual message only. Whatever it does not expect (a fault,
  an envelope of another size, an odd pad nibble in a fixed field) makes it give ``None``,
  and the readers of ``reading.py``, which can name every fault, have the word. So the
  two can differ in speed and in nothing else; a test compares them.
* Compiling costs as much as reading some three hundred messages by the plain readers, so
  it is done for what has been seen :data:`COMPILED_AFTER` times, not for what somebody
  sends once to be a nuisance.
"""

from collections.abc import Callable, Iterator
from typing import Final

from pos_protocol import charset
from pos_protocol.bcd import NOT_BCD, NOT_BCD_TABLE, NOT_PRINTABLE_TABLE, TWO_DIGITS
from pos_protocol.message import Message
from pos_protocol.spec import Content, FieldSpec, Size

CompiledReader = Callable[[bytes], Message | None]
"""The message, or ``None``: let the plain readers look. May raise ``IndexError`` likewise."""

COMPILED_AFTER: Final = 300
_FIELDS_OFFSET: Final = 21
_NAMES: Final = {
    "Message": Message,
    "LL": TWO_DIGITS,
    "NB": NOT_BCD_TABLE,
    "NP": NOT_PRINTABLE_TABLE,
    "text": charset.from_bytes,
}


def compile_reader(mti: str, runs: tuple[tuple[FieldSpec, ...], ...], pad: str) -> CompiledReader:
    """The reader of messages with this MTI and these fields, grouped as ``reading.runs`` does.

    ``pad`` is the nibble that is not worth keeping.
    """
    source = "\n ".join(_Source(mti, runs, pad).lines())
    names: dict[str, object] = dict(_NAMES)
    exec(compile(source, f"<reader of {mti}>", "exec"), names)  # noqa: S102 - see the rules
    reader: CompiledReader = names["read"]  # type: ignore[assignment] # what exec put there
    return reader


class _Source:
    """Writes the function. ``at`` is where the next byte is, a number or ``b`` plus one."""

    def __init__(self, mti: str, runs: tuple[tuple[FieldSpec, ...], ...], pad: str) -> None:
        self._mti = mti
        self._pad = pad
        self._runs = runs
        self._values: list[str] = []
        self._known = True
        self._at = _FIELDS_OFFSET

    def lines(self) -> Iterator[str]:
        yield "def read(p):"
        yield "pads = ()"
        for index, run in enumerate(self._runs):
            spec = run[0]
            if spec.size is not Size.FIXED:
                yield from self._variable(spec)
            elif spec.content is Content.DIGITS:
                yield from self._digit_run(index, run)
            else:
                yield from self._octet_run(index, run)
        yield f"if len(p) != {self._place()}: return None"
        yield f"return Message(p[:5], p[5:11], {self._mti!r}, {{{', '.join(self._values)}}}, pads)"

    def _place(self, more: int = 0) -> str:
        at = self._at + more
        if self._known:
            return str(at)
        return f"b + {at}" if at else "b"

    def _digit_run(self, index: int, run: tuple[FieldSpec, ...]) -> Iterator[str]:
        size = sum(spec.fixed_bytes for spec in run)
        yield f"r = p[{self._place()}:{self._place(size)}]"
        yield f"d{index} = r.hex()"
        has_letters = self._pad.isalpha() and any(spec.length % 2 for spec in run)
        tests = [] if has_letters else ["1 in r.translate(NB)"]
        at = 0
        for spec in run:
            start = 2 * at
            if spec.length % 2:
                pad = start if spec.align_right else start + spec.length
                tests.append(f"d{index}[{pad}] != {self._pad.lower()!r}")
                start += spec.align_right
            digits = f"d{index}[{start}:{start + spec.length}]"
            if has_letters:
                tests.append(f"not {digits}.isdigit()")
            self._values.append(f"{spec.number}: {digits}")
            at += spec.fixed_bytes
        yield f"if {' or '.join(tests)}: return None"
        self._at += size

    def _octet_run(self, index: int, run: tuple[FieldSpec, ...]) -> Iterator[str]:
        size = sum(spec.length for spec in run)
        place = f"p[{self._place()}:{self._place(size)}]"
        self._at += size
        match run[0].content:
            case Content.BINARY | Content.TEXT as content:
                value = f"v{run[0].number}"
                yield f"{value} = {place if content is Content.BINARY else f'text({place})'}"
                self._values.append(f"{run[0].number}: {value}")
            case _:
                yield f"r = {place}"
                yield "if 1 in r.translate(NP): return None"
                yield f"t{index} = r.decode('ascii')"
                at = 0
                for spec in run:
                    self._values.append(f"{spec.number}: t{index}[{at}:{at + spec.length}]")
                    at += spec.length

    def _variable(self, spec: FieldSpec) -> Iterator[str]:
        prefix, value = spec.size.prefix_bytes, f"v{spec.number}"
        if prefix == 1:
            yield f"n = LL[p[{self._place()}]]"
        else:
            yield f"n = 100 * LL[p[{self._place()}]] + LL[p[{self._place(1)}]]"
        # of two length bytes only one need be no BCD for the sum to be above every maximum
        yield f"if n > {min(spec.length, NOT_BCD - 1)}: return None"
        yield f"s = {self._place(prefix)}"
        if spec.is_bcd:
            yield from self._nibbles(spec, value)
        else:
            yield "b = s + n"
            yield f"{value} = p[s:b]"
            if spec.content is Content.TEXT:
                yield f"{value} = text({value})"
            elif spec.content is Content.ASCII:
                yield f"if 1 in {value}.translate(NP): return None"
                yield f"{value} = {value}.decode('ascii')"
        self._values.append(f"{spec.number}: {value}")
        self._known, self._at = False, 0

    def _nibbles(self, spec: FieldSpec, value: str) -> Iterator[str]:
        yield "b = s + (n + 1 >> 1)"
        yield f"{value} = p[s:b].hex()"
        yield "if n & 1:"
        yield f" c = {value}[n]; {value} = {value}[:n]"
        yield f" if c != {self._pad.lower()!r}: pads += (({spec.number}, c.upper()),)"
        if spec.content is Content.TRACK:
            yield f"{value} = {value}.upper().replace('D', '=')"
        elif spec.content is Content.DIGITS:
            yield f"if n and not {value}.isdigit(): return None"
        else:
            yield f"{value} = {value}.upper()"
