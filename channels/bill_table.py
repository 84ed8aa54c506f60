"""Rows of a delimited text: columns found by the header's names, never by place.

Rules: a header is read once, its names made plain (blanks, tabs, full-width brackets); a
name that is needed and missing, or there twice, refuses the file. Rows have exactly the
header's number of columns; of these only the needed ones are kept. Arrow reads them; if
it finds fault, the line is looked for one by one, so that the message names it.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Final, cast

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from channels.bill_columns import Unfit
from channels.bill_text import Block

_PLAIN = str.maketrans({"（": "(", "）": ")", "\t": None, " ": None, "\r": None, "`": None})


_UNREADABLE: Final = Unfit(0, "it cannot be read")


@dataclass(frozen=True, slots=True)
class TableShape:
    """The columns of a file in their order, how they are delimited and what text they are.

    ``quote`` is ``None`` where the format has no quoting.
    """

    names: tuple[str, ...]
    needed: tuple[str, ...]
    encoding: str
    delimiter: str = ","
    quote: str | None = '"'


def plain_name(text: str) -> str:
    """A column's name as we know it, however the file writes its blanks and brackets."""
    return text.strip("\ufeff").translate(_PLAIN)


def cells(line: str, delimiter: str = ",", quote: str | None = '"') -> list[str]:
    """One line's values.

    Raises:
        Unfit: a quote is not closed.
    """
    lines = [line.rstrip("\r\n")]
    if quote is None:
        return lines[0].split(delimiter)
    reader = csv.reader(lines, delimiter=delimiter, quotechar=quote, strict=True)
    try:
        return next(reader, [])
    except csv.Error:
        raise Unfit(0, "its quotes do not fit") from None


def shape_of(
    header: Sequence[str],
    needed: Sequence[str],
    encoding: str,
    *,
    optional: Sequence[str] = (),
    delimiter: str = ",",
    quote: str | None = '"',
) -> TableShape:
    """The shape that a header describes; ``optional`` names are needed where it has them.

    Raises:
        Unfit: a needed name is missing, or a name is there twice.
    """
    names = tuple(plain_name(name) for name in header)
    for name in needed:
        if name not in names:
            raise Unfit(0, f"the header has no column {name}")
    if len(set(names)) != len(names):
        raise Unfit(0, "the header has a column twice")
    kept = (*needed, *(name for name in optional if name in names))
    return TableShape(names, kept, encoding, delimiter, quote)


class Rows(Mapping[str, pa.StringArray]):
    """The needed columns by name; one is decoded when it is asked for.

    Asking raises :class:`Unfit` at the first value that is not text.
    """

    def __init__(self, table: pa.Table, shape: TableShape) -> None:
        self._table = table
        self._shape = shape
        self._decoded: dict[str, pa.StringArray] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._shape.needed)

    def __len__(self) -> int:
        return len(self._shape.needed)

    def __getitem__(self, name: str) -> pa.StringArray:
        if name not in self._decoded:
            column = self._table[name].combine_chunks()
            self._decoded[name] = _text(column, name, self._shape)
        return self._decoded[name]


def read_rows(block: Block, shape: TableShape) -> Rows:
    """The needed columns of ``block``, each of its lines one row.

    Raises:
        Unfit: the first row with more or fewer columns, or with quotes that do not fit.
    """
    text = block.data
    try:
        table = arrow_csv.read_csv(
            cast(IO[bytes], pa.BufferReader(text)),
            read_options=arrow_csv.ReadOptions(
                column_names=list(shape.names), use_threads=False, block_size=len(text) + 1
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=shape.delimiter,
                quote_char=shape.quote or False,
                ignore_empty_lines=False,
            ),
            convert_options=arrow_csv.ConvertOptions(
                check_utf8=False,
                include_columns=list(shape.needed),
                column_types={name: pa.string() for name in shape.needed},
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        raise _first_wrong(text, shape) or _UNREADABLE from None
    if table.num_rows != block.lines:
        raise _first_wrong(text, shape) or _UNREADABLE
    if not _ends_well(text, shape):
        raise Unfit(block.lines - 1, "its quotes do not fit")
    return Rows(table, shape)


def _ends_well(text: bytes, shape: TableShape) -> bool:
    """Whether the last line's quotes are closed: Arrow takes the end of the text for the end."""
    last = text[text.rfind(b"\n", 0, len(text) - 1) + 1 :].decode("latin-1")
    try:
        cells(last, shape.delimiter, shape.quote)
    except Unfit:
        return False
    return True


def _text(column: Any, name: str, shape: TableShape) -> pa.StringArray:
    """The column decoded; one of digits and Latin letters is so already."""
    if pc.all(pc.string_is_ascii(column)).as_py() is not False:
        texts: pa.StringArray = column
        return texts
    coded = column.cast(pa.binary()).dictionary_encode()
    words = []
    for place, raw in enumerate(coded.dictionary.to_pylist()):
        try:
            words.append(raw.decode(shape.encoding))
        except UnicodeDecodeError:
            row: int = pc.index(coded.indices, pa.scalar(place, coded.indices.type)).as_py()
            raise Unfit(row, f"{name} is not text in {shape.encoding.upper()}") from None
    decoded: pa.StringArray = pa.array(words, pa.string()).take(coded.indices)
    return decoded


def _first_wrong(text: bytes, shape: TableShape) -> Unfit | None:
    wanted = len(shape.names)
    for row, line in enumerate(text.removesuffix(b"\n").decode("latin-1").split("\n")):
        try:
            found = len(cells(line, shape.delimiter, shape.quote))
        except Unfit as unfit:
            return Unfit(row, unfit.why)
        if found != wanted:
            return Unfit(row, f"it has {found} columns, the header has {wanted}")
        if "\r" in line.rstrip("\r"):
            return Unfit(row, "a carriage return stands in its middle")
    return None
