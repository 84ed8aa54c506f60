"""Valid messages of every transaction and dialect, drawn from one source of chance.

Rules: whatever is drawn here, the codec must write and read back; all chance comes from
the ``Random`` that is handed in, so one seed gives one message. The property tests draw
through hypothesis, the fuzzer through seeds.
"""

from random import Random
from typing import Final

from pos_protocol.dialect import (
    FIELD_60_DIGITS,
    MAK_BYTES,
    STANDARD,
    Dialect,
    HeaderForm,
    MacAlgorithm,
    MacForm,
    TpduRule,
    opaque,
)
from pos_protocol.message import Message
from pos_protocol.spec import FIELDS, Content, FieldSpec, Size
from pos_protocol.tlv import ber_build, text_build
from pos_protocol.transactions import TRANSACTIONS, Transaction, reply_mti

DIGITS: Final = "0123456789"
_PRINTABLE: Final = "".join(map(chr, range(32, 127)))
_CHINESE: Final = "交易成功，请稍后重试商户"
_LONG: Final = 60
_OPTIONAL: Final = (2, 12, 13, 14, 22, 23, 26, 32, 35, 36, 37, 38, 43, 44, 48, 49, 52, 53, 54, 55,
                    57, 58, 59, 61, 62, 63)  # fmt: skip
_CHIP_TAGS: Final = ("9F26", "9F27", "9F10", "9F37", "9F36", "95", "9A", "9C", "9F02", "5F2A",
                     "82", "9F1A", "9F03", "9F33", "9F34", "9F35", "9F1E", "84")  # fmt: skip


def dialect(rng: Random) -> Dialect:
    """One of the dialects that §9.3 makes possible; the usual one half of the time."""
    if rng.random() < 0.5:
        return STANDARD
    mac = rng.choice(list(MacAlgorithm))
    return Dialect(
        {47: opaque(47, Size.LLL)} if rng.random() < 0.3 else {},
        pad=rng.choice("00F5A"),
        tpdu=rng.choice(list(TpduRule)),
        header=rng.choice(list(HeaderForm)),
        mac=mac,
        mac_form=rng.choice(list(MacForm)),
        mak_bytes=rng.choice(MAK_BYTES[mac]),
        encrypts_tracks=rng.random() < 0.5,
        field_60_digits=rng.choice(FIELD_60_DIGITS),
    )


def message(rng: Random, dialect: Dialect = STANDARD) -> Message:
    """A request or an answer of one of the transactions."""
    row = rng.choice(TRANSACTIONS)
    return request(rng, row, dialect) if rng.random() < 0.6 else answer(rng, row, dialect)


def request(rng: Random, row: Transaction, dialect: Dialect = STANDARD) -> Message:
    """A complete request: its required fields and some that it may have."""
    optional = rng.sample(_OPTIONAL, rng.randrange(6))
    numbers = {*row.required, *optional, *dialect.extra_fields}
    if row.needs_card:
        numbers.add(rng.choice((2, 35)))
    fields = _values(rng, row, numbers, dialect)
    if not row.has_mac:
        fields.pop(64, None)
    return Message(_tpdu(rng), _header(rng, dialect), row.mti, fields, _pads(rng, fields, dialect))


def answer(rng: Random, row: Transaction, dialect: Dialect = STANDARD) -> Message:
    """An answer with what it repeats and what it adds."""
    fields = _values(rng, row, {*row.echoed, *row.added}, dialect)
    mti = reply_mti(row.mti)
    return Message(_tpdu(rng), _header(rng, dialect), mti, fields, _pads(rng, fields, dialect))


def _values(
    rng: Random, row: Transaction, numbers: set[int], dialect: Dialect
) -> dict[int, str | bytes]:
    fields: dict[int, str | bytes] = {}
    for number in sorted(numbers):
        spec = dialect.field(number)
        assert spec is not None
        fields[number] = value(rng, spec)
    if row.processing_code:
        fields[3], fields[25] = row.processing_code, row.condition
    if 22 in fields:
        fields[22] = "032" if row.is_scan else rng.choice(("011", "021", "022", "051", "072"))
    batch = "".join(rng.choices(DIGITS, k=6))
    more = "".join(rng.choices(DIGITS, k=rng.randrange(7)))
    fields[60] = row.type_code + batch + row.management + more
    if 59 in fields:
        code = "28" + "".join(rng.choices(DIGITS, k=16))
        fields[59] = text_build([("A3", code)]) + str(fields[59])[:200]
    if 55 in fields:
        fields[55] = chip_data(rng)
    return dict(sorted(fields.items()))


def chip_data(rng: Random) -> bytes:
    """A tag list that fits into F55."""
    tags = rng.sample(_CHIP_TAGS, rng.randrange(1, len(_CHIP_TAGS)))
    return ber_build((tag, rng.randbytes(rng.randrange(1, 11))) for tag in tags)


def value(rng: Random, spec: FieldSpec) -> str | bytes:
    """Any value that the field's line of the table can hold."""
    length = spec.length
    if spec.size is not Size.FIXED:
        length = rng.choice((0, 1, spec.length, rng.randrange(min(spec.length, _LONG) + 1)))
    match spec.content:
        case Content.DIGITS:
            return "".join(rng.choices(DIGITS, k=length))
        case Content.NIBBLES:
            letters = DIGITS if rng.random() < 0.8 else DIGITS + "ABCDEF"
            return "".join(rng.choices(letters, k=length))
        case Content.TRACK:
            letters = DIGITS + "=" if rng.random() < 0.8 else DIGITS + "=ABCEF"
            return "".join(rng.choices(letters, k=length))
        case Content.ASCII:
            return "".join(rng.choices(_PRINTABLE, k=length))
        case Content.TEXT:
            return _text(rng, length)
        case Content.BINARY:
            return rng.randbytes(length)


def _text(rng: Random, length: int) -> str:
    """``length`` bytes of ASCII, with some Chinese in one of four."""
    chinese = rng.randrange(length // 2 + 1) if rng.random() < 0.25 else 0
    text = "".join(rng.choices(_CHINESE, k=chinese))
    return text + "".join(rng.choices(_PRINTABLE, k=length - 2 * chinese))


def _tpdu(rng: Random) -> bytes:
    return b"\x60" + rng.randbytes(4)


def _header(rng: Random, dialect: Dialect) -> bytes:
    header = rng.choice((b"\x60", b"\x61")) + rng.randbytes(5)
    match dialect.header:
        case HeaderForm.STANDARD:
            return header
        case HeaderForm.NONE:
            return b""
        case HeaderForm.ROUTED:
            return bytes(14) + header


def _pads(
    rng: Random, fields: dict[int, str | bytes], dialect: Dialect
) -> tuple[tuple[int, str], ...]:
    """Another pad nibble in some odd field, now and then."""
    if rng.random() < 0.8:
        return ()
    odd = [
        number
        for number, held in fields.items()
        if (spec := FIELDS.get(number)) is not None and spec.is_bcd and len(held) % 2
    ]
    others = [nibble for nibble in "0123456789ABCDEF" if nibble != dialect.pad]
    return tuple((number, rng.choice(others)) for number in odd if rng.random() < 0.5)
